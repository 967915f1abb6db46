#include "body_scanner.h"

#include <bit>

#include "postern/text_block.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace postern::smtp {

namespace {

constexpr std::string_view kCrLf = "\r\n";
constexpr std::string_view kSpace = " ";

bool special(char c) {
  return c == '\r' || c == '\n' || c == '\0';
}

/// Offset of the next CR, LF or NUL at or after `from`; `text.size()` when there is none. Notes octets above 127.
std::size_t find_special(std::string_view text, std::size_t from, bool& high) {
#if defined(__SSE2__)
  const __m128i cr = _mm_set1_epi8('\r');
  const __m128i lf = _mm_set1_epi8('\n');
  const __m128i zero = _mm_setzero_si128();
  while (from + 16 <= text.size()) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
    const __m128i hit =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, cr), _mm_cmpeq_epi8(block, lf)), _mm_cmpeq_epi8(block, zero));
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(hit));
    const auto above = static_cast<unsigned>(_mm_movemask_epi8(block));
    if (bits != 0) {
      const int at = std::countr_zero(bits);
      high |= (above & ((1U << at) - 1)) != 0;
      return from + static_cast<std::size_t>(at);
    }
    high |= above != 0;
    from += 16;
  }
#endif
  for (; from < text.size() && !special(text[from]); ++from)
    high |= (static_cast<unsigned char>(text[from]) & 0x80) != 0;
  return from;
}

}  // namespace

BodyScanner::Step BodyScanner::next(std::string_view input) {
  if (state_ == State::kLineStart && dots_ && input.front() == '.') {
    state_ = State::kDot;
    return {{}, 1, false};
  }
  if (state_ == State::kLineStart || state_ == State::kText) return run(input);
  return pending(input);
}

BodyScanner::Step BodyScanner::pending(std::string_view input) {
  const char c = input.front();
  switch (state_) {
    case State::kCr:
      if (c != '\n') return bare_cr();
      end_line(0);
      state_ = State::kLineStart;
      return {kCrLf, 1, false};
    case State::kDot:
      if (c != '\r') {
        state_ = State::kText;  // the dot was stuffed; what follows is text, be it a bare LF
        return run(input);
      }
      state_ = State::kDotCr;
      return {{}, 1, false};
    default:  // kDotCr
      if (c != '\n') return bare_cr();
      return {{}, 1, true};
  }
}

/// The CR that was held turned out to stand alone.
BodyScanner::Step BodyScanner::bare_cr() {
  bare_ = true;
  line_made_ = false;
  state_ = State::kText;
  ++line_;
  return {kSpace, 0, false};
}

/// Goes on over blocks in which nothing is odd: lines end by CRLF, no NUL, no dot to be unstuffed, nor one behind them.
/// Most octets of most messages are seen here only.
std::size_t BodyScanner::pass_whole_lines(std::string_view input, std::size_t at, std::size_t& line_start) {
  bool after_cr = false;
  TextBlocks blocks;
  for (; at + TextBlock::kSize < input.size(); at += TextBlock::kSize) {
    const TextBlock& block = blocks.next(input.data() + at, input.data() + input.size());
    if (!block.lines_are_whole(after_cr) || block.nul || (dots_ && block.dot)) break;
    if (block.lf != 0) {
      const auto first = static_cast<std::size_t>(std::countr_zero(block.lf));
      end_line(at + first - 1 - line_start);
      // Lines within the block are shorter than it.
      if (longest_ < TextBlock::kSize)
        for (std::uint64_t ends = block.lf, last = first; (ends &= ends - 1) != 0;) {
          const auto lf = static_cast<std::size_t>(std::countr_zero(ends));
          end_line(lf - last - 2);
          last = lf;
        }
      line_start = at + TextBlock::kSize - static_cast<std::size_t>(std::countl_zero(block.lf));
    }
    high_ |= block.high;
    after_cr = block.ends_in_cr();
  }
  return at - (after_cr ? 1 : 0);  // a CR is judged with what follows it
}

/// Hands on as much as lies in one piece: to the next dot at a line's start, oddity, or the end of the input.
BodyScanner::Step BodyScanner::run(std::string_view input) {
  std::size_t line_start = 0;  // of the present line in `input`
  std::size_t at = 0;
  state_ = State::kText;
  line_made_ = false;
  while ((at = find_special(input, pass_whole_lines(input, at, line_start), high_)) < input.size()) {
    const char c = input[at];
    if (c == '\0') {
      nul_ = true;
      ++at;
      continue;
    }
    if (c == '\n') {
      bare_ = true;
      end_line(at - line_start);
      if (!normalize_) {
        line_start = ++at;
        continue;
      }
      if (at == 0) {
        line_made_ = true;
        return {kCrLf, 1, false};
      }
      return {input.substr(0, at), at, false};
    }
    if (at + 1 == input.size() || input[at + 1] != '\n') {
      line_ += at - line_start;
      state_ = State::kCr;
      return {input.substr(0, at), at + 1, false};
    }
    end_line(at - line_start);
    line_start = at += 2;
    if (at == input.size() || (dots_ && input[at] == '.')) {
      state_ = State::kLineStart;
      return {input.substr(0, at), at, false};
    }
  }
  line_ += input.size() - line_start;
  return {input, input.size(), false};
}

std::string_view BodyScanner::finish() {
  const State state = state_;
  state_ = State::kLineStart;
  if (state == State::kLineStart || (state == State::kText && line_made_)) return {};
  if (state == State::kCr) bare_ = true;  // a text that ends in CR: its LF never came
  end_line(0);
  return kCrLf;
}

}  // namespace postern::smtp
