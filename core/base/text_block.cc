#include "postern/text_block.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace postern {
namespace {

using Read = void (*)(const char*, std::size_t, TextBlock*);

void read_plainly(const char* text, std::size_t count, TextBlock* blocks) {
  for (std::size_t i = 0; i < count; ++i) blocks[i] = TextBlock::at(text + i * TextBlock::kSize);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) void read_avx2(const char* text, std::size_t count, TextBlock* blocks) {
  const __m256i cr = _mm256_set1_epi8('\r'), lf = _mm256_set1_epi8('\n'), dot = _mm256_set1_epi8('.');
  const __m256i zero = _mm256_setzero_si256();
  for (; count != 0; --count, text += TextBlock::kSize, ++blocks) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32));
    const __m256i behind_low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 1));
    const __m256i behind_high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 33));
    const __m256i lf_low = _mm256_cmpeq_epi8(low, lf), lf_high = _mm256_cmpeq_epi8(high, lf);
    const __m256i cr_low = _mm256_cmpeq_epi8(low, cr), cr_high = _mm256_cmpeq_epi8(high, cr);
    blocks->cr = static_cast<std::uint32_t>(_mm256_movemask_epi8(cr_low)) |
                 static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(cr_high))) << 32;
    blocks->lf = static_cast<std::uint32_t>(_mm256_movemask_epi8(lf_low)) |
                 static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(lf_high))) << 32;
    const __m256i least = _mm256_cmpeq_epi8(_mm256_min_epu8(low, high), zero);
    const __m256i dots = _mm256_or_si256(_mm256_and_si256(lf_low, _mm256_cmpeq_epi8(behind_low, dot)),
                                         _mm256_and_si256(lf_high, _mm256_cmpeq_epi8(behind_high, dot)));
    blocks->nul = _mm256_testz_si256(least, least) == 0;
    blocks->high = _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0;
    blocks->dot = _mm256_testz_si256(dots, dots) == 0;
  }
}

__attribute__((target("avx512bw"))) void read_avx512(const char* text, std::size_t count, TextBlock* blocks) {
  const __m512i cr = _mm512_set1_epi8('\r'), lf = _mm512_set1_epi8('\n'), dot = _mm512_set1_epi8('.');
  for (; count != 0; --count, text += TextBlock::kSize, ++blocks) {
    const __m512i octets = _mm512_loadu_si512(text);
    const __m512i behind = _mm512_loadu_si512(text + 1);
    blocks->cr = _mm512_cmpeq_epi8_mask(octets, cr);
    blocks->lf = _mm512_cmpeq_epi8_mask(octets, lf);
    blocks->nul = _mm512_testn_epi8_mask(octets, octets) != 0;
    blocks->high = _mm512_movepi8_mask(octets) != 0;
    blocks->dot = (_mm512_cmpeq_epi8_mask(behind, dot) & blocks->lf) != 0;
  }
}

#endif

Read choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bw")) return read_avx512;
  if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
  return read_plainly;
}

// Made before main(), against the rule: to ask each time whether it is there would cost what is gained on short texts.
const Read kRead = choose();

}  // namespace

void read_blocks(const char* text, std::size_t count, TextBlock* blocks) {
  kRead(text, count, blocks);
}

}  // namespace postern
