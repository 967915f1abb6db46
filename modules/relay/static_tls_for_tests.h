// TLS policies for tests of everything else: as settings say them, without the DNS and HTTPS that DANE and MTA-STS need
// (those count as opportunistic here; tls_policy.h has the real ones). Owner: World. Thread: its worker.
#pragma once

#include <memory>

#include "postern/log.h"
#include "way.h"

namespace postern::relay {

class StaticTlsPolicies final : public TlsPolicies {
 public:
  StaticTlsPolicies(std::shared_ptr<TlsContext> context, Log log);
  Task<TlsDecision> decide(TlsQuestion question, Deadline deadline) override;
  void report(const TlsOutcome& outcome) override;

 private:
  std::shared_ptr<TlsContext> context_;
  Log log_;
  std::shared_ptr<TlsSessions> sessions_;
};

}  // namespace postern::relay
