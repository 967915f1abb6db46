// Where a recipient's mail goes, and under which TLS: the values that finding the way, TLS policy and talking share.
//
//   Route (settings, plan)  --ways.cc-->  Way: the hosts of one destination, in the order to try
//   WayHost + TlsPolicies::decide()  -->  TlsDecision: what that host's connection must be like
//   connection made or failed        -->  TlsPolicies::report(TlsOutcome)
//
// TlsPolicies is implemented in tls_policy.* (static table, DANE, MTA-STS) and called when a host's addresses are known
// and no decision about it is remembered; a TlsDecision is kept and used again until `valid_for` has passed.
//
// Owner: whoever made them; plain values. Thread: the worker that made them; a TlsPolicies object is one worker's.
// RFC:   5321 §5.1 (way), 7672 (DANE), 8461 (MTA-STS), 8460 (TLS reports), 8689 (REQUIRETLS).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/dns.h"
#include "postern/endpoint.h"
#include "postern/stream.h"
#include "postern/task.h"
#include "postern/time.h"
#include "postern/tls.h"
#include "postern/verdict.h"

namespace postern::relay {

/// What a connection must be like before mail goes over it.
enum class TlsLevel : std::uint8_t {
  kNone,           ///< plaintext, STARTTLS is not used
  kOpportunistic,  ///< TLS when the host offers it and it works, any certificate; else plaintext
  kEncrypt,        ///< TLS, any certificate
  kVerify,         ///< TLS, and the certificate passes the decision's context
};
std::string_view to_string(TlsLevel level);

/// Who decided.
enum class TlsSource : std::uint8_t { kNone, kStatic, kDane, kMtaSts };
std::string_view to_string(TlsSource source);

/// What is asked about one host. `wanted` is what a route or the plan says (one of kTlsWords, postern/transport.h);
/// empty: the setting.
struct TlsQuestion {
  std::string domain;             ///< the destination's, in ASCII; of a smarthost its own name (by MX: as configured)
  MailHost host;                  ///< name in ASCII
  HostAddresses addresses;        ///< with `authenticated` and `canonical_name`
  std::uint16_t port = 25;        ///< TLSA is asked for _<port>._tcp.<host>
  bool from_mx = false;           ///< found by MX: MTA-STS may apply, DANE needs mx_authenticated
  bool mx_authenticated = false;  ///< the MX answer (or its absence) was validated
  bool smarthost = false;         ///< configured; without from_mx its name is trusted, as RFC 7672 §2.2.3 wants it
  bool log_in = false;            ///< a password will go there: a name that nobody vouches for must prove nothing
  std::string wanted;
  bool require_tls = false;  ///< REQUIRETLS was asked for by the sender: at least verify (RFC 8689 §4.2.1)
};

/// What TLS reports say of a decision (tls_report.h).
struct TlsReportPolicy;

/// What was decided for one host of one domain.
struct TlsDecision {
  TlsLevel level = TlsLevel::kOpportunistic;
  TlsSource source = TlsSource::kNone;
  /// Client context for the handshake; null only with kNone.
  std::shared_ptr<TlsContext> context;
  /// What the handshake demands: SNI, names, TLSA records, sessions to resume. Of kOpportunistic and kEncrypt a record
  /// (Check::kRecord) only.
  TlsPeer peer;
  /// The host must not be used at all (not in an enforced MTA-STS policy, TLSA cannot be asked): 4xx, why.
  std::optional<Reply> refusal;
  /// kOpportunistic: after a failed handshake mail may go in plaintext over a new connection. Never true above it.
  bool plaintext_after_failure = true;
  /// Connections may be shared by what has the same text: level, source, names, records.
  std::string key;
  std::string text;          ///< for the trail and the log: "dane: 2 usable TLSA of mx.example.org"
  Duration valid_for = 60s;  ///< how long it may be used without being asked for again
  std::shared_ptr<const TlsReportPolicy> report;  ///< null: sessions under it are in no TLS report
};

/// What became of TLS on one connection; for logs of downgrades and for TLS-RPT.
struct TlsOutcome {
  /// The result types of RFC 8460 §4.3, and success.
  enum class Result : std::uint8_t {
    kSuccess,
    kPlaintext,  ///< allowed plaintext, because TLS was not offered or failed: a downgrade, never silent
    kStarttlsNotSupported,
    kCertificateHostMismatch,
    kCertificateExpired,
    kCertificateNotTrusted,
    kValidationFailure,
    kTlsaInvalid,
    kDnssecInvalid,
    kStsPolicyInvalid,
    kStsWebpkiInvalid,
  };
  std::string domain;  ///< TlsQuestion::domain
  std::string host;
  IpAddress source_ip;  ///< ours
  IpAddress host_ip;
  const TlsDecision* decision = nullptr;  ///< alive during the call
  Result result = Result::kSuccess;
  std::string detail;  ///< the TLS library's words
  TlsInfo info;        ///< of an established session
};

/// Decides which TLS a host gets. One per worker.
class TlsPolicies {
 public:
  virtual ~TlsPolicies();
  /// Errors: throws Cancelled only; what cannot be found out becomes a decision (or its refusal).
  virtual Task<TlsDecision> decide(TlsQuestion question, Deadline deadline) = 0;
  /// Keeps what is known fresh, until it is cancelled. The default has nothing to do.
  virtual Task<void> run();
  /// Told of each connection on which TLS was tried or missed. Returns at once.
  virtual void report(const TlsOutcome& outcome) = 0;
};

/// How a host's address families are tried.
enum class FamilyOrder : std::uint8_t { kIpv6First, kIpv4First, kIpv6Only, kIpv4Only };

enum class Protocol : std::uint8_t { kSmtp, kLmtp };

/// One host of a destination, with what is needed to reach it.
struct WayHost {
  MailHost host;  ///< name in ASCII; of an address literal or a Unix socket what to call it in logs
  std::uint16_t port = 25;
  std::string unix_path;           ///< LMTP over a Unix socket; then there are no addresses
  bool from_mx = false;            ///< its name came from the DNS, not from a configuration
  bool mx_authenticated = false;   ///< from_mx: in an answer that was validated
  std::string domain;              ///< from_mx: whose MX it is
  std::optional<IpAddress> fixed;  ///< its address; no DNS
  bool implicit_tls = false;       ///< TLS from the first octet (submissions, RFC 8314)
};

/// Where mail for one destination goes.
struct Way {
  std::string domain;  ///< destination domain, or the route's name; in ASCII
  std::string site;    ///< its hosts as a key: what shares windows and rates
  Protocol protocol = Protocol::kSmtp;
  std::vector<WayHost> hosts;       ///< in the order to try
  bool smarthost = false;           ///< hosts are configured
  std::string route;                ///< name of the [[delivery.route]] that led here; empty: by MX
  std::string credentials;          ///< a name in the credentials of the settings; empty: none
  bool trusts_any = false;          ///< the route itself says that its password may go to a host that proves nothing
  std::string tls;                  ///< TlsQuestion::wanted
  std::string source_pool;          ///< name of the pool of source addresses; empty: the default
  std::optional<IpAddress> source;  ///< the one address to use (the plan said so)
  FamilyOrder families = FamilyOrder::kIpv6First;
  Duration valid_for = 60s;
  /// Set: there is no way, and this is why. 5xx is final; 4xx waits.
  std::optional<Reply> dead_end;
};

/// Whether the way's password may go over a connection that was made like that. Its TLS is there already.
bool may_log_in(const Way& way, TlsLevel level);

}  // namespace postern::relay
