// How often each key has passed lately: what rate_limit counts in. Shared by all workers, without a lock, bounded.
//
// A key's rate is its count in the present window and, of the window before, the part that is not yet a whole window
// ago (a sliding window in two numbers). What is refused is not counted, so that one who keeps trying gets through as
// the window moves on.
//
// Limits: kSlots keys. A key that finds no room takes the place of one whose windows are over, else of the quietest of
//         its kWays neighbours, so that a flood of new keys does not free a busy one. Two workers that meet a new key
//         in the same moment may give it two places until the windows are over; it then gets by more often than it
//         should, never less.
// Thread: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "postern/time.h"

namespace postern::mailets {

class RateTable {
 public:
  static constexpr std::size_t kSlots = 65'536;  ///< 1 MiB
  static constexpr std::size_t kWays = 8;
  static constexpr std::uint32_t kMaxCount = 1'000'000;  ///< in a window
  static constexpr Duration kMinWindow = std::chrono::seconds(1);
  static constexpr Duration kMaxWindow = std::chrono::days(31);

  /// `seed` keeps strangers from choosing keys that fall together.
  RateTable(Duration window, std::uint64_t seed);

  struct Answer {
    bool allowed = true;
    std::uint32_t rate = 0;  ///< with what was asked for, when it was allowed
  };
  /// Counts `n` for the key, unless it would then have passed `limit`.
  Answer take(std::string_view key, std::uint32_t n, std::uint32_t limit, WallTime now);

 private:
  struct Slot {
    std::atomic<std::uint64_t> tag{0};     // of the key; kFree, kBusy
    std::atomic<std::uint64_t> counts{0};  // number of the window (24 bits), count before it (20), in it (20)
  };
  using Bucket = std::array<Slot, kWays>;

  Slot* find(std::uint64_t tag, std::uint64_t window);

  std::uint64_t window_micros_;
  std::uint64_t seed_;
  std::vector<Bucket> buckets_;
};

}  // namespace postern::mailets
