// Dates as mail writes them: RFC 5322 with its obsolete forms, IMAP's INTERNALDATE, and RFC 3339.
//
// Parsing is bounded by kMaxDateText and never throws; formatting is always in UTC (+0000), without locale and without
// the C library. Values; any thread.
//
// RFC: 5322 §3.3, §4.3 (obsolete zones, two-digit years), 9051 §9 (date-time), 3339.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "postern/time.h"

namespace postern {

inline constexpr std::size_t kMaxDateText = 256;  ///< octets of a date with its comments; more is no date

struct MailDate {
  WallTime utc{};
  int zone_minutes = 0;    ///< offset as written, east positive
  bool zone_known = true;  ///< false for -0000, military zones, unknown names and no zone at all: taken as UTC
  bool operator==(const MailDate&) const = default;
};

/// A Date field's value: comments, folding, a missing day name or seconds, two-digit years and named zones included.
/// Nothing when it is no date, or names a day that its month does not have.
std::optional<MailDate> parse_mail_date(std::string_view text);

/// "Sat, 21 Nov 2026 23:04:37 +0000", appended.
void append_mail_date(std::string& out, WallTime when);
std::string format_mail_date(WallTime when);

/// IMAP's date-time, " 1-Feb-2026 23:04:37 +0000" (26 octets, without quotes).
std::string format_imap_date(WallTime when);
std::optional<MailDate> parse_imap_date(std::string_view text);

/// RFC 3339, "2026-11-21T23:04:37Z"; parsing takes fractions and offsets as well.
std::string format_rfc3339(WallTime when);
std::optional<WallTime> parse_rfc3339(std::string_view text);

}  // namespace postern
