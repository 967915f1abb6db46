// The resolver of tests: see postern/dns_fake.h. It keeps the rules of core/dns/message.cc (CNAMEs, NODATA, NXDOMAIN)
// and the limits of a question's deadline, so that code tested with it behaves alike with the real one.
#include <stdexcept>

#include "core/dns/message.h"
#include "core/dns/name.h"
#include "postern/dns_fake.h"
#include "postern/executor.h"
#include "postern/task.h"
#include "postern/wait.h"

namespace postern {
namespace {

constexpr auto kFakeTtl = std::chrono::seconds(300);

std::string normal(std::string_view name) {
  if (std::optional<std::string> text = dns::normalise_name(name)) return *std::move(text);
  throw std::invalid_argument("not a domain name: " + std::string(name));
}

IpAddress address(std::string_view text) {
  if (std::optional<IpAddress> ip = IpAddress::parse(text)) return *ip;
  throw std::invalid_argument("not an IP address: " + std::string(text));
}

DnsAnswer answer_of(DnsStatus status, const std::string& name) {
  DnsAnswer out;
  out.status = status;
  out.canonical_name = name;
  return out;
}

// The answer after a while, or a timeout when the deadline comes first.
Task<DnsAnswer> answer_later(Executor* executor, DnsAnswer answer, Duration time, Deadline deadline) {
  const Instant now = executor->now();
  const bool late = !deadline.is_never() && deadline.resolve(now) < now + time;
  co_await sleep_until(late ? deadline.resolve(now) : now + time);
  co_return late ? answer_of(DnsStatus::kTimeout, answer.canonical_name) : std::move(answer);
}

}  // namespace

FakeResolver::~FakeResolver() = default;

FakeResolver& FakeResolver::add(std::string_view name, RecordType type, DnsRecord record) {
  records_[{normal(name), type}].push_back(std::move(record));
  return *this;
}

FakeResolver& FakeResolver::a(std::string_view name, std::string_view ip) {
  const IpAddress parsed = address(ip);
  return add(name, parsed.is_v6() ? RecordType::kAaaa : RecordType::kA, parsed);
}

FakeResolver& FakeResolver::mx(std::string_view name, std::uint16_t preference, std::string_view exchange) {
  return add(name, RecordType::kMx, MxRecord{preference, normal(exchange)});
}

FakeResolver& FakeResolver::txt(std::string_view name, std::string_view text) {
  return add(name, RecordType::kTxt, TxtRecord{std::string(text)});
}

FakeResolver& FakeResolver::cname(std::string_view name, std::string_view target) {
  return add(name, RecordType::kCname, NameRecord{normal(target)});
}

FakeResolver& FakeResolver::ptr(std::string_view ip, std::string_view target) {
  const IpAddress parsed = address(ip);
  return add(parsed.reversed() + (parsed.is_v6() ? ".ip6.arpa" : ".in-addr.arpa"), RecordType::kPtr,
             NameRecord{normal(target)});
}

FakeResolver& FakeResolver::tlsa(std::string_view name, TlsaRecord record) {
  return add(name, RecordType::kTlsa, std::move(record));
}

FakeResolver& FakeResolver::secure(std::string_view name) {
  secure_.insert(normal(name));
  return *this;
}

FakeResolver& FakeResolver::erase(std::string_view name) {
  const std::string gone = normal(name);
  std::erase_if(records_, [&](const auto& entry) { return entry.first.first == gone; });
  std::erase_if(faults_, [&](const auto& entry) { return entry.first.first == gone; });
  name_faults_.erase(gone);
  delays_.erase(gone);
  secure_.erase(gone);
  return *this;
}

FakeResolver& FakeResolver::fail(std::string_view name, DnsStatus status) {
  name_faults_[normal(name)] = status;
  return *this;
}

FakeResolver& FakeResolver::fail(std::string_view name, RecordType type, DnsStatus status) {
  faults_[{normal(name), type}] = status;
  return *this;
}

FakeResolver& FakeResolver::delay(std::string_view name, Duration time) {
  delays_[normal(name)] = time;
  return *this;
}

std::size_t FakeResolver::asked(std::string_view name, RecordType type) const {
  auto found = asked_.find({normal(name), type});
  return found == asked_.end() ? 0 : found->second;
}

DnsAnswer FakeResolver::look_up(const std::string& name, RecordType type) const {
  if (auto fault = faults_.find({name, type}); fault != faults_.end()) return answer_of(fault->second, name);
  if (auto fault = name_faults_.find(name); fault != name_faults_.end()) return answer_of(fault->second, name);
  DnsAnswer out = answer_of(DnsStatus::kNoData, name);
  out.ttl = kFakeTtl;
  out.authenticated = secure_.contains(name);
  for (std::size_t steps = 0; type != RecordType::kCname; ++steps) {
    auto alias = records_.find({out.canonical_name, RecordType::kCname});
    if (alias == records_.end()) break;
    if (steps == dns::kMaxCnames) return answer_of(DnsStatus::kMalformed, name);
    out.canonical_name = std::get<NameRecord>(alias->second.front()).name;
    out.authenticated = out.authenticated && secure_.contains(out.canonical_name);
    if (auto fault = name_faults_.find(out.canonical_name); fault != name_faults_.end())
      return answer_of(fault->second, name);
  }
  if (auto found = records_.find({out.canonical_name, type}); found != records_.end()) {
    out.status = DnsStatus::kOk;
    out.records = found->second;
    return out;
  }
  // RFC 8020: a name exists when it has a record of any type, or when a name below it does.
  const std::string below = '.' + out.canonical_name;
  for (const auto& [key, records] : records_)
    if (key.first == out.canonical_name || key.first.ends_with(below)) return out;
  out.status = DnsStatus::kNxDomain;
  return out;
}

Task<DnsAnswer> FakeResolver::query(std::string name, RecordType type, Deadline deadline) {
  ++total_;
  std::optional<std::string> known = dns::normalise_name(name);
  if (!known) return Task<DnsAnswer>::ready(answer_of(DnsStatus::kNxDomain, name));
  ++asked_[{*known, type}];
  DnsAnswer answer = look_up(*known, type);
  auto delay = delays_.find(*known);
  if (delay == delays_.end()) return Task<DnsAnswer>::ready(std::move(answer));
  return answer_later(&executor_, std::move(answer), delay->second, deadline);
}

}  // namespace postern
