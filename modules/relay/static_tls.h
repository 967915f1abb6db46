// TLS policies as routes and settings say them, and nothing else: none, opportunistic, encrypt, verify.
//
// What needs the DNS or HTTPS to decide (dane, mta-sts) counts as opportunistic here; REQUIRETLS raises any to verify
// (RFC 8689 §4.2.1). Owner: the module, one per worker. Thread: that worker.
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
