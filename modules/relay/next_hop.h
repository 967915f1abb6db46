// The texts by which an administrator names where mail goes, and for whom.
//
//   example.org            the MX of example.org         [mx.example.org]      that host, no MX
//   example.org:2525       the MX, on another port       [192.0.2.1]:587       that address
//   smtps://[host]         TLS from the first octet (465)
//   lmtp://host:24         LMTP over TCP (no MX)         lmtp:unix:/run/lmtp   LMTP over a Unix socket
//
// Values; any thread. Errors: Fault "delivery.next_hop" with what is wrong.
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

/// "example.org", ".example.org", "*", "bob@example.org", "<>": what is wrong with it, if anything.
std::optional<std::string> pattern_fault(std::string_view text);
/// Whether an address fits a pattern (one without fault). ".example.org" is not example.org itself.
bool fits(const Address& address, std::string_view pattern);

}  // namespace postern::relay
