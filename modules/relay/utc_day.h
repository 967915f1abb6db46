// Days of the universal calendar: what reports and warm-ups count by.
//
// Values; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "postern/mail_date.h"
#include "postern/time.h"

namespace postern::relay {

using UtcDay = std::chrono::sys_days;
inline UtcDay utc_day(WallTime when) {
  return std::chrono::floor<std::chrono::days>(when);
}
/// "2026-11-22"
inline std::string day_text(UtcDay day) {
  return format_rfc3339(day).substr(0, 10);
}
inline std::optional<UtcDay> parse_day(std::string_view text) {
  if (text.size() != 10) return std::nullopt;
  const auto when = parse_rfc3339(std::string(text) + "T00:00:00Z");
  return when ? std::optional(utc_day(*when)) : std::nullopt;
}
/// Until the next one begins.
inline Duration until_midnight(WallTime now) {
  return utc_day(now) + std::chrono::days(1) - now;
}

}  // namespace postern::relay
