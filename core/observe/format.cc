#include "core/observe/format.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

namespace postern {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Length of the well-formed UTF-8 character at the front (RFC 3629 §4), or 0.
std::size_t utf8_length(std::string_view text) {
  auto octet = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  auto follows = [&](std::size_t at, unsigned low = 0x80, unsigned high = 0xBF) {
    return at < text.size() && octet(at) >= low && octet(at) <= high;
  };
  unsigned first = octet(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    bool second = follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    bool second = follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// C1 controls (U+0080 to U+009F) drive terminals as much as ESC does.
bool is_c1(std::string_view text, std::size_t length) {
  return length == 2 && static_cast<unsigned char>(text[0]) == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
}

// Characters that change how what stands around them is shown, or end a line for some: the marks, embeddings, overrides
// and isolates of writing from right to left (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069), and the line
// and paragraph separators (U+2028, U+2029). 0 when `text` does not begin with one.
unsigned deceiver(std::string_view text, std::size_t length) {
  auto octet = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  if (length == 2 && octet(0) == 0xD8 && octet(1) == 0x9C) return 0x061C;
  if (length != 3 || octet(0) != 0xE2) return 0;
  const unsigned code = 0x2000u | (octet(1) & 0x3Fu) << 6 | (octet(2) & 0x3Fu);
  const bool one =
      code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  return one ? code : 0;
}

// A table: each octet of each line that is logged is looked up.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (unsigned octet = 0x21; octet < 0x7f; ++octet) plain[octet] = octet != '"' && octet != '\\' && octet != '=';
  return plain;
}();

bool is_plain(char c) {
  return kPlain[static_cast<unsigned char>(c)];
}

bool all_plain(std::string_view text) {
  bool plain = true;
  for (char c : text) plain &= is_plain(c);
  return plain;
}

void put_escape(LineBuffer& out, LogFormat format, unsigned char octet) {
  if (octet == '\n') return out.put("\\n");
  if (octet == '\r') return out.put("\\r");
  if (octet == '\t') return out.put("\\t");
  if (octet == '"') return out.put("\\\"");
  if (octet == '\\') return out.put("\\\\");
  out.put(format == LogFormat::kJson ? "\\u00" : "\\x");
  out.put(kHex[octet >> 4]);
  out.put(kHex[octet & 15]);
}

void put_quoted(LineBuffer& out, LogFormat format, std::string_view text) {
  out.put('"');
  while (!text.empty()) {
    auto octet = static_cast<unsigned char>(text.front());
    std::size_t length = utf8_length(text);
    if (length == 0) {
      if (format == LogFormat::kJson)
        out.put("\\ufffd");
      else
        put_escape(out, format, octet);
      length = 1;
    } else if (is_c1(text, length)) {
      out.put("\\u00");
      out.put(kHex[static_cast<unsigned char>(text[1]) >> 4]);
      out.put(kHex[static_cast<unsigned char>(text[1]) & 15]);
    } else if (const unsigned code = deceiver(text, length)) {
      out.put("\\u");
      for (int shift = 12; shift >= 0; shift -= 4) out.put(kHex[code >> shift & 15]);
    } else if (octet < 0x20 || octet == 0x7f || octet == '"' || octet == '\\') {
      put_escape(out, format, octet);
    } else {
      out.put(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out.put('"');
}

void put_text(LineBuffer& out, LogFormat format, std::string_view text) {
  bool cut = text.size() > LogSystem::kMaxFieldBytes;
  if (cut) {
    std::size_t end = LogSystem::kMaxFieldBytes;
    while (end > LogSystem::kMaxFieldBytes - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  if (format == LogFormat::kText && !cut && !text.empty() && all_plain(text)) return out.put(text);
  put_quoted(out, format, text);
  if (!cut) return;
  out.back_to(out.view().size() - (out.view().ends_with('"') ? 1 : 0));  // the mark belongs inside the quotes
  out.put("...\"");
}

void put_double(LineBuffer& out, LogFormat format, double number) {
  if (!std::isfinite(number))
    return out.put(format == LogFormat::kJson ? "null" : std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
  char text[32];
  auto [end, error] = std::to_chars(text, text + sizeof text, number);
  out.put({text, static_cast<std::size_t>(end - text)});
}

void put_duration(LineBuffer& out, std::int64_t nanoseconds) {
  auto rest = static_cast<std::uint64_t>(nanoseconds);
  if (nanoseconds < 0) {
    out.put('-');
    rest = 0 - rest;
  }
  out.put_number(rest / 1'000'000'000);
  out.put('.');
  out.put_padded(rest % 1'000'000'000 / 1000, 6);
}

void put_value(LineBuffer& out, LogFormat format, const LogField& field) {
  switch (field.kind) {
    case LogField::Kind::kText:
      return put_text(out, format, field.text);
    case LogField::Kind::kSigned:
      return out.put_signed(field.integer);
    case LogField::Kind::kUnsigned:
      return out.put_number(field.natural);
    case LogField::Kind::kDouble:
      return put_double(out, format, field.real);
    case LogField::Kind::kBool:
      return out.put(field.truth ? "true" : "false");
    case LogField::Kind::kDuration:
      return put_duration(out, field.integer);
  }
}

// Keys and events are literals of the program; should one not be, the line still must not break.
void put_name(LineBuffer& out, std::string_view name) {
  if (all_plain(name)) return out.put(name);
  for (char c : name) out.put(is_plain(c) ? c : '_');
}

void put_field(LineBuffer& out, LogFormat format, const LogField& field) {
  if (format == LogFormat::kText) {
    out.put(' ');
    put_name(out, field.key);
    out.put('=');
  } else {
    out.put(",\"");
    put_name(out, field.key);
    out.put("\":");
  }
  put_value(out, format, field);
}

// Priorities of syslog (RFC 5424 §6.2.1), as sd-daemon(3) wants them in front of a line.
std::string_view journal_prefix(LogLevel level) {
  constexpr std::string_view kPrefix[] = {"<7>", "<7>", "<6>", "<4>", "<3>"};
  return level < LogLevel::kOff ? kPrefix[static_cast<int>(level)] : "<3>";
}

void put_head(LineBuffer& out, LogFormat format, TimeStamp& stamp, WallTime when, const LineParts& parts) {
  if (format == LogFormat::kText) {
    stamp.put(out, when);
    out.put(' ');
    out.put(to_text(parts.level));
    out.put(' ');
    put_name(out, parts.event);
  } else {
    out.put("{\"time\":\"");
    stamp.put(out, when);
    out.put("\",\"level\":\"");
    out.put(to_text(parts.level));
    out.put("\",\"event\":\"");
    put_name(out, parts.event);
    out.put('"');
  }
}

}  // namespace

void LineBuffer::put(std::string_view text) {
  std::size_t taken = text.size() <= room() ? text.size() : room();
  if (taken) std::memcpy(at_, text.data(), taken);  // an empty view may have no address
  at_ += taken;
  if (taken != text.size()) cut_ = true;
}

void LineBuffer::put_number(std::uint64_t number) {
  char text[20];
  auto [end, error] = std::to_chars(text, text + sizeof text, number);
  put({text, static_cast<std::size_t>(end - text)});
}

void LineBuffer::put_signed(std::int64_t number) {
  if (number < 0) put('-');
  put_number(number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number));
}

void LineBuffer::put_padded(std::uint64_t number, int digits) {
  char text[20];
  for (int at = digits - 1; at >= 0; --at, number /= 10) text[at] = static_cast<char>('0' + number % 10);
  put({text, static_cast<std::size_t>(digits)});
}

void format_fields(LineBuffer& out, LogFormat format, LogFields fields) {
  for (const LogField& field : fields) put_field(out, format, field);
}

void TimeStamp::put(LineBuffer& out, WallTime when) {
  using namespace std::chrono;
  auto whole = floor<seconds>(when);
  if (whole.time_since_epoch().count() != second_) {
    second_ = whole.time_since_epoch().count();
    auto day = floor<days>(whole);
    year_month_day date(day);
    hh_mm_ss time(whole - day);
    LineBuffer text(text_);
    text.put_padded(static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
    text.put('-');
    text.put_padded(static_cast<unsigned>(date.month()), 2);
    text.put('-');
    text.put_padded(static_cast<unsigned>(date.day()), 2);
    text.put('T');
    text.put_padded(static_cast<std::uint64_t>(time.hours().count()), 2);
    text.put(':');
    text.put_padded(static_cast<std::uint64_t>(time.minutes().count()), 2);
    text.put(':');
    text.put_padded(static_cast<std::uint64_t>(time.seconds().count()), 2);
    text.put('.');
  }
  out.put({text_, sizeof text_});
  out.put_padded(static_cast<std::uint64_t>((when - whole).count()), 6);
  out.put('Z');
}

std::string_view format_line(std::span<char> room, LogFormat format, bool journald, TimeStamp& stamp, WallTime when,
                             const LineParts& parts, LogFields fields) {
  const std::string_view end = format == LogFormat::kText ? "\n" : "}\n";
  const std::string_view cut = format == LogFormat::kText ? " cut=true" : ",\"cut\":true";
  LineBuffer out(room.first(room.size() - end.size() - cut.size()));
  if (journald) out.put(journal_prefix(parts.level));
  put_head(out, format, stamp, when, parts);
  std::size_t good = out.view().size();
  out.put(parts.bound);
  for (const LogField& field : fields) {
    if (out.was_cut()) break;
    good = out.view().size();
    put_field(out, format, field);
  }
  if (out.was_cut()) out.back_to(good);
  bool mark = out.was_cut();
  LineBuffer tail(room.subspan(out.view().size()));
  if (mark) tail.put(cut);
  tail.put(end);
  return {room.data(), out.view().size() + tail.view().size()};
}

}  // namespace postern
