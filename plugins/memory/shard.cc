#include "shard.h"

#include "postern/text.h"

namespace postern::memory {

void Shard::erase(Place place) {
  octets_ -= cost(place->first, place->second.value);
  used_.erase(place->second.used);
  set_end(place, std::nullopt);
  entries_.erase(place);
}

void Shard::set_end(Place place, std::optional<Instant> end) {
  Entry& entry = place->second;
  if (entry.end != ends_.end()) ends_.erase(entry.end);
  entry.end = end ? ends_.emplace(*end, &place->first).first : ends_.end();
}

void Shard::sweep(Instant now, std::size_t most) {
  for (std::size_t i = 0; i < most && !ends_.empty() && ends_.begin()->first <= now; ++i)
    erase(entries_.find(*ends_.begin()->second));
}

Shard::Place Shard::find(const std::string& key, Instant now) {
  const Place place = entries_.find(key);
  if (place == entries_.end()) return place;
  if (place->second.end != ends_.end() && place->second.end->first <= now) {
    erase(place);
    return entries_.end();
  }
  used_.splice(used_.end(), used_, place->second.used);
  return place;
}

Result<void> Shard::put(const std::string& key, std::string value, std::optional<Instant> end, Instant now) {
  const std::size_t needed = cost(key, value);
  if (needed > limits_.octets) return fault("kv.limit", "the store has no room for so large a value");
  if (const Place old = entries_.find(key); old != entries_.end()) erase(old);
  sweep(now, kSweptWithAWrite);
  while (!has_room(1, needed)) {
    if (!ends_.empty() && ends_.begin()->first <= now) {
      sweep(now, 1);
      continue;
    }
    ++evicted_;
    erase(entries_.find(*used_.front()));
  }
  const Place place = entries_.emplace(key, Entry{std::move(value), used_.end(), ends_.end()}).first;
  place->second.used = used_.insert(used_.end(), &place->first);
  octets_ += needed;
  set_end(place, end);
  return {};
}

Result<KeyValueReply> Shard::increment(KeyValueRequest& request, Instant now) {
  KeyValueReply reply;
  const Place place = find(request.key, now);
  if (place == entries_.end()) {
    reply.number = request.by;
    const std::optional<Instant> end = request.expiry ? std::optional(now + *request.expiry) : std::nullopt;
    if (auto done = put(request.key, std::to_string(request.by), end, now); !done)
      return std::unexpected(std::move(done).error());
    return reply;
  }
  std::string& value = place->second.value;
  const auto before = to_number<std::int64_t>(value);
  if (!before) return fault("kv.type", "the value is no whole number");
  if (__builtin_add_overflow(*before, request.by, &reply.number)) return fault("kv.type", "the number is too large");
  std::string after = std::to_string(reply.number);
  octets_ += after.size();  // a few digits more never need room made: limits are not that sharp
  octets_ -= value.size();
  value = std::move(after);
  return reply;
}

Result<KeyValueReply> Shard::apply(KeyValueRequest& request, Instant now) {
  KeyValueReply reply;
  switch (request.kind) {
    case KeyValueRequest::Kind::kGet:
      if (const Place place = find(request.key, now); place != entries_.end()) reply.value = place->second.value;
      return reply;
    case KeyValueRequest::Kind::kSet: {
      const std::optional<Instant> end = request.expiry ? std::optional(now + *request.expiry) : std::nullopt;
      if (auto done = put(request.key, std::move(request.value), end, now); !done)
        return std::unexpected(std::move(done).error());
      return reply;
    }
    case KeyValueRequest::Kind::kIncrement:
      return increment(request, now);
    case KeyValueRequest::Kind::kRemove:
      break;
  }
  if (const Place place = find(request.key, now); place != entries_.end()) {
    erase(place);
    reply.number = 1;
  }
  return reply;
}

}  // namespace postern::memory
