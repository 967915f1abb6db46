// When a recipient that could not be served is tried again, and when no more.
//
// Values; any thread. RFC: 5321 §4.5.4.1.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "postern/time.h"

namespace postern::queue {

struct Schedule {
  std::vector<Duration> retry;
  Duration give_up_after{};

  /// The instant of the next attempt after `attempts` failed ones (1 or more); nothing when the message is too old.
  /// `random` varies the wait by a tenth.
  std::optional<WallTime> next(WallTime accepted, std::uint32_t attempts, WallTime now, std::uint64_t random) const;
};

}  // namespace postern::queue
