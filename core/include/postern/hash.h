// A fast 64-bit hash of keys: for tables, for spreading keys over workers. Not cryptographic: a peer that knows the
// seed can make keys collide, so tables that hold peers' keys take a seed from random_u64().
//
// Values differ between releases; never store them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern {

std::uint64_t hash_bytes(std::string_view octets, std::uint64_t seed = 0);
/// As hash_bytes() of the text with A-Z folded to a-z.
std::uint64_t hash_text_folded(std::string_view text, std::uint64_t seed = 0);
/// Spreads a number's bits.
std::uint64_t hash_number(std::uint64_t number, std::uint64_t seed = 0);

/// For unordered containers with std::string keys that are looked up by view; pair it with std::equal_to<>.
struct BytesHash {
  using is_transparent = void;
  std::uint64_t seed = 0;
  std::size_t operator()(std::string_view octets) const { return hash_bytes(octets, seed); }
};

}  // namespace postern
