// What the queue tells hooks and asks of them while it carries a message out: queued, route, attempt, delivered,
// deferred, bounced.
//
// A hook at `route` may change where the step goes (options, as of act.relay: "gateway", "tls", "source"); one at
// `attempt` may put it off (a verdict defer or hold). Verdicts at the other stages are ignored: what happened has
// happened. What ran is written as a trail of its own under the message's id, beside the one of its transaction.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "postern/envelope.h"
#include "postern/spool.h"
#include "postern/trail.h"
#include "postern/verdict.h"

namespace postern {

struct QueueEvent {
  Stage stage = Stage::kQueued;
  MessageId id{};
  const Envelope& envelope;               ///< outlives the call
  std::vector<std::uint32_t> recipients;  ///< numbers into the envelope that it is about
  std::uint64_t size = 0;
  WallTime accepted{};
  std::uint32_t attempts = 0;                    ///< made so far
  std::map<std::string, std::string> options{};  ///< kRoute: of the step; a hook may change them
  std::string destination{};                     ///< domain or gateway; an account for local delivery
  std::string host{};                            ///< kDelivered, kDeferred, kBounced: who replied
  Reply reply{};                                 ///< the same
  WallTime next{};                               ///< kDeferred: of the next attempt
};

}  // namespace postern
