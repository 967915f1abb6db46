// Which schedule and bounds a destination has: [queue.routes], else [queue].
//
// Made once from the settings; immutable, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postern/hash.h"
#include "schedule.h"
#include "settings.h"

namespace postern::queue {

struct Route {
  Schedule schedule;
  unsigned concurrency = 100;
  std::optional<ReleaseRule> release;  ///< set: mail is collected
};

class Routes {
 public:
  /// The texts in `settings` have been checked. Throws Error when they have not.
  explicit Routes(const QueueSettings& settings);

  /// Of a next hop: its own, else ".parent" of its nearest parent that has one, else that of all.
  const Route& of(std::string_view destination) const;
  const Route& base() const { return base_; }
  /// Whether a destination with this destination_hash() collects its mail: all of it is one worker's then, as far as
  /// the domain of a first recipient tells. What other workers have (gateways, names below ".example.org") is counted
  /// with it (Collected).
  bool collects(std::uint32_t hash) const { return collecting_.contains(hash); }
  bool any_collects() const { return !collecting_.empty(); }

 private:
  Route base_;
  std::unordered_map<std::string, Route, BytesHash, std::equal_to<>> routes_;
  std::unordered_map<std::uint32_t, bool> collecting_;
};

}  // namespace postern::queue
