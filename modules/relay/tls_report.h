// TLS reports (RFC 8460), the collecting: what became of TLS with each policy domain, per UTC day.
//
// Each worker counts by itself and writes its counts beside those of the others (tls_report_files.h), every minute when
// something is new and at the end, so that a restart does not lose the day (a crash loses a minute of it).
//
//   TlsPolicies::report() --> TlsReportLog::add()      per worker
//   TlsReportLog::run()   --> DAY.wN.json              disk pool
//   TlsReporter::run()    --> merges a day's files, makes and sends the reports (tls_report_sender.h), worker 0
//
// Limits: kMaxDomains a day and worker, kMaxPolicies each, kMaxFailures different failures each; what is beyond is
// counted in the summaries (failures) or not at all (domains; logged once a day).
// Thread: the log's worker. Errors: a disk that fails is logged.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/executor.h"
#include "postern/log.h"
#include "postern/task.h"
#include "utc_day.h"

namespace postern::relay {

/// The policy under which sessions with one domain stood, as reports describe it (§4.2).
struct TlsReportPolicy {
  enum class Type : std::uint8_t { kNoPolicy, kTlsa, kSts };
  Type type = Type::kNoPolicy;
  std::string domain;
  std::vector<std::string> strings;  ///< of the policy: TLSA records, or lines of the MTA-STS policy
  std::vector<std::string> mx;       ///< MX patterns of an MTA-STS policy
  bool testing = false;              ///< MTA-STS: what would fail goes through, and counts as failed
  std::string problem;               ///< result type that every session under it has: the policy itself is at fault
  std::string reason;                ///< its words
};
std::string_view to_string(TlsReportPolicy::Type type);

/// One kind of failure (§4.3, §4.4). Sessions that fail alike are counted together.
struct TlsReportFailure {
  std::string result;  ///< "certificate-expired"
  std::string sending_ip, receiving_host, receiving_ip;
  std::string reason;  ///< failure-reason-code: our TLS library's words
  auto operator<=>(const TlsReportFailure&) const = default;
};

/// What was counted under one policy.
struct TlsReportCounts {
  static constexpr std::size_t kMaxFailures = 50;
  TlsReportPolicy policy;
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  std::map<TlsReportFailure, std::uint64_t> details;

  void add_failure(const TlsReportFailure& failure, std::uint64_t count);
};

/// Everything of one day, by domain.
struct TlsReportDay {
  static constexpr std::size_t kMaxPolicies = 8;
  UtcDay day{};
  std::map<std::string, std::vector<TlsReportCounts>, std::less<>> domains;

  /// The counts of a policy, made when there is room for it; else the last ones of its domain.
  TlsReportCounts& counts_of(const TlsReportPolicy& policy);
  void merge(const TlsReportDay& other);
};

class TlsReportFiles;

class TlsReportLog {
 public:
  static constexpr std::size_t kMaxDomains = 10'000;
  static constexpr Duration kFlushEvery = 1min;

  TlsReportLog(Executor& executor, std::shared_ptr<TlsReportFiles> files, Log log)
      : executor_(executor), files_(std::move(files)), log_(std::move(log)) {}

  /// Null: the session succeeded.
  void add(const TlsReportPolicy& policy, const TlsReportFailure* failure);
  /// Reads what this worker had of today; then writes what is new, every minute, until it is cancelled.
  Task<void> run();
  /// Writes what is new; at the end of the worker's life too.
  Task<void> flush();
  const TlsReportDay& today() const { return today_; }

 private:
  void turn_over(UtcDay day);
  Task<void> load();
  Task<void> write(TlsReportDay day);

  Executor& executor_;
  std::shared_ptr<TlsReportFiles> files_;
  Log log_;
  TlsReportDay today_;
  std::vector<TlsReportDay> ended_;  // days that are over and not written yet; one as a rule
  bool dirty_ = false;
  bool loaded_ = false;
  bool full_ = false;
};

}  // namespace postern::relay
