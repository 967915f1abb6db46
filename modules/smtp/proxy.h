// The PROXY protocol, versions 1 and 2: how a load balancer says for whom it speaks, before anything else is said.
//
// Pure. Only connections from networks that the administrator named get here; from others the same octets are an
// unknown command. RFC: none; the protocol's own document (proxy-protocol.txt, versions 1 and 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "postern/endpoint.h"

namespace postern::smtp {

inline constexpr std::size_t kMaxProxyV1 = 107;   ///< octets with CRLF
inline constexpr std::size_t kMaxProxyV2 = 4096;  ///< octets with its TLVs, which are skipped

struct ProxyHeader {
  std::size_t length = 0;  ///< octets of the header
  bool local = false;      ///< LOCAL or UNKNOWN: the balancer speaks for itself (a health check)
  Endpoint source, destination;
};

struct ProxyParse {
  enum class State { kNeedMore, kInvalid, kDone };
  State state = State::kNeedMore;
  ProxyHeader header;
};

/// Looks at what has arrived so far.
ProxyParse parse_proxy(std::string_view octets);

}  // namespace postern::smtp
