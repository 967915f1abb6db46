// A text as DATA wants it: dots at the beginning of lines doubled (RFC 5321 §4.5.2), lines ended by CRLF and by nothing
// else.
//
// Lone CR and LF, which RFC 5321 §2.3.8 forbids, become CRLF: what leaves here must look the same to every receiver,
// or a text could smuggle a second message past one that takes them for line ends.
// Owner: one transaction. Costs one pass; octets that need no change are appended in long runs.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "postern/text_block.h"

namespace postern::relay {

class DotStuffer {
 public:
  /// `put(std::string_view)` gets the pieces of the result.
  template <class Put>
  void feed(std::string_view piece, Put&& put);
  /// The end of the text, with its dot.
  template <class Put>
  void finish(Put&& put);

 private:
  static const char* pass_whole_lines(const char* at, const char* end);

  bool line_start_ = true;
  bool cr_ = false;  ///< the last octet was CR; it is written with what follows
};

/// Over blocks that leave as they are: lines end by CRLF, and no dot begins one, nor what follows the block.
inline const char* DotStuffer::pass_whole_lines(const char* at, const char* end) {
  bool after_cr = false;
  TextBlocks blocks;
  for (; end - at > static_cast<std::ptrdiff_t>(TextBlock::kSize); at += TextBlock::kSize) {
    const TextBlock& block = blocks.next(at, end);
    if (!block.lines_are_whole(after_cr) || block.dot) break;
    after_cr = block.ends_in_cr();
  }
  return at - (after_cr ? 1 : 0);  // a CR is judged with what follows it
}

template <class Put>
void DotStuffer::feed(std::string_view piece, Put&& put) {
  if (piece.empty()) return;
  if (cr_) {
    if (piece.front() == '\n') piece.remove_prefix(1);
    put(std::string_view("\r\n"));
    line_start_ = true;
    cr_ = false;
  }
  const char* const end = piece.data() + piece.size();
  const auto next = [end](const char* at, char wanted) {
    const void* found = std::memchr(at, wanted, static_cast<std::size_t>(end - at));
    return found ? static_cast<const char*>(found) : end;
  };
  const char* written = piece.data();  // up to here
  const char* cr = nullptr;            // the next one, kept while it is ahead; `end`: none is left
  for (const char* at = piece.data(); at != end;) {
    if (line_start_ && *at == '.') {
      if (at != written) put(std::string_view(written, at));
      put(std::string_view("."));
      written = at;
    }
    line_start_ = false;
    at = pass_whole_lines(at, end);
    const char* lf = next(at, '\n');
    if (!cr || cr < at) cr = next(at, '\r');
    if (lf == end && cr == end) break;
    if (lf != end && cr + 1 == lf) {  // a line like most
      at = lf + 1;
      line_start_ = true;
      continue;
    }
    const char* alone = std::min(cr, lf);
    if (alone != written) put(std::string_view(written, alone));
    if (alone == cr && cr + 1 == end) {
      cr_ = true;
      return;
    }
    put(std::string_view("\r\n"));
    line_start_ = true;
    written = at = alone + 1;
  }
  if (written != end) put(std::string_view(written, end));
}

template <class Put>
void DotStuffer::finish(Put&& put) {
  if (cr_ || !line_start_) put(std::string_view("\r\n"));
  put(std::string_view(".\r\n"));
}

}  // namespace postern::relay
