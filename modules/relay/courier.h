// Courier: what one worker has to carry mail with: ways, sites, idle connections, TLS policies; and its counters.
//
// attempt() takes a step of a message apart into groups that go the same way, and carries them at the same time (at
// most kParallel of them); delivery.h has the way of one group.
//
// Owner: the module, one per worker. Thread: that worker. Errors: results; throws only Cancelled.
#pragma once

#include <memory>
#include <vector>

#include "outbound.h"
#include "pool.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/random.h"
#include "postern/transport.h"
#include "sites.h"
#include "warm_up.h"
#include "ways.h"

namespace postern::relay {

/// Declared once, shared by all workers.
struct RelayMetrics {
  explicit RelayMetrics(Metrics& metrics);
  Counter& connections;
  Counter& connect_failures;
  Counter& reused;
  Counter& tls_sessions;
  Counter& plaintext_fallbacks;
  Counter& transactions;
  Counter& delivered;
  Counter& deferred;
  Counter& refused;
  Counter& busy;
  Counter& replies_lost;
  Counter& octets;
  Histogram& connect_seconds;
  Histogram& transaction_seconds;
};

struct CourierParts {
  std::shared_ptr<const Outbound> outbound;
  Spool& spool;
  Resolver& dns;
  TlsPolicies& policies;
  RelayMetrics& metrics;
  WarmUp& warm_up;
};

/// Where a connection comes from.
struct SourceChoice {
  const SourceSettings* source = nullptr;  ///< its message is counted already; null: the system's choice
  bool used_up = false;                    ///< there are some, and none may send more today
};

class Courier {
 public:
  static constexpr std::size_t kParallel = 20;

  Courier(Executor& executor, Log log, CourierParts parts);

  Task<std::vector<AttemptResult>> attempt(AttemptRequest request);
  Task<void> drain(Deadline deadline) { return pool.drain(deadline); }

  /// The address to connect from to a host of that family, by weight among those that may send more today.
  SourceChoice choose_source(const std::string& pool_name, bool v6);
  /// The one that the plan named.
  SourceChoice named_source(const IpAddress& address);

  Executor& executor;
  const Log log;
  const CourierParts parts;
  const Outbound& outbound;
  WayFinder ways;
  Sites sites;
  ConnectionPool pool;

 private:
  void note_used_up(std::string_view name);
  Prng random_;
  UtcDay told_{};  // the day on which it was last logged that sources are used up
};

}  // namespace postern::relay
