// The command "relay.explain": where mail of a sender for a recipient would go now, over which hosts, under which TLS,
// and what holds it up. It asks what a delivery asks, with its caches, and connects to nobody.
//
// Arguments: domain, or recipient (an address); sender; gateway and tls, as a plan's step would say them.
// Rows: one "way", then one "host" for each in the order to try (the first kMaxExplained).
// What it says of connections is worker 0's part; each worker has its own.
//
// Thread: worker 0. Errors: "relay.explain" for what is no address.
#pragma once

#include "courier.h"
#include "postern/control.h"

namespace postern::relay {

inline constexpr std::size_t kMaxExplained = 20;  ///< hosts
inline constexpr Duration kExplainTime = std::chrono::seconds(30);

Task<Result<void>> explain_command(Courier& courier, ControlRequest request, ControlRows& rows);

}  // namespace postern::relay
