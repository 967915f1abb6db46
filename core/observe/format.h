// Lines of the log as text and as JSON, written into a buffer of fixed size: no allocation on the way.
//
// Nothing from outside reaches the log raw: control characters, and those that turn the direction of
// writing or end a line for some, are escaped, and octets that are not UTF-8 are written
// as
// \xNN in text and as U+FFFD in JSON, so that a line is always one line and always valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "postern/log.h"

namespace postern {

/// Appends to a span; what does not fit is left out and remembered.
class LineBuffer {
 public:
  explicit LineBuffer(std::span<char> room) : begin_(room.data()), at_(room.data()), end_(room.data() + room.size()) {}
  void put(char c) {
    if (at_ != end_)
      *at_++ = c;
    else
      cut_ = true;
  }
  void put(std::string_view text);
  void put_number(std::uint64_t number);
  void put_signed(std::int64_t number);
  void put_padded(std::uint64_t number, int digits);
  std::string_view view() const { return {begin_, static_cast<std::size_t>(at_ - begin_)}; }
  std::size_t room() const { return static_cast<std::size_t>(end_ - at_); }
  bool was_cut() const { return cut_; }
  void back_to(std::size_t size) { at_ = begin_ + size; }

 private:
  char* begin_;
  char* at_;
  char* end_;
  bool cut_ = false;
};

/// " key=value" for each field (text), or ",\"key\":value" (JSON).
void format_fields(LineBuffer& out, LogFormat format, LogFields fields);

/// The calendar part of a time stamp, kept for the second it is valid in.
class TimeStamp {
 public:
  void put(LineBuffer& out, WallTime when);  ///< "2026-11-21T10:00:00.123456Z"

 private:
  std::int64_t second_ = INT64_MIN;
  char text_[20] = {};  // "2026-11-21T10:00:00."
};

struct LineParts {
  LogLevel level;
  std::string_view event;
  std::string_view bound;  // made by format_fields()
};

/// Adds fields to the prefix of a child Log.
void bind_fields(std::string& bound, LogFormat format, LogFields fields);

/// A whole line with its end. A line that does not fit is cut between fields and marked with cut=true.
std::string_view format_line(std::span<char> room, LogFormat format, bool journald, TimeStamp& stamp, WallTime when,
                             const LineParts& parts, LogFields fields);

}  // namespace postern
