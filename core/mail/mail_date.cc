// Dates without locale: a cursor over the text, and digits put down by hand.
#include "postern/mail_date.h"

#include <algorithm>
#include <array>

#include "core/mail/chars.h"

namespace postern {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr int kFirstYear = 1900;  // RFC 5322 §3.3

struct Moment {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
};

std::optional<WallTime> wall(const Moment& m) {
  const std::chrono::year_month_day date(std::chrono::year(m.year), std::chrono::month(m.month),
                                         std::chrono::day(m.day));
  // 60 is a leap second; it becomes the first second of the next minute.
  if (!date.ok() || m.hour > 23 || m.minute > 59 || m.second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + hours(m.hour) + minutes(m.minute) + seconds(m.second);
}

Moment split(WallTime when) {
  // What no date can write (a damaged record) is shown as the nearest that can.
  constexpr WallTime kFirst = std::chrono::sys_days(std::chrono::year(0) / 1 / 1);
  constexpr WallTime kLast = std::chrono::sys_days(std::chrono::year(9999) / 12 / 31) + days(1) - seconds(1);
  when = std::clamp(when, kFirst, kLast);
  const auto day = std::chrono::floor<days>(when);
  const std::chrono::year_month_day date(day);
  const auto in_day = static_cast<unsigned>(std::chrono::floor<seconds>(when - day).count());
  return {static_cast<int>(date.year()),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          in_day / 3600,
          in_day / 60 % 60,
          in_day % 60};
}

unsigned weekday(const Moment& m) {
  return std::chrono::weekday(
             std::chrono::sys_days(std::chrono::year(m.year) / static_cast<int>(m.month) / static_cast<int>(m.day)))
      .c_encoding();
}

void put_digits(std::string& out, unsigned value, int width) {
  std::array<char, 4> digits{};
  for (int i = width; i-- > 0; value /= 10) digits[static_cast<std::size_t>(i)] = static_cast<char>('0' + value % 10);
  out.append(digits.data(), static_cast<std::size_t>(width));
}

void put_time(std::string& out, const Moment& m) {
  put_digits(out, m.hour, 2);
  out += ':';
  put_digits(out, m.minute, 2);
  out += ':';
  put_digits(out, m.second, 2);
}

class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}
  void blanks() {
    while (!rest_.empty() && mail::is_space(rest_.front())) rest_.remove_prefix(1);
  }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool at_end() const { return rest_.empty(); }
  /// A number of `least` to `most` digits; nothing otherwise, also when more digits follow.
  std::optional<unsigned> number(std::size_t least, std::size_t most) {
    std::size_t n = 0;
    unsigned value = 0;
    while (n < rest_.size() && n <= most && mail::is_digit(rest_[n]))
      value = value * 10 + static_cast<unsigned>(rest_[n++] - '0');
    if (n < least || n > most) return std::nullopt;
    rest_.remove_prefix(n);
    digits_ = n;
    return value;
  }
  std::optional<unsigned> digit() {
    if (rest_.empty() || !mail::is_digit(rest_.front())) return std::nullopt;
    const auto value = static_cast<unsigned>(rest_.front() - '0');
    rest_.remove_prefix(1);
    return value;
  }
  std::size_t digits() const { return digits_; }  ///< of the last number
  std::string_view word() {
    std::size_t n = 0;
    while (n < rest_.size() && mail::is_alpha(rest_[n])) ++n;
    const std::string_view value = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return value;
  }

 private:
  std::string_view rest_;
  std::size_t digits_ = 0;
};

std::optional<unsigned> month_number(std::string_view word) {
  if (word.size() < 3) return std::nullopt;  // "Sept" and full names occur
  for (unsigned i = 0; i < 12; ++i) {
    if (mail::iequals(word.substr(0, 3), kMonths.substr(i * 3, 3))) return i + 1;
  }
  return std::nullopt;
}

