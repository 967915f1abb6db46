#include "srs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "postern/random.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr long kRound = 1024;  // days that a stamp can tell apart
constexpr std::size_t kMaxKeyFile = 64 * 1024;

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

Result<std::string> new_key(const std::string& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fault("srs.key", fmt::format("{}: {}", file, std::strerror(errno)));
  const std::string key = random_base62(43);  // 256 bits
  const std::string line = key + "\n";
  const bool good = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (good) return key;
  ::unlink(file.c_str());
  return fault("srs.key", fmt::format("{}: {}", file, std::strerror(error)));
}

}  // namespace

Result<Srs> Srs::load(SrsOptions options, const std::string& file, bool make) {
  options.keys.clear();
  std::error_code error;
  if (make && !std::filesystem::exists(file, error) && !error) {
    auto key = new_key(file);
    if (!key) return std::unexpected(key.error());
    options.keys.push_back(std::move(*key));
    return Srs(std::move(options));
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) return fault("srs.key", fmt::format("{}: {}", file, std::strerror(errno)));
  std::string text(kMaxKeyFile, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.size() < kMinKey)
      return fault("srs.key",
                   fmt::format("{}: a key has {} characters; at least {} are needed", file, line.size(), kMinKey));
    if (options.keys.size() == kMaxKeys) return fault("srs.key", fmt::format("{}: more than {} keys", file, kMaxKeys));
    options.keys.emplace_back(line);
  }
  if (options.keys.empty()) return fault("srs.key", file + ": there is no key in it");
  return Srs(std::move(options));
}

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
