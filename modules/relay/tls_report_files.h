// The counts of TLS reports on disk: a file per day and worker, and for each day the domains that have been told.
//
//   FOLDER/2026-11-22.w0.json   what worker 0 counted on that day; replaced whole (replace_file)
//   FOLDER/2026-11-22.sent      a domain a line: its report has been handed over
//
// Owner: the module; shared by all workers. Thread: any but a worker's loop. Errors: "tlsrpt.write", "tlsrpt.folder";
// a file that cannot be read counts as empty (and is removed with its day).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "postern/env.h"
#include "postern/error.h"
#include "tls_report.h"

namespace postern::relay {

class TlsReportFiles {
 public:
  static constexpr std::uint64_t kMaxFile = std::uint64_t{256} << 20;  ///< far beyond what TlsReportLog's limits allow

  TlsReportFiles(Env& env, std::string folder) : env_(env), folder_(std::move(folder)) {}
  Result<void> prepare();
  TlsReportDay read(UtcDay day, unsigned worker);
  Result<void> write(const TlsReportDay& day, unsigned worker);

  std::vector<UtcDay> days();       ///< that have files, oldest first
  TlsReportDay merged(UtcDay day);  ///< of all workers, also of those that a smaller set-up no longer has
  std::set<std::string> sent(UtcDay day);
  Result<void> mark_sent(UtcDay day, const std::string& domain);
  void remove(UtcDay day);

 private:
  TlsReportDay read_day(UtcDay day, const std::string& name);
  std::string read_text(const std::string& name);
  std::vector<std::string> names_of(UtcDay day);

  Env& env_;
  std::string folder_;
};

}  // namespace postern::relay
