// 64 octets of text at a time: where its line ends are, a bit each, and whether it has odd octets. What sees every
// octet of every message (the text of DATA as it comes, and as it leaves) passes whole lines by with it, several times
// as fast as line by line.
//
// Pure; any thread. read_blocks() uses what the processor has (AVX-512, AVX2, SSE2), else it goes octet by octet.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace postern {

struct TextBlock {
  static constexpr std::size_t kSize = 64;

  std::uint64_t cr, lf;  ///< bit 0 stands for the first octet
  bool nul;              ///< there is one
  bool high;             ///< there is an octet above 127
  bool dot;              ///< there is a dot behind an LF, the one behind the block included

  /// Reads kSize octets, and the one behind them.
  static TextBlock at(const char* text);

  bool ends_in_cr() const { return cr >> 63 != 0; }
  /// Every LF has its CR and every CR its LF, a CR at the end left out. `after_cr`: so ended what came before.
  bool lines_are_whole(bool after_cr) const { return lf == (cr << 1 | static_cast<std::uint64_t>(after_cr)); }
};

inline TextBlock TextBlock::at(const char* text) {
  TextBlock out{};
#if defined(__SSE2__)
  __m128i least = _mm_set1_epi8('\x7f'), all = _mm_setzero_si128(), dots = _mm_setzero_si128();
  for (unsigned part = 0; part < 4; ++part) {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + 16 * part));
    const auto bits = [part](__m128i hit) {
      return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(hit))) << 16 * part;
    };
    out.cr |= bits(_mm_cmpeq_epi8(octets, _mm_set1_epi8('\r')));
    const __m128i lf = _mm_cmpeq_epi8(octets, _mm_set1_epi8('\n'));
    out.lf |= bits(lf);
    const __m128i behind = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + 16 * part + 1));
    dots = _mm_or_si128(dots, _mm_and_si128(lf, _mm_cmpeq_epi8(behind, _mm_set1_epi8('.'))));
    least = _mm_min_epu8(least, octets);
    all = _mm_or_si128(all, octets);
  }
  out.nul = _mm_movemask_epi8(_mm_cmpeq_epi8(least, _mm_setzero_si128())) != 0;
  out.high = _mm_movemask_epi8(all) != 0;
  out.dot = _mm_movemask_epi8(dots) != 0;
#else
  for (std::size_t i = 0; i < kSize; ++i) {
    out.cr |= static_cast<std::uint64_t>(text[i] == '\r') << i;
    out.lf |= static_cast<std::uint64_t>(text[i] == '\n') << i;
    out.dot |= text[i] == '\n' && text[i + 1] == '.';
    out.nul |= text[i] == '\0';
    out.high |= (static_cast<unsigned char>(text[i]) & 0x80) != 0;
  }
#endif
  return out;
}

/// Reads `count` blocks that lie one behind the other, and the octet behind the last.
void read_blocks(const char* text, std::size_t count, TextBlock* blocks);

/// Blocks for whoever goes over a text from its beginning until something odd: read ahead a few at a time, ever more of
/// them, so that what is read in vain is never more than what was gone over.
class TextBlocks {
 public:
  /// The block at `text`; `end` is where the text ends, more than TextBlock::kSize behind it. Call it with the next
  /// block each time.
  const TextBlock& next(const char* text, const char* end) {
    if (at_ == count_) {
      const std::size_t left = static_cast<std::size_t>(end - text - 1) / TextBlock::kSize;
      ahead_ = ahead_ < kMost ? 2 * ahead_ : kMost;
      count_ = left < ahead_ ? left : ahead_;
      at_ = 0;
      read_blocks(text, count_, blocks_);
    }
    return blocks_[at_++];
  }

 private:
  static constexpr std::size_t kMost = 32;
  std::size_t ahead_ = 1, at_ = 0, count_ = 0;
  TextBlock blocks_[kMost];
};

}  // namespace postern
