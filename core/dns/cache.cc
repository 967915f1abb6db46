#include "core/dns/cache.h"

#include <algorithm>
#include <utility>

namespace postern::dns {
namespace {

// List node, index node and bucket of one entry, as libstdc++ lays them out.
constexpr std::size_t kNodeBytes = 96;

std::size_t text_bytes(const DnsRecord& record) {
  struct Count {
    std::size_t operator()(const AddressRecord&) const { return 0; }
    std::size_t operator()(const MxRecord& r) const { return r.exchange.capacity(); }
    std::size_t operator()(const TxtRecord& r) const { return r.text.capacity(); }
    std::size_t operator()(const NameRecord& r) const { return r.name.capacity(); }
    std::size_t operator()(const SrvRecord& r) const { return r.target.capacity(); }
    std::size_t operator()(const TlsaRecord& r) const { return r.data.capacity(); }
    std::size_t operator()(const SoaRecord& r) const { return r.primary.capacity() + r.mailbox.capacity(); }
  };
  return std::visit(Count{}, record);
}

}  // namespace

std::string Cache::key(std::string_view name, RecordType type) {
  std::string out = std::to_string(static_cast<unsigned>(type));
  out += ' ';  // never in a normalised name
  out += name;
  return out;
}

std::optional<DnsAnswer> Cache::find(std::string_view key, Instant now) {
  auto found = index_.find(key);
  if (found == index_.end()) return std::nullopt;
  Entries::iterator entry = found->second;
  if (entry->expires <= now) {
    erase(entry);
    return std::nullopt;
  }
  list_.splice(list_.begin(), list_, entry);
  DnsAnswer answer = entry->answer;
  answer.ttl = std::chrono::ceil<std::chrono::seconds>(entry->expires - now);
  return answer;
}

void Cache::put(std::string key, DnsAnswer answer, Instant now) {
  if (auto old = index_.find(key); old != index_.end()) erase(old->second);
  const std::chrono::seconds life = lifetime(answer);
  if (life <= std::chrono::seconds(0)) return;
  Entry entry{std::move(key), std::move(answer), now + life, 0};
  entry.answer.records.shrink_to_fit();
  entry.bytes = sizeof(Entry) + kNodeBytes + entry.key.capacity() + entry.answer.canonical_name.capacity() +
                entry.answer.detail.capacity() + entry.answer.records.capacity() * sizeof(DnsRecord);
  for (const DnsRecord& record : entry.answer.records) entry.bytes += text_bytes(record);
  if (limits_.entries == 0 || entry.bytes > limits_.bytes) return;
  while (index_.size() >= limits_.entries || bytes_ + entry.bytes > limits_.bytes) erase(std::prev(list_.end()));
  bytes_ += entry.bytes;
  list_.push_front(std::move(entry));
  index_.emplace(list_.front().key, list_.begin());
}

// A negative answer without SOA has no TTL and should not be cached (RFC 2308 §5); it falls under min_ttl like a zero
// TTL, so that the many questions of one session do not each go out.
std::chrono::seconds Cache::lifetime(const DnsAnswer& answer) const {
  auto between = [this](std::chrono::seconds ttl, std::chrono::seconds most) {
    return std::min(std::max(ttl, limits_.min_ttl), most);
  };
  if (answer.status == DnsStatus::kOverloaded) return std::chrono::seconds(0);
  if (answer.temporary()) return limits_.failure_ttl;
  return between(answer.ttl, answer.ok() ? limits_.max_ttl : limits_.max_negative_ttl);
}

void Cache::erase(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  index_.erase(entry->key);
  list_.erase(entry);
}

}  // namespace postern::dns
