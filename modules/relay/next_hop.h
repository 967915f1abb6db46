// The texts by which an administrator names where mail goes, and for whom.
//
//   example.org            the MX of example.org         [mx.example.org]      that host, no MX
//   example.org:2525       the MX, on another port       [192.0.2.1]:587       that address
//   smtps://[host]         TLS from the first octet (465)
//   lmtp://host:24         LMTP over TCP (no MX)         lmtp:unix:/run/lmtp   LMTP over a Unix socket
//
// Values; any thread. Errors: Fault "delivery.next_hop" or "delivery.pattern" with what is wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "postern/address.h"
#include "postern/error.h"
#include "way.h"

namespace postern::relay {

struct NextHop {
  std::string host;  ///< A-labels; empty for a Unix socket
  std::optional<IpAddress> address;
  std::optional<std::uint16_t> port;  ///< nothing: the protocol's
  std::string unix_path;
  Protocol protocol = Protocol::kSmtp;
  bool by_mx = true;
  bool implicit_tls = false;
};
Result<NextHop> parse_next_hop(std::string_view text);

/// For which addresses something is: "example.org", ".example.org" (below it, and not itself), "*", "bob@example.org",
/// "<>".
class Pattern {
 public:
  static Result<Pattern> parse(std::string_view text);
  bool fits(const Address& address) const;
  /// Of a pattern that is one whole domain: its name; else null.
  const std::string* domain() const { return kind_ == Kind::kDomain ? &domain_.ascii() : nullptr; }

 private:
  enum class Kind : std::uint8_t { kAll, kNull, kAddress, kDomain, kBelow };
  Kind kind_ = Kind::kAll;
  Address address_;
  Domain domain_;
};

}  // namespace postern::relay
