// Random octets, numbers and names.
//
// Secrets and names that strangers must not guess come from fill_random() (the system's generator). Prng is fast, small
// and repeatable: for backoff, sampling and simulations, never for secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace postern {

/// Fills from getrandom(2). Throws Error if the system has none (it has, on any Linux since 3.17).
void fill_random(std::span<std::byte> octets);
std::uint64_t random_u64();  ///< from the system

/// `length` characters of 0-9a-z without i, l, o, u (five bits each), from the system; safe in file names and headers.
std::string random_base32(std::size_t length);
/// `length` characters of 0-9A-Za-z (nearly six bits each), from the system.
std::string random_base62(std::size_t length);

/// xoshiro256**: a repeatable stream of numbers for each seed.
class Prng {
 public:
  explicit Prng(std::uint64_t seed);
  static Prng from_system() { return Prng(random_u64()); }

  std::uint64_t next();
  std::uint64_t below(std::uint64_t limit);  ///< 0..limit-1, evenly; 0 for a limit of 0
  double unit();                             ///< 0 <= x < 1
  bool chance(double probability) { return unit() < probability; }

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace postern
