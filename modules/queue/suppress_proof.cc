#include "suppress_proof.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::size_t kHash = 22;  // characters of base64: 132 bits

long day_of(WallTime when) {
  return std::chrono::floor<std::chrono::days>(when).time_since_epoch().count();
}

std::string hash_of(const std::string& secret, long day, const Address& sender, const Address& recipient) {
  const std::string data =
      fmt::format("postern-feedback\n{}\n{}\n{}", day, to_lower(sender.to_string()), to_lower(recipient.to_string()));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest.data(), &length);
  return base64_encode({reinterpret_cast<const char*>(digest.data()), length}).substr(0, kHash);
}

/// In time that does not depend on where they differ.
bool same(std::string_view given, std::string_view right) {
  unsigned difference = given.size() == right.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(given.size(), right.size()); ++i)
    difference |= static_cast<unsigned char>(given[i] ^ right[i]);
  return difference == 0;
}

}  // namespace

std::string FeedbackProof::make(const Address& sender, const Address& recipient, WallTime now) const {
  const long day = day_of(now);
  return fmt::format("{} {}", day, hash_of(secrets_.front(), day, sender, recipient));
}

bool FeedbackProof::verify(std::string_view value, const Address& sender, const Address& recipient,
                           WallTime now) const {
  const auto words = split_words(value);
  if (words.size() != 2) return false;
  const auto day = to_number<long>(words[0], 0, 1'000'000);
  if (!day || *day > day_of(now) + 1 || *day < day_of(now) - kMaxAge) return false;
  bool good = false;
  for (const std::string& secret : secrets_) good |= same(words[1], hash_of(secret, *day, sender, recipient));
  return good;
}

}  // namespace postern::queue
