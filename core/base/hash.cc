#include "postern/hash.h"

#include <cstring>

#include "postern/text.h"

namespace postern {
namespace {

// Odd constants with half of their bits set, from the digits of e, pi and the square roots of 2 and 3.
constexpr std::uint64_t kE = 0xadf85458a2bb4a9b;
constexpr std::uint64_t kPi = 0x243f6a8885a308d3;
constexpr std::uint64_t kRoot2 = 0xb504f333f9de6485;
constexpr std::uint64_t kRoot3 = 0xbb67ae8584caa73b;

/// Both halves of the 128-bit product, so that every bit of either factor reaches every bit of the result.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word_at(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// Up to eight octets as a number; shorter ones are padded with zeros, and the length is mixed in by the caller.
std::uint64_t tail_at(const char* at, std::size_t size) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, size);
  return word;
}

std::uint64_t end(std::uint64_t state, std::size_t length) {
  return mix(state ^ kRoot2, kRoot3 ^ length);
}

}  // namespace

std::uint64_t hash_bytes(std::string_view octets, std::uint64_t seed) {
  const char* at = octets.data();
  std::size_t left = octets.size();
  std::uint64_t state = seed ^ kE;
  for (; left > 16; left -= 16, at += 16) state = mix(word_at(at) ^ kPi, word_at(at + 8) ^ state);
  if (left > 8) {
    state = mix(word_at(at) ^ kPi, tail_at(at + 8, left - 8) ^ state);
  } else if (left > 0) {
    state = mix(tail_at(at, left) ^ kPi, state ^ kRoot3);
  }
  return end(state, octets.size());
}

std::uint64_t hash_text_folded(std::string_view text, std::uint64_t seed) {
  // The same steps as hash_bytes() over folded pieces of sixteen, so that no copy of the whole is made.
  std::uint64_t state = seed ^ kE;
  const std::size_t length = text.size();
  char piece[16];
  while (!text.empty()) {
    const std::size_t size = text.size() < sizeof piece ? text.size() : sizeof piece;
    for (std::size_t i = 0; i < size; ++i) piece[i] = ascii_lower(text[i]);
    text.remove_prefix(size);
    if (size > 8) {
      state = mix(word_at(piece) ^ kPi, tail_at(piece + 8, size - 8) ^ state);
    } else {
      state = mix(tail_at(piece, size) ^ kPi, state ^ kRoot3);
    }
  }
  return end(state, length);
}

std::uint64_t hash_number(std::uint64_t number, std::uint64_t seed) {
  return end(mix(number ^ kPi, seed ^ kE), 8);
}

}  // namespace postern
