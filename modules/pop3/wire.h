// What a message's octets become on the wire: lines that begin with a dot get one more, and TOP sends only the first
// lines.
//
// Both work on chunks as they come and copy nothing. Thread: any.
// RFC: 1939 §3 (byte-stuffing), §7 (TOP).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::pop3 {

/// Doubles the dot at the start of a line, by sending it once with the text before and once with the text after.
class DotStuffer {
 public:
  struct Piece {
    std::size_t send = 0;     ///< octets of `text` to send
    std::size_t consume = 0;  ///< octets of `text` to take off before the next call: one less where a dot is doubled
  };
  Piece next(std::string_view text);
  /// What ends the message now: its last line may have come without an end.
  std::string_view terminator() const { return line_start_ ? ".\r\n" : "\r\n.\r\n"; }

 private:
  bool line_start_ = true;
};

/// The header, the empty line, and `lines` lines of the body.
class TopLimit {
 public:
  explicit TopLimit(std::uint64_t lines) : lines_(lines) {}
  /// The part of `chunk` that belongs to it.
  std::string_view take(std::string_view chunk);
  bool done() const { return done_; }

 private:
  bool line_ends();  // true when nothing after this line belongs to it

  std::uint64_t lines_;
  bool in_header_ = true;
  bool line_empty_ = true;  // nothing but CR since the last LF
  bool done_ = false;
};

}  // namespace postern::pop3
