#include "core/offline/spec_store.h"

#include <fmt/format.h>

#include "core/pipeline/pretence.h"

namespace postern {

SpecStore::Entry* SpecStore::find(const Key& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  if (!found->second.end || now_ < *found->second.end) return &found->second;
  entries_.erase(found);
  return nullptr;
}

Result<void> SpecStore::put(const Key& key, std::string value, std::optional<Duration> expiry) {
  if (entries_.size() >= kMaxKeys && !entries_.contains(key))
    return fault("kv.limit", fmt::format("a spec has at most {} keys", kMaxKeys));
  Entry entry{std::move(value), std::nullopt};
  if (expiry) entry.end = now_ + std::chrono::duration_cast<WallTime::duration>(*expiry);
  entries_.insert_or_assign(key, std::move(entry));
  return {};
}

Result<KeyValueReply> SpecStore::kv(std::string_view store, const KeyValueRequest& request) {
  const Key key(store, request.key);
  Entry* found = find(key);
  KeyValueReply reply;
  switch (request.kind) {
    case KeyValueRequest::Kind::kGet:
      if (found) reply.value = found->value;
      break;
    case KeyValueRequest::Kind::kSet:
      if (auto put_in = put(key, request.value, request.expiry); !put_in) return std::unexpected(put_in.error());
      break;
    case KeyValueRequest::Kind::kRemove:
      reply.number = static_cast<std::int64_t>(entries_.erase(key));
      break;
    case KeyValueRequest::Kind::kIncrement: {
      const auto number = incremented(found ? std::optional(found->value) : std::nullopt, request.by);
      if (!number) return std::unexpected(number.error());
      reply.number = *number;
      if (found) {
        found->value = std::to_string(*number);  // its end stays: a fixed window
      } else if (auto put_in = put(key, std::to_string(*number), request.expiry); !put_in) {
        return std::unexpected(put_in.error());
      }
      break;
    }
  }
  return reply;
}

}  // namespace postern
