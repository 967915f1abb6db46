// The URLs that the client takes (RFC 3986, RFC 9110 §4.2): http and https, a host, a port, a path with its query.
//
// Strict: user names, spaces, control characters and octets above 127 are refused, since what is not sure here can
// split a request there. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/endpoint.h"

namespace postern::http {

struct Url {
  bool tls = false;
  std::string host;                  ///< lower case, without brackets
  std::optional<IpAddress> address;  ///< when the host is one
  std::uint16_t port = 0;
  std::string target = "/";  ///< path and query, as sent

  static std::optional<Url> parse(std::string_view text);
  /// Where a Location field of a response from here leads (RFC 9110 §10.2.2): absolute, "//host", "/path" or "path".
  std::optional<Url> resolve(std::string_view location) const;
  std::string authority() const;  ///< the Host field: without the scheme's own port
  std::string to_string() const;
  bool same_origin(const Url& other) const { return tls == other.tls && host == other.host && port == other.port; }
};

}  // namespace postern::http
