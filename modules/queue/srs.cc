#include "srs.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr long kRound = 1024;  // days that a stamp can tell apart

bool is_separator(char c) {
  return c == '=' || c == '+' || c == '-';
}

/// What follows "SRS0=" (or "SRS1-" and the like); nothing when it does not begin so.
std::optional<std::string_view> tagged(std::string_view local, char digit) {
  if (local.size() < 5 || !starts_with_folded(local, "SRS") || local[3] != digit || !is_separator(local[4]))
    return std::nullopt;
  return local.substr(5);
}

long day_of(WallTime when) {
  return std::chrono::floor<std::chrono::days>(when).time_since_epoch().count();
}

std::string stamp(WallTime when) {
  const long day = day_of(when) % kRound;
  return {kBase32[static_cast<std::size_t>(day / 32)], kBase32[static_cast<std::size_t>(day % 32)]};
}

/// Days since the stamp was made; nothing when it is none.
std::optional<long> age_of(std::string_view text, WallTime now) {
  if (text.size() != 2) return std::nullopt;
  long day = 0;
  for (const char c : text) {
    const std::size_t digit = kBase32.find(ascii_upper(c));
    if (digit == kBase32.npos) return std::nullopt;
    day = day * 32 + static_cast<long>(digit);
  }
  return (day_of(now) % kRound - day + kRound) % kRound;
}

Result<Address> address_of(std::string_view local, std::string_view domain) {
  auto parsed = Domain::parse(domain);
  if (!parsed) return fault("srs.syntax", fmt::format("\"{}\": {}", domain, parsed.error().to_string()));
  auto made = Address::make(local, *parsed);
  if (!made) return fault(made.error().too_long ? "srs.too_long" : "srs.syntax", made.error().to_string());
  return *made;
}

}  // namespace

std::string Srs::hash(std::string_view key, std::string_view data) const {
  const std::string lower = to_lower(data);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(lower.data()),
       lower.size(), digest.data(), &length);
  return base64_encode({reinterpret_cast<const char*>(digest.data()), length});
}

/// Without regard to case, in time that does not depend on where they differ.
bool Srs::verify(std::string_view given, std::string_view data) const {
  constexpr std::size_t kWhole = 27;  // characters of a digest, without padding
  if (given.size() < options_.min_hash_length || given.size() > kWhole) return false;
  bool good = false;
  for (const std::string& key : options_.keys) {
    const std::string right = hash(key, data);
    unsigned difference = 0;
    for (std::size_t i = 0; i < given.size(); ++i)
      difference |= static_cast<unsigned char>(ascii_lower(given[i]) ^ ascii_lower(right[i]));
    good |= difference == 0;
  }
  return good;
}

Result<Address> Srs::forward(const Address& sender, WallTime now) const {
  if (sender.is_null() || sender.domain() == options_.domain) return sender;
  const std::string& local = sender.local();
  std::string data;
  std::string text;
  if (const auto further = tagged(local, '1')) {
    // SRS1 of another forwarder: only the hash is made anew, the first forwarder stays the one to go back to.
    const std::size_t end = further->find('=');
    if (end == further->npos) return fault("srs.syntax", local);
    std::string_view rest = further->substr(end + 1);
    const std::size_t host = rest.find('=');
    if (host == rest.npos) return fault("srs.syntax", local);
    data = std::string(rest.substr(0, host)) + std::string(rest.substr(host + 1));
    text = fmt::format("SRS1={}={}", hash(options_.keys.front(), data).substr(0, options_.hash_length), rest);
  } else if (tagged(local, '0')) {
    const std::string_view rest = std::string_view(local).substr(4);  // with its separator: the forwarder wants it back
    data = sender.domain().ascii() + std::string(rest);
    text = fmt::format("SRS1={}={}={}", hash(options_.keys.front(), data).substr(0, options_.hash_length),
                       sender.domain().ascii(), rest);
  } else {
    const std::string day = stamp(now);
    data = day + sender.domain().ascii() + local;
    text = fmt::format("SRS0={}={}={}={}", hash(options_.keys.front(), data).substr(0, options_.hash_length), day,
                       sender.domain().ascii(), local);
  }
  if (text.size() > kMaxLocalPart) return fault("srs.too_long", fmt::format("{} octets", text.size()));
  return address_of(text, options_.domain.ascii());
}

bool Srs::is_srs(const Address& recipient) const {
  return recipient.domain() == options_.domain && (tagged(recipient.local(), '0') || tagged(recipient.local(), '1'));
}

Result<Address> Srs::reverse(const Address& recipient, WallTime now) const {
  if (!is_srs(recipient)) return fault("srs.syntax", recipient.to_string());
  if (const auto rest = tagged(recipient.local(), '0')) return reverse_first(*rest, now);
  return reverse_further(*tagged(recipient.local(), '1'));
}

/// HASH=TT=host=user; more '=' belong to the user.
Result<Address> Srs::reverse_first(std::string_view rest, WallTime now) const {
  const std::string_view given = take_until(rest, '=');
  const std::string_view day = take_until(rest, '=');
  const std::string_view host = take_until(rest, '=');
  if (given.empty() || host.empty() || rest.empty()) return fault("srs.syntax", "parts are missing");
  const std::string data = std::string(day) + std::string(host) + std::string(rest);
  if (!verify(given, data)) return fault("srs.hash", "the hash is not ours");
  const auto age = age_of(day, now);
  if (!age || *age > options_.max_age_days) return fault("srs.expired", "it was made too long ago");
  return address_of(rest, host);
}

/// HASH=host=rest, where rest is what followed "SRS0" at that host.
Result<Address> Srs::reverse_further(std::string_view rest) const {
  const std::string_view given = take_until(rest, '=');
  const std::string_view host = take_until(rest, '=');
  if (given.empty() || host.empty() || rest.empty()) return fault("srs.syntax", "parts are missing");
  if (!verify(given, std::string(host) + std::string(rest))) return fault("srs.hash", "the hash is not ours");
  return address_of("SRS0" + std::string(rest), host);
}

}  // namespace postern::queue
