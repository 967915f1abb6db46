// What one worker has for TLS policies and reports: an HTTPS client, the policies, its counts, and on worker 0 the one
// who sends reports.
//
// Files lie in the state folder, mta-sts and tls-reports; they are shared by all workers (SharedTls).
// Owner: the module. Thread: the worker's, apart from SharedTls::make().
#pragma once

#include <memory>
#include <string>

#include "mta_sts_store.h"
#include "outbound.h"
#include "postern/executor.h"
#include "postern/http.h"
#include "postern/nursery.h"
#include "postern/pipeline.h"
#include "tls_policy.h"
#include "tls_report_files.h"
#include "tls_report_sender.h"

namespace postern::relay {

/// What cannot be made is logged, and done without: mail moves all the same.
struct SharedTls {
  /// Blocks: it makes the folders. After privileges were dropped, before mail moves.
  static std::unique_ptr<SharedTls> make(std::shared_ptr<TlsContext> client, const std::string& state_dir, bool reports,
                                         const Log& log);
  PosixEnv env;
  std::shared_ptr<StsStore> policies;       ///< null: MTA-STS policies live in memory only
  std::shared_ptr<TlsReportFiles> reports;  ///< null: none are wanted
  std::shared_ptr<TlsContext> client;
};

/// How a report by mail leaves: whatever the domain's policy says, which may be the very thing that the report is about
/// (RFC 8460 §5.3).
PlanStep tls_report_step();

struct WorkerTlsParts {
  SharedTls& shared;
  const Outbound& outbound;
  Resolver& dns;
  Spool& spool;
  Queue* queue = nullptr;  ///< null: reports go by HTTPS only
};

class WorkerTls {
 public:
  WorkerTls(Executor& executor, Log log, WorkerTlsParts parts);

  TlsPolicies& policies() { return *policies_; }
  Task<void> drain(Deadline deadline);

 private:
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<TlsReportLog> reports_;
  std::unique_ptr<TlsReporter> reporter_;
  std::unique_ptr<TlsPolicies> policies_;
  Nursery nursery_;
};

}  // namespace postern::relay
