#include "postern/crc32c.h"

#include <array>
#include <cstring>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace postern {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected
constexpr std::size_t kSlices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

/// tables[k][octet]: what an octet adds to the remainder when k more octets follow it.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t octet = 0; octet < 256; ++octet) {
    std::uint32_t crc = octet;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][octet] = crc;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice)
    for (std::size_t octet = 0; octet < 256; ++octet)
      tables[slice][octet] = (tables[slice - 1][octet] >> 8) ^ tables[0][tables[slice - 1][octet] & 0xff];
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view octets) {
  crc = ~crc;
  const auto* at = reinterpret_cast<const unsigned char*>(octets.data());
  std::size_t left = octets.size();
  for (; left >= kSlices; left -= kSlices, at += kSlices) {
    const std::uint32_t low = crc ^ (at[0] | at[1] << 8 | at[2] << 16 | static_cast<std::uint32_t>(at[3]) << 24);
    crc = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^ kTables[5][(low >> 16) & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][at[4]] ^ kTables[2][at[5]] ^ kTables[1][at[6]] ^ kTables[0][at[7]];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(__SSE4_2__) || defined(__ARM_FEATURE_CRC32)

namespace {

#if defined(__SSE4_2__)
std::uint32_t add_word(std::uint32_t sum, std::uint64_t word) {
  return static_cast<std::uint32_t>(_mm_crc32_u64(sum, word));
}
std::uint32_t add_octet(std::uint32_t sum, unsigned char octet) {
  return _mm_crc32_u8(sum, octet);
}
#else
std::uint32_t add_word(std::uint32_t sum, std::uint64_t word) {
  return __crc32cd(sum, word);
}
std::uint32_t add_octet(std::uint32_t sum, unsigned char octet) {
  return __crc32cb(sum, octet);
}
#endif

std::uint64_t word_at(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

constexpr std::size_t kLane = 512;  // octets; a multiple of eight
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

/// shift[k][octet]: what octet k of a remainder becomes when kLane octets of zero follow. Linear, so that it is enough
/// to follow each bit.
constexpr Shift make_shift() {
  std::array<std::uint32_t, 32> bits{};
  for (std::size_t bit = 0; bit < bits.size(); ++bit) {
    std::uint32_t sum = 1U << bit;
    for (std::size_t zero = 0; zero < kLane; ++zero) sum = (sum >> 8) ^ kTables[0][sum & 0xff];
    bits[bit] = sum;
  }
  Shift shift{};
  for (std::size_t part = 0; part < shift.size(); ++part)
    for (std::size_t octet = 0; octet < 256; ++octet)
      for (std::size_t bit = 0; bit < 8; ++bit)
        if ((octet >> bit & 1) != 0) shift[part][octet] ^= bits[8 * part + bit];
  return shift;
}

constexpr Shift kShift = make_shift();

std::uint32_t behind_zeros(std::uint32_t sum) {
  return kShift[0][sum & 0xff] ^ kShift[1][sum >> 8 & 0xff] ^ kShift[2][sum >> 16 & 0xff] ^ kShift[3][sum >> 24];
}

}  // namespace

/// The instruction takes three cycles, and one can begin with each: three lanes side by side.
std::uint32_t crc32c(std::uint32_t crc, std::string_view octets) {
  std::uint32_t sum = ~crc;
  const char* at = octets.data();
  std::size_t left = octets.size();
  for (; left >= 3 * kLane; left -= 3 * kLane, at += 3 * kLane) {
    std::uint32_t second = 0, third = 0;
    for (std::size_t i = 0; i < kLane; i += sizeof(std::uint64_t)) {
      sum = add_word(sum, word_at(at + i));
      second = add_word(second, word_at(at + kLane + i));
      third = add_word(third, word_at(at + 2 * kLane + i));
    }
    sum = behind_zeros(behind_zeros(sum) ^ second) ^ third;
  }
  for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t), at += sizeof(std::uint64_t))
    sum = add_word(sum, word_at(at));
  for (; left > 0; --left, ++at) sum = add_octet(sum, static_cast<unsigned char>(*at));
  return ~sum;
}

#else

std::uint32_t crc32c(std::uint32_t crc, std::string_view octets) {
  return crc32c_portable(crc, octets);
}

#endif

}  // namespace postern