// The text with each comment as one blank; nothing when a comment is not closed.
std::optional<std::string> without_comments(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && depth > 0) {
      ++i;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')' && depth > 0) {
      if (--depth == 0) out += ' ';
    } else if (depth == 0) {
      out += text[i];
    }
  }
  return depth == 0 ? std::optional(out) : std::nullopt;
}

// "hh:mm" or "hh:mm:ss", with blanks around the colons (RFC 5322 §4.3).
bool read_time(Cursor& in, Moment& m) {
  const auto hour = in.number(1, 2);
  in.blanks();
  if (!hour || !in.take(':')) return false;
  in.blanks();
  const auto minute = in.number(1, 2);
  if (!minute) return false;
  m.hour = *hour;
  m.minute = *minute;
  in.blanks();
  if (!in.take(':')) return true;
  in.blanks();
  const auto second = in.number(1, 2);
  m.second = second.value_or(0);
  return second.has_value();
}

bool read_offset(Cursor& in, bool negative, MailDate& date) {
  const auto digits = in.number(4, 4);
  if (!digits || *digits % 100 > 59) return false;
  const int offset = static_cast<int>(*digits / 100 * 60 + *digits % 100);
  date.zone_minutes = negative ? -offset : offset;
  date.zone_known = !negative || offset != 0;  // -0000: RFC 5322 §3.3
  return true;
}

bool read_zone(Cursor& in, MailDate& date) {
  if (in.take('+')) return read_offset(in, false, date);
  if (in.take('-')) return read_offset(in, true, date);
  struct Zone {
    std::string_view name;
    int offset_hours;
  };
  static constexpr std::array<Zone, 12> kZones{{{"UT", 0},
                                                {"UTC", 0},
                                                {"GMT", 0},
                                                {"Z", 0},
                                                {"EST", -5},
                                                {"EDT", -4},
                                                {"CST", -6},
                                                {"CDT", -5},
                                                {"MST", -7},
                                                {"MDT", -6},
                                                {"PST", -8},
                                                {"PDT", -7}}};
  const std::string_view word = in.word();
  const auto zone = std::ranges::find_if(kZones, [&](const Zone& z) { return mail::iequals(z.name, word); });
  date.zone_known = zone != kZones.end();
  if (date.zone_known) date.zone_minutes = zone->offset_hours * 60;
  return true;
}

std::optional<MailDate> finished(const Moment& m, MailDate date) {
  const std::optional<WallTime> local = wall(m);
  if (!local) return std::nullopt;
  date.utc = *local - minutes(date.zone_minutes);
  return date;
}

}  // namespace

std::optional<MailDate> parse_mail_date(std::string_view text) {
  if (text.size() > kMaxDateText) return std::nullopt;
  const std::optional<std::string> plain = without_comments(text);
  if (!plain) return std::nullopt;
  Cursor in(*plain);
  in.blanks();
  if (!in.word().empty()) {  // a wrong day of the week is no reason to lose the date
    in.blanks();
    in.take(',');
    in.blanks();
  }
  Moment m;
  const auto day = in.number(1, 2);
  in.blanks();
  const auto month = month_number(in.word());
  in.blanks();
  const auto year = in.number(2, 4);
  if (!day || !month || !year) return std::nullopt;
  m.day = *day;
  m.month = *month;
  m.year = static_cast<int>(*year);
  if (in.digits() == 2) m.year += m.year < 50 ? 2000 : 1900;  // RFC 5322 §4.3
  if (in.digits() == 3) m.year += 1900;
  in.blanks();
  if (m.year < kFirstYear || !read_time(in, m)) return std::nullopt;
  in.blanks();
  MailDate date;
  if (!read_zone(in, date)) return std::nullopt;
  return finished(m, date);
}

void append_mail_date(std::string& out, WallTime when) {
  const Moment m = split(when);
  out += kDays.substr(weekday(m) * 3, 3);
  out += ", ";
  put_digits(out, m.day, m.day < 10 ? 1 : 2);
  out += ' ';
  out += kMonths.substr((m.month - 1) * 3, 3);
  out += ' ';
  put_digits(out, static_cast<unsigned>(m.year), 4);
  out += ' ';
  put_time(out, m);
  out += " +0000";
}

