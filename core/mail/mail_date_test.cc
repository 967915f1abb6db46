#include "postern/mail_date.h"

#include <doctest/doctest.h>

using namespace postern;

namespace {

WallTime at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0, int second = 0) {
  return std::chrono::sys_days(std::chrono::year(year) / static_cast<int>(month) / static_cast<int>(day)) +
         std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
}

void reads(std::string_view text, WallTime utc, int zone = 0, bool known = true) {
  INFO("date: ", text);
  const auto date = parse_mail_date(text);
  REQUIRE(date.has_value());
  CHECK(date->utc == utc);
  CHECK(date->zone_minutes == zone);
  CHECK(date->zone_known == known);
}

}  // namespace

TEST_CASE("dates of RFC 5322 are read, the modern and the obsolete ones") {
  reads("Sat, 21 Nov 2026 23:04:37 +0000", at(2026, 11, 21, 23, 4, 37));
  reads("21 Nov 2026 23:04 +0530", at(2026, 11, 21, 17, 34), 330);
  reads("Fri, 1 Jan 2027 00:30:00 +0100", at(2026, 12, 31, 23, 30), 60);
  reads("Thu, 13 Feb 69 23:32 -0330 (Newfoundland Time)", at(1969, 2, 14, 3, 2), -210);
  reads("21 Nov 97 09:55:06 GMT", at(1997, 11, 21, 9, 55, 6));
  reads("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", at(1997, 11, 21, 15, 55, 6), -360);
  reads("Fri,\r\n 21 (nested (\\) comment)) Nov 1997 09:55:06 EST", at(1997, 11, 21, 14, 55, 6), -300);
  reads("Mon, 1 Feb 104 00:00:00 Z", at(2004, 2, 1));
  reads("1 feb 2004 1:2:3 pdt", at(2004, 2, 1, 8, 2, 3), -420);
  reads("Sat, 29 Feb 2020 12:00:00 -0000", at(2020, 2, 29, 12), 0, false);
  reads("Sat, 29 Feb 2020 12:00:00 A", at(2020, 2, 29, 12), 0, false);
  reads("Sat, 29 Feb 2020 12:00:00", at(2020, 2, 29, 12), 0, false);
  reads("Sat, 30 Jun 2012 23:59:60 +0000", at(2012, 7, 1));
}

TEST_CASE("what is no date is none") {
  for (std::string_view text :
       {"", "yesterday", "Sat, 31 Nov 2026 00:00:00 +0000", "Sun, 29 Feb 2021 00:00:00 +0000",
        "1 Foo 2021 00:00:00 +0000", "1 Jan 2021 24:00:00 +0000", "1 Jan 2021 00:60:00 +0000", "1 Jan 2021 +0000",
        "1 Jan 2021 00:00:00 +9960", "1 Jan 12345 00:00:00 +0000", "1 Jan 1899 00:00:00 +0000",
        "1 Jan 2021 00:00:00 (open", "99999999999 Jan 2021 00:00 +0000"}) {
    INFO("date: ", text);
    CHECK_FALSE(parse_mail_date(text).has_value());
  }
  CHECK_FALSE(parse_mail_date("1 Jan 2021 00:00:00 +0000" + std::string(300, ' ')).has_value());
}

TEST_CASE("dates are written in UTC and read back") {
  CHECK(format_mail_date(at(2026, 11, 21, 23, 4, 37)) == "Sat, 21 Nov 2026 23:04:37 +0000");
  CHECK(format_mail_date(at(2026, 1, 1)) == "Thu, 1 Jan 2026 00:00:00 +0000");
  CHECK(format_mail_date(at(1969, 12, 31, 23, 59, 59) + std::chrono::microseconds(999'999)) ==
        "Wed, 31 Dec 1969 23:59:59 +0000");
  for (WallTime when = at(1999, 12, 30); when < at(2001, 3, 3); when += 37h + 13min + 7s) {
    CHECK(parse_mail_date(format_mail_date(when))->utc == when);
    CHECK(parse_imap_date(format_imap_date(when))->utc == when);
    CHECK(parse_rfc3339(format_rfc3339(when)) == when);
  }
}

TEST_CASE("times beyond the calendar are shown as its ends") {
  CHECK(format_mail_date(WallTime::max()).starts_with("Fri, 31 Dec 9999"));
  CHECK(format_rfc3339(WallTime::min()) == "0000-01-01T00:00:00Z");
}

TEST_CASE("IMAP's date-time has one exact form") {
  CHECK(format_imap_date(at(2026, 2, 1, 3, 4, 5)) == " 1-Feb-2026 03:04:05 +0000");
  CHECK(parse_imap_date("21-Nov-2026 23:04:37 +0100")->utc == at(2026, 11, 21, 22, 4, 37));
  CHECK_FALSE(parse_imap_date("1-Nov-2026 23:04:37 +0100").has_value());
  CHECK_FALSE(parse_imap_date("31-Nov-2026 23:04:37 +0100").has_value());
  CHECK_FALSE(parse_imap_date("21-Nov-2026 23:04:37  0100").has_value());
}

TEST_CASE("RFC 3339 takes fractions and offsets") {
  CHECK(parse_rfc3339("2026-11-21T23:04:37.5Z") == at(2026, 11, 21, 23, 4, 37) + std::chrono::milliseconds(500));
  CHECK(parse_rfc3339("2026-11-21t23:04:37.123456789+02:30") ==
        at(2026, 11, 21, 20, 34, 37) + std::chrono::microseconds(123456));
  CHECK(parse_rfc3339("2026-11-21 23:04:37-00:00") == at(2026, 11, 21, 23, 4, 37));
  for (std::string_view text : {"2026-11-21", "2026-11-21T23:04:37", "2026-11-21T23:04:37.Z", "2026-13-21T23:04:37Z",
                                "2026-11-21T23:04:37Zx", "2026-11-21T23:04:37+0230", "26-11-21T23:04:37Z"}) {
    INFO("date: ", text);
    CHECK_FALSE(parse_rfc3339(text).has_value());
  }
}
