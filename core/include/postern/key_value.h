// Values by key, with an expiry: what rules keep between messages (postern.kv). In memory, in Redis, or a plugin's.
//
// Each store is one service of this type, under its name; [pipeline] kv says which one `kv.get` and its like ask.
//
// Thread: any worker; the answer comes on the asking one. Nothing of it blocks a worker.
// Errors: values; only Cancelled is thrown. "kv.type" (increment of what is no whole number), "kv.limit" (a key or
// value
//         over the limits below), "kv.busy", "kv.timeout", "kv.connect".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/error.h"
#include "postern/task.h"
#include "postern/time.h"

namespace postern {

struct KeyValueRequest {
  enum class Kind : std::uint8_t {
    kGet,
    kSet,        ///< value; expiry
    kIncrement,  ///< by; expiry is set when the key did not exist, and is left alone else (a fixed window)
    kRemove,
  };
  Kind kind = Kind::kGet;
  std::string key;
  std::string value{};
  std::int64_t by = 1;
  std::optional<Duration> expiry{};  ///< none: it stays
  bool secret = false;               ///< the value is never written to a trail
};

struct KeyValueReply {
  std::optional<std::string> value;  ///< kGet; nothing when there is none
  std::int64_t number = 0;           ///< kIncrement: the new number; kRemove: how many were there
};

/// Service "kv", one for each name.
class KeyValueStore {
 public:
  static constexpr std::string_view kService = "kv";
  static constexpr std::size_t kMaxKey = 512;         ///< octets
  static constexpr std::size_t kMaxValue = 64 << 10;  ///< octets
  virtual ~KeyValueStore();
  virtual Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline deadline) = 0;
};

}  // namespace postern