std::string format_mail_date(WallTime when) {
  std::string out;
  out.reserve(31);
  append_mail_date(out, when);
  return out;
}

std::string format_imap_date(WallTime when) {
  const Moment m = split(when);
  std::string out;
  out.reserve(26);
  if (m.day < 10) out += ' ';
  put_digits(out, m.day, m.day < 10 ? 1 : 2);
  out += '-';
  out += kMonths.substr((m.month - 1) * 3, 3);
  out += '-';
  put_digits(out, static_cast<unsigned>(m.year), 4);
  out += ' ';
  put_time(out, m);
  out += " +0000";
  return out;
}

std::optional<MailDate> parse_imap_date(std::string_view text) {
  if (text.size() != 26) return std::nullopt;
  Cursor in(text);
  in.take(' ');
  const auto day = in.number(1, 2);
  if (!day || !in.take('-')) return std::nullopt;
  const auto month = month_number(in.word());
  if (!month || !in.take('-')) return std::nullopt;
  const auto year = in.number(4, 4);
  if (!year || !in.take(' ')) return std::nullopt;
  Moment m{static_cast<int>(*year), *month, *day};
  if (!read_time(in, m) || !in.take(' ')) return std::nullopt;
  const bool negative = in.take('-');
  MailDate date;
  if ((!negative && !in.take('+')) || !read_offset(in, negative, date) || !in.at_end()) return std::nullopt;
  return finished(m, date);
}

std::string format_rfc3339(WallTime when) {
  const Moment m = split(when);
  std::string out;
  out.reserve(20);
  put_digits(out, static_cast<unsigned>(m.year), 4);
  out += '-';
  put_digits(out, m.month, 2);
  out += '-';
  put_digits(out, m.day, 2);
  out += 'T';
  put_time(out, m);
  out += 'Z';
  return out;
}

namespace {

// "YYYY-MM-DDThh:mm:ss" with fractions, zone not included.
std::optional<WallTime> read_rfc3339(Cursor& in) {
  const auto year = in.number(4, 4);
  const bool dash1 = in.take('-');
  const auto month = in.number(2, 2);
  const bool dash2 = in.take('-');
  const auto day = in.number(2, 2);
  if (!year || !month || !day || !dash1 || !dash2 || (!in.take('T') && !in.take('t') && !in.take(' ')))
    return std::nullopt;
  const auto hour = in.number(2, 2);
  const bool colon1 = in.take(':');
  const auto minute = in.number(2, 2);
  const bool colon2 = in.take(':');
  const auto second = in.number(2, 2);
  if (!hour || !minute || !second || !colon1 || !colon2) return std::nullopt;
  std::optional<WallTime> when = wall({static_cast<int>(*year), *month, *day, *hour, *minute, *second});
  if (!when || !in.take('.')) return when;
  std::int64_t unit = 100'000;  // microseconds; finer digits are passed over
  auto digit = in.digit();
  if (!digit) return std::nullopt;
  for (; digit; digit = in.digit(), unit /= 10) *when += std::chrono::microseconds(*digit * unit);
  return when;
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  if (text.size() > kMaxDateText) return std::nullopt;
  Cursor in(text);
  const std::optional<WallTime> when = read_rfc3339(in);
  if (!when) return std::nullopt;
  if (in.take('Z') || in.take('z')) return in.at_end() ? when : std::nullopt;
  const bool negative = in.take('-');
  if (!negative && !in.take('+')) return std::nullopt;
  const auto zone_hours = in.number(2, 2);
  const bool colon = in.take(':');
  const auto zone_minutes = in.number(2, 2);
  if (!zone_hours || !zone_minutes || !colon || *zone_hours > 23 || *zone_minutes > 59 || !in.at_end())
    return std::nullopt;
  const auto offset = hours(*zone_hours) + minutes(*zone_minutes);
  return negative ? *when + offset : *when - offset;
}

}  // namespace postern
