// The text of a message as it comes over the wire: finds its end, takes stuffed dots out, and watches its line ends.
//
// Only CRLF "." CRLF ends a message, and only a dot right behind CRLF (or at the start) is unstuffed. A bare CR or LF
// never is a line end for either purpose, whatever becomes of it: that is what keeps a second message from being
// smuggled inside a first (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2). Chunks of BDAT go through the same watch, without dots.
//
// Pure and zero-copy: next() answers with views into its input (or a constant), so that whole runs of lines are handed
// on at once. The result does not depend on how the input was split (tests/fuzz/smtp_data_fuzz.cc holds it to that).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::smtp {

class BodyScanner {
 public:
  enum class Framing : std::uint8_t { kDots, kChunks };
  /// `normalize`: a bare LF becomes CRLF and a bare CR a space (it must not make a line); else both are only noted, and
  /// the text that comes out is not to be used.
  BodyScanner(Framing framing, bool normalize) : dots_(framing == Framing::kDots), normalize_(normalize) {}

  struct Step {
    std::string_view piece;    ///< text of the message; may be empty
    std::size_t consumed = 0;  ///< octets of the input that are done with
    bool ended = false;        ///< the final dot's line was consumed
  };
  /// Scans `input` (not empty). Call again with what follows `consumed`; a step consumes something or yields a piece.
  Step next(std::string_view input);
  /// After the last chunk: what is still to be appended, so that the text ends in CRLF.
  std::string_view finish();

  bool bare_newline() const { return bare_; }  ///< a CR or LF that was no CRLF
  bool nul() const { return nul_; }
  std::size_t longest_line() const { return longest_; }  ///< octets without CRLF
  bool has_8bit() const { return high_; }

 private:
  enum class State : std::uint8_t {
    kLineStart,  ///< behind CRLF, or at the beginning
    kText,
    kCr,     ///< a CR waits for its LF; not yet handed on
    kDot,    ///< a dot at a line's start waits for what follows
    kDotCr,  ///< the same with a CR
  };
  Step pending(std::string_view input);
  Step bare_cr();
  Step run(std::string_view input);
  std::size_t pass_whole_lines(std::string_view input, std::size_t at, std::size_t& line_start);
  void end_line(std::size_t octets) {
    line_ += octets;
    if (line_ > longest_) longest_ = line_;
    line_ = 0;
  }

  const bool dots_;
  const bool normalize_;
  State state_ = State::kLineStart;
  bool bare_ = false;
  bool nul_ = false;
  bool high_ = false;
  bool line_made_ = false;  // what was handed on last is a CRLF that was a bare LF
  std::size_t line_ = 0;    // octets of the present line in earlier steps
  std::size_t longest_ = 0;
};

}  // namespace postern::smtp
