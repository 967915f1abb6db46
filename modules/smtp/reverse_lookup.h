// The question after a client's name, on its way while the session goes on.
//
// For:    Received, hooks, logs. A session asks at connect and takes the answer when somebody needs it
// (session_name.cc). Owner:  shared by the session, which may end first, and the look-up, which the server's nursery
// runs. Thread: the server's worker. Errors: none; what the DNS does not say in time is ReverseName::Status::kTryLater.
// RFC:    1912 §2.1, 5321 §4.4, 8601 §3 (a name counts only when it leads back to the address).
#pragma once

#include "postern/dns.h"
#include "postern/sync.h"
#include "postern/time.h"

namespace postern::smtp {

struct ReverseLookup {
  Instant asked{};
  Instant until{};    ///< nobody waits longer
  Duration took{};    ///< set with the answer
  ReverseName found;  ///< kTryLater until there is an answer
  Event answered;
};

}  // namespace postern::smtp
