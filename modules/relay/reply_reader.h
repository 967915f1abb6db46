// Replies of the other side, taken from a Stream's buffer; several that came together cost one read.
//
// Shape:  "250-text" lines up to "250 text" (RFC 5321 §4.2). Kept: the code, the enhanced code of RFC 3463 when the
//         lines begin with one, and up to kMaxText octets of text, lines parted by LF, with what is not printable as
//         '?'.
// Limits: kMaxLine octets of a line (RFC 5321 says 512; real servers write more), kMaxLines lines. What passes them, or
//         is no reply, ends the connection: kBroken.
// Thread: the stream's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "postern/stream.h"
#include "postern/verdict.h"

namespace postern::relay {

class ReplyReader {
 public:
  static constexpr std::size_t kMaxLine = 4096;
  static constexpr std::size_t kMaxLines = 200;
  static constexpr std::size_t kMaxText = 4096;

  enum class State { kDone, kMore, kBroken };
  /// Takes what there is of the next reply. kMore: wait for more octets and come again. kDone: reply() is whole.
  State take(Stream& stream);
  Reply& reply() { return reply_; }

 private:
  State take_line(std::string_view line);
  void add_text(std::string_view text, bool first);
  Reply reply_;
  std::size_t lines_ = 0;
};

/// The enhanced code at the beginning of a reply's text, "5.7.1"; empty when there is none for that class.
std::string_view enhanced_code(std::string_view text, int code);

}  // namespace postern::relay
