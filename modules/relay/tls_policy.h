// Which TLS a host gets: what a route demands, DANE, MTA-STS, and what is left when there is neither.
//
//   none, opportunistic, encrypt      as they say, whatever the domain publishes
//   verify                            a known CA and the host's or the domain's name
//   dane                              usable TLSA, or the host is not used
//   mta-sts                           a policy (enforced even if it says testing), or the host is not used
//   dane-or-mta-sts-or-opportunistic  DANE where the DNS vouches for it; else the domain's MTA-STS policy; else
//                                     opportunistic. DANE goes first (RFC 8461 §2); unusable TLSA mean encrypt at least
//
// REQUIRETLS (RFC 8689 §4.2.1) lifts what is weaker to verify, where the host's name can be believed (signed MX, an
// MTA-STS policy, a configured host); elsewhere the host is refused for good.
//
// What weakens a connection is told: TlsDecision::text says why no stronger policy applies, report() logs
// "tls.downgrade" and counts for TLS reports.
//
// Owner: the module, one per worker; parts outlive it. Thread: that worker. Errors: throws Cancelled only.
#pragma once

#include <memory>
#include <string>

#include "dane.h"
#include "mta_sts_finder.h"
#include "postern/log.h"
#include "tls_report.h"
#include "way.h"

namespace postern::relay {

struct TlsPolicyParts {
  Executor& executor;
  Resolver& dns;
  HttpClient& http;                    ///< for MTA-STS; without private addresses
  std::shared_ptr<TlsContext> client;  ///< make_client_tls({}): the system's CAs
  std::shared_ptr<StsStore> store;     ///< null: policies live in memory only
  TlsReportLog* reports = nullptr;     ///< null: nothing is counted
  std::string wanted;                  ///< [delivery] tls, where a question says nothing
  Log log;
};

std::unique_ptr<TlsPolicies> make_tls_policies(TlsPolicyParts parts);

/// The result type of an outcome in TLS reports (RFC 8460 §4.3); empty for a success.
std::string_view tls_result_type(TlsOutcome::Result result);

}  // namespace postern::relay
