#include "postern/random.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <string_view>

#include "postern/error.h"

namespace postern {
namespace {

/// Takes characters of `alphabet` by the low bits of random octets and rejects what lies beyond its end, so that each
/// character is equally likely.
std::string random_text(std::string_view alphabet, unsigned bits, std::size_t length) {
  std::string out;
  out.reserve(length);
  std::array<std::byte, 64> pool;
  const unsigned mask = (1U << bits) - 1;
  while (out.size() < length) {
    fill_random(pool);
    for (const std::byte octet : pool) {
      const unsigned index = std::to_integer<unsigned>(octet) & mask;
      if (index < alphabet.size() && out.size() < length) out += alphabet[index];
    }
  }
  return out;
}

std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

void fill_random(std::span<std::byte> octets) {
  while (!octets.empty()) {
    const ssize_t got = getrandom(octets.data(), octets.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Error("the system gives no random numbers");
    octets = octets.subspan(static_cast<std::size_t>(got));
  }
}

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  fill_random(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::string random_base32(std::size_t length) {
  return random_text("0123456789abcdefghjkmnpqrstvwxyz", 5, length);
}

std::string random_base62(std::size_t length) {
  return random_text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 6, length);
}

Prng::Prng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) word = split_mix(seed);
}

std::uint64_t Prng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Prng::below(std::uint64_t limit) {
  if (limit == 0) return 0;
  const std::uint64_t reject_from = UINT64_MAX - UINT64_MAX % limit;
  std::uint64_t value = next();
  while (value >= reject_from) value = next();
  return value % limit;
}

double Prng::unit() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

}  // namespace postern
