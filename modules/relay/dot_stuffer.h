// A text as DATA wants it: dots at the beginning of lines doubled (RFC 5321 §4.5.2), lines ended by CRLF and by nothing
// else.
//
// Lone CR and LF, which RFC 5321 §2.3.8 forbids, become CRLF: what leaves here must look the same to every receiver,
// or a text could smuggle a second message past one that takes them for line ends.
// Owner: one transaction. Costs one pass; octets that need no change are appended in long runs.
#pragma once

#include <string_view>

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
  bool line_start_ = true;
  bool cr_ = false;  ///< the last octet was CR; it is written with what follows
};

template <class Put>
void DotStuffer::feed(std::string_view piece, Put&& put) {
  if (piece.empty()) return;
  if (cr_) {
    if (piece.front() == '\n') piece.remove_prefix(1);
    put(std::string_view("\r\n"));
    line_start_ = true;
    cr_ = false;
  }
  while (!piece.empty()) {
    if (line_start_ && piece.front() == '.') put(std::string_view("."));
    // A run ends where something must be written that is not in the piece.
    std::size_t at = 0;
    std::size_t resume = piece.size();
    std::size_t end = piece.size();
    line_start_ = false;
    while (true) {
      at = piece.find_first_of("\r\n", at);
      if (at == piece.npos) break;
      if (piece[at] == '\r' && at + 1 == piece.size()) {
        cr_ = true;
        end = at;
        break;
      }
      if (piece[at] == '\r' && piece[at + 1] == '\n') {
        at += 2;
        if (at < piece.size() && piece[at] != '.') continue;
        line_start_ = true;
        end = resume = at;
        break;
      }
      end = at;  // alone
      resume = at + 1;
      break;
    }
    if (end != 0) put(piece.substr(0, end));
    if (cr_) return;
    if (at != piece.npos && end != resume) {
      put(std::string_view("\r\n"));
      line_start_ = true;
    }
    piece.remove_prefix(resume);
  }
}

template <class Put>
void DotStuffer::finish(Put&& put) {
  if (cr_ || !line_start_) put(std::string_view("\r\n"));
  put(std::string_view(".\r\n"));
}

}  // namespace postern::relay
