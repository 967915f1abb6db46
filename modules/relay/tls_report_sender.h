// TLS reports, the sending: each night the day that ended is merged, and who asked for reports gets one, by mail or by
// HTTPS (RFC 8460 §3, §5). Everybody once: who has been told is written down before the next one's turn.
//
// A report is made for a domain whose TXT record wants it at that time. Mail goes out through `submit`, which puts a
// message into the queue. Every target of the record is tried once; only when none took it are all tried again, about
// each hour, and a day is given up 48 hours after its end. A random wait after midnight keeps the world's reports apart
// (§5.5.1); a server that starts sends what is due at once.
//
// Owner: the module, on worker 0; parts outlive run(). Thread: worker 0; files on the disk pool, gzip on the cpu pool.
// Errors: logged ("tlsrpt.failed", "tlsrpt.write", "tlsrpt.given_up"); throws Cancelled only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "postern/dns.h"
#include "postern/executor.h"
#include "postern/http.h"
#include "postern/log.h"
#include "postern/task.h"
#include "tls_report_files.h"
#include "tls_report_mail.h"
#include "tls_report_record.h"

namespace postern::relay {

/// A report that is ready to be queued. It goes whatever TLS policy its domain has (its header says TLS-Required: No),
/// and unsigned, though RFC 8460 §3 wants a DKIM signature: who relays through a signer has one.
struct OutgoingTlsReport {
  std::string from;  ///< envelope sender
  std::string to;    ///< envelope recipient
  std::string message;
};

struct TlsReportParts {
  Executor& executor;
  Resolver& dns;
  HttpClient& http;
  std::shared_ptr<TlsReportFiles> files;
  std::string hostname;
  std::string organization;  ///< empty: the host name
  std::string from;          ///< address; empty: tlsrpt-noreply@HOSTNAME
  std::string contact;       ///< address; empty: postmaster@HOSTNAME
  /// Puts the message into the queue; a fault means that it is not there. A named coroutine, or one that owns all.
  std::function<Task<Result<void>>(OutgoingTlsReport)> submit;
  Log log;
};

class TlsReporter {
 public:
  static constexpr Duration kRound = 1h;
  static constexpr Duration kMaxWait = 4h;  ///< random, after midnight
  static constexpr std::chrono::hours kGiveUp{48};
  static constexpr Duration kDnsTime = 30s;
  static constexpr Duration kPostTime = 60s;

  explicit TlsReporter(TlsReportParts parts) : parts_(std::move(parts)) {}
  /// Sends each day's reports when their time has come, until it is cancelled.
  Task<void> run();
  /// Sends what is due now: the reports of all days before today. Returns how many were handed over.
  Task<std::size_t> send_due();

 private:
  enum class Fate : std::uint8_t { kSent, kUnwanted, kLater };
  Task<std::size_t> send_day(UtcDay day);
  Task<Fate> send_one(UtcDay day, std::string domain, std::vector<TlsReportCounts> policies);
  Task<Result<void>> deliver(std::string target, TlsReportMail mail, std::string report);
  Task<Result<void>> post(std::string url, std::string report);
  TlsReportMail mail_for(UtcDay day, const std::string& domain) const;
  std::string contact() const;

  TlsReportParts parts_;
};

}  // namespace postern::relay
