// Timers of one loop: six levels of 64 slots, one millisecond to a tick.
//
// A server arms and disarms a timer for nearly every wait and almost none of them fires, so both are O(1) and allocate
// nothing: a TimerNode is a link in a slot's ring. A timer's level is the highest group of six bits in which its tick
// differs from the present one; when time reaches its slot it moves down a level, until level 0 fires it. What lies
// more than 2^36 ticks (two years) ahead waits in a list of its own.
//
// Promises: a timer never fires before its instant; less than one tick late if advance() comes in time; in order of its
//           tick. fire() may arm and disarm any timer, itself included; what it arms for now or the past fires a tick
//           later, so that advance() always ends.
// Limits:   next_expiry() may be early (the start of a slot that holds the timer), at most five times in a timer's
// life. Thread:   the one of its loop.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "postern/executor.h"

namespace postern {

class TimerWheel {
 public:
  explicit TimerWheel(Instant origin) : origin_(origin) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void arm(TimerNode& timer, Instant when);  ///< moves it when it is armed already
  void disarm(TimerNode& timer);             ///< harmless when not armed
  /// Fires all timers whose instant is not after `now`.
  void advance(Instant now);
  /// When advance() must be called next: not after the first timer's tick. Nothing when no timer is armed.
  std::optional<Instant> next_expiry() const;
  bool empty() const { return armed_ == 0; }
  std::size_t size() const { return armed_; }

 private:
  static constexpr unsigned kLevels = 6;
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1U << kBits;
  static constexpr unsigned kFar = kLevels * kSlots;  ///< the list of what lies beyond the top level
  static constexpr unsigned kDue = kFar + 1;          ///< the list of what is being fired
  static constexpr unsigned kLists = kDue + 1;
  static constexpr std::uint64_t kFarMask = (std::uint64_t{1} << (kLevels * kBits)) - 1;

  struct Next {
    std::uint64_t tick;
    unsigned list;
  };

  std::uint64_t tick_at_or_after(Instant when) const;
  std::optional<Next> next_list() const;
  void place(TimerNode& timer);
  void link(TimerNode& timer, unsigned list);
  void unlink(TimerNode& timer);
  void move_down(unsigned list);
  void fire_list(unsigned list);

  Instant origin_;
  std::uint64_t now_ = 0;  ///< all timers with ticks before this one have fired
  std::size_t armed_ = 0;
  bool firing_ = false;
  std::array<std::uint64_t, kLevels> used_{};  ///< a bit for each slot that is not empty
  std::array<TimerNode*, kLists> heads_{};     ///< rings; a head's prev_ is the last
};

}  // namespace postern
