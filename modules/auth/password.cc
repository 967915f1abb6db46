#include "password.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "postern/error.h"

namespace postern::auth {

namespace {

// Costs beyond these would let one line of a file stop the pool.
constexpr std::uint32_t kMaxArgonKib = 1 << 20;
constexpr std::uint32_t kMaxArgonPasses = 64;
constexpr std::uint32_t kMaxArgonLanes = 64;

std::optional<argon2_type> argon_type(std::string_view hash) {
  if (hash.starts_with("$argon2id$")) return Argon2_id;
  if (hash.starts_with("$argon2i$")) return Argon2_i;
  if (hash.starts_with("$argon2d$")) return Argon2_d;
  return std::nullopt;
}

std::optional<std::uint32_t> argon_number(std::string_view hash, std::string_view key) {
  std::size_t at = hash.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const char* first = hash.data() + at + key.size();
  std::uint32_t value = 0;
  if (std::from_chars(first, hash.data() + hash.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<std::string> argon_problem(std::string_view hash) {
  if (std::ranges::count(hash, '$') != 5) return "is a cut or damaged argon2 hash";
  auto kib = argon_number(hash, "$m=");
  auto passes = argon_number(hash, ",t=");
  auto lanes = argon_number(hash, ",p=");
  if (!kib || !passes || !lanes) return "is an argon2 hash without m=, t= and p=";
  if (*kib > kMaxArgonKib) return "needs more than 1 GiB of memory to check";
  if (*passes > kMaxArgonPasses || *lanes > kMaxArgonLanes) return "is too costly to check (t and p up to 64)";
  return std::nullopt;
}

bool verify_crypt(const std::string& hash, const std::string& password) {
  auto data = std::make_unique<crypt_data>();  // 32 KiB: not for a stack
  const char* made = crypt_rn(password.c_str(), hash.c_str(), data.get(), sizeof(crypt_data));
  bool same = made && equal_in_constant_time(made, hash);
  explicit_bzero(data.get(), sizeof(crypt_data));
  return same;
}

}  // namespace

const std::string_view kDummyHash =
    "$argon2id$v=19$m=19456,t=2,p=1$cG9zdGVybi1ub2JvZHkhIQ$3wvJLTObGKqo5wjXgOvh6NS99NOPUaP9lPWPzdxi+7A";

bool verify_password(const std::string& hash, const std::string& password) {
  if (is_locked(hash) || password.size() > kMaxPasswordBytes) return false;
  if (password.find('\0') != std::string::npos) return false;  // crypt(3) would see the part before it only
  if (auto type = argon_type(hash))
    return argon2_verify(hash.c_str(), password.data(), password.size(), *type) == ARGON2_OK;
  return verify_crypt(hash, password);
}

std::optional<std::string> hash_problem(std::string_view hash) {
  if (hash.empty()) return "is empty; `postern user passwd` makes a hash, \"!\" means no log-in";
  if (is_locked(hash)) return std::nullopt;
  if (std::ranges::any_of(hash, [](unsigned char c) { return c <= ' ' || c >= 0x7F; }))
    return "has a blank or a control character in it";
  if (hash.front() != '$') return "is no hash (a password in the clear?); `postern user passwd` makes one";
  if (argon_type(hash)) return argon_problem(hash);
  if (hash.starts_with("$1$") || hash.starts_with("$md5") || hash.starts_with("$sha1") || hash.starts_with("$3$"))
    return "is of a kind that is too weak today; use argon2id, $y$, $2b$ or $6$";
  switch (crypt_checksalt(std::string(hash).c_str())) {
    case CRYPT_SALT_INVALID:
    case CRYPT_SALT_METHOD_DISABLED:
      return "is of a kind that this system's crypt(3) does not know";
    default:
      break;
  }
  bool cut = hash.size() < 40;  // shorter than the digest of any kind we take
  return cut ? std::optional<std::string>("is a cut or damaged hash") : std::nullopt;
}

std::string_view hash_cost(std::string_view hash) {
  if (argon_type(hash)) {  // $argon2id$v=19$m=..,t=..,p=..$salt$digest
    std::size_t end = 0;
    for (int dollars = 0; end < hash.size(); ++end)
      if (hash[end] == '$' && ++dollars == 4) break;
    return hash.substr(0, end);
  }
  std::size_t scheme = hash.find('$', 1);
  if (scheme == std::string_view::npos) return {};
  std::string_view rest = hash.substr(scheme + 1);
  bool has_cost =
      rest.starts_with("rounds=") || hash.starts_with("$2") || hash.starts_with("$y") || hash.starts_with("$gy");
  if (!has_cost) return hash.substr(0, scheme);
  std::size_t cost = hash.find('$', scheme + 1);
  return hash.substr(0, cost == std::string_view::npos ? scheme : cost);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    unsigned char other = b.empty() ? 0 : static_cast<unsigned char>(b[i % b.size()]);
    difference |= static_cast<unsigned char>(a[i]) ^ other;
  }
  return difference == 0;
}

Digest hmac_sha256(std::string_view key, std::string_view text) {
  Digest digest{};
  unsigned length = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
            text.size(), digest.data(), &length))
    throw Error("HMAC-SHA256 failed");
  return digest;
}

std::string md5_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (!EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_md5(), nullptr)) return {};  // FIPS: no APOP
  std::string hex;
  for (unsigned i = 0; i < length; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

}  // namespace postern::auth
