// Time as the house uses it: one monotonic clock and one wall clock, both asked of the Executor, never of the system.
#pragma once

#include <chrono>
#include <cstdint>

namespace postern {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;  ///< monotonic, from Executor::now()
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;             ///< UTC, from Executor::wall()
using namespace std::chrono_literals;

/// When a wait ends: at an instant, after a duration counted from the wait's start, or never.
class Deadline {
 public:
  static constexpr Deadline never() { return Deadline(Kind::kNever, 0); }
  static constexpr Deadline at(Instant when) { return Deadline(Kind::kAt, when.time_since_epoch().count()); }
  static constexpr Deadline after(Duration duration) { return Deadline(Kind::kAfter, duration.count()); }

  bool is_never() const { return kind_ == Kind::kNever; }
  /// The instant at which a wait that starts `now` ends. Not for never().
  Instant resolve(Instant now) const { return kind_ == Kind::kAt ? Instant(Duration(count_)) : now + Duration(count_); }
  /// The same deadline with its start fixed, for several waits that share it.
  Deadline fixed(Instant now) const { return is_never() ? *this : at(resolve(now)); }

 private:
  enum class Kind : std::uint8_t { kNever, kAt, kAfter };
  constexpr Deadline(Kind kind, std::int64_t count) : count_(count), kind_(kind) {}
  std::int64_t count_;
  Kind kind_;
};

}  // namespace postern
