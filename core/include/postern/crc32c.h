// CRC-32C (Castagnoli), as the spool's records carry it (RFC 3720 appendix B.4 has the test vectors).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace postern {

/// Goes on from `crc`, the value of what came before; 0 at the start. crc32c(crc32c(0, a), b) is crc32c(0, ab).
std::uint32_t crc32c(std::uint32_t crc, std::string_view octets);

inline std::uint32_t crc32c(std::uint32_t crc, std::span<const std::byte> octets) {
  return crc32c(crc, std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

/// The same without the processor's instruction; for machines that lack it, and for tests to compare.
std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view octets);

}  // namespace postern
