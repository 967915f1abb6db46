// Checking a password against its stored hash.
//
// argon2 (encoded strings of libargon2) and crypt(3) of libxcrypt ($y$, $gy$, $7$, $2a/b/y$, $6$, $5$). All functions
// that hash are slow on purpose and belong on the cpu pool.
//
// Thread: any. Errors: a hash that cannot be computed does not match.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

inline constexpr std::size_t kMaxPasswordBytes = 1024;

/// Whether `password` is the one of `hash`. Blocks for as long as the hash wants (tens of milliseconds).
bool verify_password(const std::string& hash, const std::string& password);

/// Why `hash` cannot be used, in words for an administrator; nothing when it can. Hashes nothing.
std::optional<std::string> hash_problem(std::string_view hash);

/// "!" and "*" (and what follows them): an account that nobody can log in to.
inline bool is_locked(std::string_view hash) {
  return hash.empty() || hash.front() == '!' || hash.front() == '*';
}

/// The part of a hash that decides what it costs: scheme and parameters, without salt.
std::string_view hash_cost(std::string_view hash);

/// Compares without telling by its time where the difference is.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// A hash that no password matches, at the cost that `postern user` gives new passwords.
extern const std::string_view kDummyHash;

using Digest = std::array<std::uint8_t, 32>;
Digest hmac_sha256(std::string_view key, std::string_view text);
/// MD5 of `text` as 32 lower-case hexadecimal digits: APOP wants it (RFC 1939 §7), nothing else may use it.
std::string md5_hex(std::string_view text);

}  // namespace postern::auth
