// When a recipient that could not be served is tried again, when its sender is warned, and when no more is tried.
//
// A schedule is written as waits, "1m, 5m*2, 15m, 1h*3, 4h": before the second, third ... attempt; "*N" repeats a wait,
// and the last one is repeated until the message is too old. Each wait is varied, so that what failed together is not
// tried together. An attempt falls exactly on the instant of the warning and on that of giving up, so that neither
// comes late.
//
// Values; any thread. Errors: a text that is no schedule gives a ScheduleFault with its place.
// RFC: 5321 §4.5.4.1.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/time.h"

namespace postern::queue {

inline constexpr std::size_t kMaxWaits = 64;  ///< of one schedule, repetitions counted
inline constexpr Duration kShortestWait = 1s;
inline constexpr Duration kLongestWait = 24h * 7;

/// What is wrong with a text of the configuration; `offset` is the octet at which it was found.
struct TextFault {
  std::string what;
  std::size_t offset = 0;
};

std::expected<std::vector<Duration>, TextFault> parse_schedule(std::string_view text);

/// When collected mail is released: "every 30m or 50 messages", "100 messages", "on request" (ETRN, or by command).
/// Whatever the rule, a request releases too.
struct ReleaseRule {
  std::optional<Duration> every;
  std::optional<std::uint32_t> messages;
  bool operator==(const ReleaseRule&) const = default;
};
std::expected<ReleaseRule, TextFault> parse_release(std::string_view text);

/// The instants of one message that end its waiting for good or need a word to its sender.
struct Milestones {
  WallTime warn{};    ///< WallTime::max(): no warning
  WallTime expiry{};  ///< nothing is tried after an attempt that failed then or later
};

struct Schedule {
  std::vector<Duration> retry;
  Duration give_up_after{};
  Duration warn_after{};  ///< 0: never
  unsigned jitter = 10;   ///< a wait is varied by so many hundredths either way

  /// For a message that could first be sent at `start`.
  Milestones milestones(WallTime start) const;
  /// The instant of the next attempt after `attempts` failed ones (1 or more); nothing when it is too late for one.
  std::optional<WallTime> next(const Milestones& milestones, std::uint32_t attempts, WallTime now,
                               std::uint64_t random) const;
};

/// `wait` varied by `percent` hundredths either way.
Duration varied(Duration wait, unsigned percent, std::uint64_t random);
WallTime later(WallTime now, Duration wait);

}  // namespace postern::queue
