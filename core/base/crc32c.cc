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

#if defined(__SSE4_2__)

std::uint32_t crc32c(std::uint32_t crc, std::string_view octets) {
  std::uint64_t sum = ~crc;
  const char* at = octets.data();
  std::size_t left = octets.size();
  for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t), at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    sum = _mm_crc32_u64(sum, word);
  }
  auto rest = static_cast<std::uint32_t>(sum);
  for (; left > 0; --left, ++at) rest = _mm_crc32_u8(rest, static_cast<unsigned char>(*at));
  return ~rest;
}

#elif defined(__ARM_FEATURE_CRC32)

std::uint32_t crc32c(std::uint32_t crc, std::string_view octets) {
  std::uint32_t sum = ~crc;
  const char* at = octets.data();
  std::size_t left = octets.size();
  for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t), at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    sum = __crc32cd(sum, word);
  }
  for (; left > 0; --left, ++at) sum = __crc32cb(sum, static_cast<unsigned char>(*at));
  return ~sum;
}

#else

std::uint32_t crc32c(std::uint32_t crc, std::string_view octets) {
  return crc32c_portable(crc, octets);
}

#endif

}  // namespace postern
