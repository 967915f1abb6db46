// Parsing and printing of addresses. Everything is bounded before it is copied, and whatever is not exactly one of the
// documented forms is refused: an address that reads in two ways is how a relay network grows by accident.
#include "postern/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

namespace postern {
namespace {

constexpr std::size_t kMaxAddressText = INET6_ADDRSTRLEN - 1;
constexpr std::size_t kMaxUnixPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kMappedBits = 96;

/// A decimal number of 0..max, without sign or leading zeros.
std::optional<unsigned> parse_decimal(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

bool same_leading_bits(const std::uint8_t* a, const std::uint8_t* b, int bits) {
  const int octets = bits / 8;
  if (std::memcmp(a, b, static_cast<std::size_t>(octets)) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00 >> (bits % 8));
  return ((a[octets] ^ b[octets]) & mask) == 0;
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address;
  for (int i = 0; i < 4; ++i)
    address.octets_[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& octets) {
  IpAddress address;
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), octets.begin())) {
    std::copy(octets.begin() + 12, octets.end(), address.octets_.begin());
    return address;
  }
  address.octets_ = octets;
  address.v6_ = true;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxAddressText || text.find('\0') != std::string_view::npos) return std::nullopt;
  char buffer[INET6_ADDRSTRLEN];
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  if (text.find(':') == std::string_view::npos) {
    in_addr v4_address{};
    if (inet_pton(AF_INET, buffer, &v4_address) != 1) return std::nullopt;
    return v4(ntohl(v4_address.s_addr));
  }
  std::array<std::uint8_t, 16> octets{};
  if (inet_pton(AF_INET6, buffer, octets.data()) != 1) return std::nullopt;
  return v6(octets);
}

bool IpAddress::is_loopback() const {
  if (!v6_) return octets_[0] == 127;
  return octets_[15] == 1 && std::all_of(octets_.begin(), octets_.begin() + 15, [](std::uint8_t o) { return o == 0; });
}

bool IpAddress::is_private() const {
  if (v6_) return (octets_[0] & 0xfe) == 0xfc || (octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80);
  return octets_[0] == 10 || (octets_[0] == 172 && (octets_[1] & 0xf0) == 16) ||
         (octets_[0] == 192 && octets_[1] == 168) || (octets_[0] == 169 && octets_[1] == 254);
}

bool IpAddress::is_public() const {
  static const auto kSetApart = [] {
    std::vector<IpNetwork> networks;
    for (const char* text : {"0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24",
                             "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48",
                             "100::/64", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"})
      networks.push_back(IpNetwork::parse(text).value());
    return networks;
  }();
  return !is_loopback() && !is_private() &&
         std::ranges::none_of(kSetApart, [this](const IpNetwork& network) { return network.contains(*this); });
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  if (v6_) {
    inet_ntop(AF_INET6, octets_.data(), buffer, sizeof buffer);
    return buffer;
  }
  char* at = buffer;  // by hand: every message has its client's address in a field and in log lines
  for (int i = 0; i < 4; ++i) {
    if (i != 0) *at++ = '.';
    at = std::to_chars(at, buffer + sizeof buffer, octets_[static_cast<std::size_t>(i)]).ptr;
  }
  return {buffer, at};
}

std::string IpAddress::reversed() const {
  if (!v6_) return fmt::format("{}.{}.{}.{}", octets_[3], octets_[2], octets_[1], octets_[0]);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(63);
  for (std::size_t i = octets_.size(); i-- > 0;) {
    if (!out.empty()) out += '.';
    out += kDigits[octets_[i] & 15];
    out += '.';
    out += kDigits[octets_[i] >> 4];
  }
  return out;
}

std::string IpAddress::literal() const {
  return v6_ ? "[IPv6:" + to_string() + "]" : "[" + to_string() + "]";
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address) return std::nullopt;
  IpNetwork network;
  network.base_ = *address;
  const int bits = static_cast<int>(address->size()) * 8;
  network.prefix_ = bits;
  if (slash == std::string_view::npos) return network;
  // "::ffff:192.0.2.0/120" became 192.0.2.0, so its prefix loses the 96 bits of the mapping.
  const int mapped = !address->is_v6() && address_text.find(':') != std::string_view::npos ? kMappedBits : 0;
  const auto prefix = parse_decimal(text.substr(slash + 1), static_cast<unsigned>(bits + mapped));
  if (!prefix || static_cast<int>(*prefix) < mapped) return std::nullopt;
  network.prefix_ = static_cast<int>(*prefix) - mapped;
  for (int bit = network.prefix_; bit < bits; ++bit)
    if ((address->octets()[bit / 8] >> (7 - bit % 8)) & 1) return std::nullopt;
  return network;
}

bool IpNetwork::contains(const IpAddress& address) const {
  return address.is_v6() == base_.is_v6() && same_leading_bits(address.octets(), base_.octets(), prefix_);
}

bool IpNetwork::overlaps(const IpNetwork& other) const {
  return base_.is_v6() == other.base_.is_v6() &&
         same_leading_bits(base_.octets(), other.base_.octets(), std::min(prefix_, other.prefix_));
}

std::string IpNetwork::to_string() const {
  return fmt::format("{}/{}", base_.to_string(), prefix_);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    if (path.size() < 2 || path[0] != '/' || path.size() > kMaxUnixPath) return std::nullopt;
    if (path.find('\0') != std::string_view::npos) return std::nullopt;
    endpoint.path = path;
    return endpoint;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Brackets belong to addresses with colons and to no others.
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  const auto ip = IpAddress::parse(host);
  const auto port = parse_decimal(text.substr(colon + 1), 65535);
  if (!ip || !port) return std::nullopt;
  endpoint.ip = *ip;
  endpoint.port = static_cast<std::uint16_t>(*port);
  return endpoint;
}

Endpoint Endpoint::from_sockaddr(const sockaddr* address) {
  Endpoint endpoint;
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    endpoint.ip = IpAddress::v4(ntohl(in.sin_addr.s_addr));
    endpoint.port = ntohs(in.sin_port);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, address, sizeof in6);
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &in6.sin6_addr, octets.size());
    endpoint.ip = IpAddress::v6(octets);
    endpoint.port = ntohs(in6.sin6_port);
  } else if (address->sa_family == AF_UNIX) {
    const char* path = reinterpret_cast<const sockaddr_un*>(address)->sun_path;
    endpoint.path.assign(path, strnlen(path, sizeof(sockaddr_un::sun_path)));
    if (endpoint.path.empty()) endpoint.path = "(unnamed)";  // a client's end; it must still count as a Unix socket
  }
  return endpoint;
}

std::string Endpoint::to_string() const {
  if (is_unix()) return "unix:" + path;
  return fmt::format(fmt::runtime(ip.is_v6() ? "[{}]:{}" : "{}:{}"), ip.to_string(), port);
}

}  // namespace postern
