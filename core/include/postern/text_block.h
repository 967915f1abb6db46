// 64 octets of text at a time: where its line ends are, a bit each, and whether it has odd octets. What sees every
// octet of every message (the text of DATA as it comes, and as it leaves) passes whole lines by with it, several times
// as fast as line by line.
//
// Pure; any thread. SSE2 where the processor has it, else octet by octet.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace postern {

struct TextBlock {
  static constexpr std::size_t kSize = 64;

  std::uint64_t cr = 0, lf = 0;  ///< bit 0 stands for the first octet
  bool nul = false;              ///< there is one
  bool high = false;             ///< there is an octet above 127
  bool dot = false;              ///< there is a dot behind an LF, the one behind the block included

  /// Reads kSize octets, and the one behind them.
  static TextBlock at(const char* text);

  bool ends_in_cr() const { return cr >> 63 != 0; }
  /// Every LF has its CR and every CR its LF, a CR at the end left out. `after_cr`: so ended what came before.
  bool lines_are_whole(bool after_cr) const { return lf == (cr << 1 | static_cast<std::uint64_t>(after_cr)); }
};

inline TextBlock TextBlock::at(const char* text) {
  TextBlock out;
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

}  // namespace postern
