// Network addresses: an IP address, an IP network, and an endpoint (address and port, or the path of a Unix socket).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;

namespace postern {

/// An IPv4 or IPv6 address. IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are kept as IPv4.
class IpAddress {
 public:
  IpAddress() = default;  ///< 0.0.0.0
  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(const std::array<std::uint8_t, 16>& octets);
  /// "192.0.2.1", "2001:db8::1", without brackets; nothing on any other text.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v6() const { return v6_; }
  bool is_loopback() const;
  bool is_private() const;  ///< RFC 1918, RFC 4193, link-local
  /// Where a stranger's wish may lead: not to loopback, private, shared, link-local, multicast or reserved addresses,
  /// nor to IPv6 ones that hold an IPv4 address, behind which anything can be (RFC 6890, RFC 6052, RFC 3056, RFC 4380).
  bool is_public() const;
  const std::uint8_t* octets() const { return octets_.data(); }  ///< 4 or 16 octets, network order
  std::size_t size() const { return v6_ ? 16 : 4; }
  std::string to_string() const;
  /// "1.2.0.192" or the nibbles of an IPv6 address, as DNS lists and in-addr.arpa want them (RFC 5782 §2.1, §2.4).
  std::string reversed() const;
  /// "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3).
  std::string literal() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> octets_{};
  bool v6_ = false;
};

/// An address and the number of its leading bits that count.
class IpNetwork {
 public:
  IpNetwork() = default;
  /// "192.0.2.0/24", "2001:db8::/32", or a bare address for a network of one; nothing when bits beyond the prefix are
  /// set.
  static std::optional<IpNetwork> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  bool overlaps(const IpNetwork& other) const;
  const IpAddress& base() const { return base_; }
  int prefix() const { return prefix_; }
  std::string to_string() const;
  bool operator==(const IpNetwork&) const = default;

 private:
  IpAddress base_;
  int prefix_ = 32;
};

/// Where to listen or connect: IP address and port, or a Unix socket's path.
struct Endpoint {
  IpAddress ip;
  std::uint16_t port = 0;
  std::string path;  ///< of a Unix socket; empty for TCP

  /// "127.0.0.1:25", "[::1]:25", "unix:/run/postern/lmtp".
  static std::optional<Endpoint> parse(std::string_view text);
  static Endpoint from_sockaddr(const sockaddr* address);
  bool is_unix() const { return !path.empty(); }
  std::string to_string() const;
  bool operator==(const Endpoint&) const = default;
};

}  // namespace postern
