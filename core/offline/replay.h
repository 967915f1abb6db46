// Recorded transactions through other scripts: what would be decided otherwise (`postern replay`).
//
// Trails are read file by file, oldest first; each file's transactions are split among the jobs, which are threads with
// a machine and a rule set of their own, so that nothing is shared but what is only read. Every question is answered
// from the transaction's own trail; a network is never touched. A transaction whose text the archive does not have is
// led up to RCPT and compared up to there.
//
// Owner:  the CLI. Thread: run() on one that is no worker's; it makes the jobs' and ends them. Callbacks come on the
//         calling thread, in the order of the trails.
// Limits: one trail file in memory at a time ([trail] segment), and the answers of mails that rules brought in until
//         the mail that they came with has been replayed.
// Errors: damaged files are counted and named, never fatal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/offline/comparison.h"
#include "core/offline/machine.h"
#include "core/pipeline/trail_log.h"
#include "postern/env.h"

namespace postern {

/// One transaction whose decisions differ, or whose rules asked what was never answered.
struct ReplayFinding {
  std::string id;  ///< of the message, else of the session
  WallTime when{};
  std::string client, sender;
  std::vector<std::string> recipients;
  std::vector<DecisionChange> changes;
  std::vector<RecordedAnswers::Unanswered> unanswered;
};

struct ReplayTotals {
  std::uint64_t replayed = 0;
  std::uint64_t differ = 0;      ///< of those
  std::uint64_t unanswered = 0;  ///< of those: a question had no recorded answer
  std::uint64_t findings = 0;    ///< of those: one of the two, or both
  std::uint64_t bodyless = 0;    ///< of those: reached DATA, but the archive has no text; led up to RCPT
  std::uint64_t verdicts = 0, routes = 0, edits = 0;  ///< changes of each kind
  std::uint64_t cut = 0;                              ///< not replayable: the trail was full
  std::uint64_t damaged = 0;                          ///< not replayable: cannot be read
  std::uint64_t brought = 0;                          ///< not replayed by themselves: rules brought them in
  std::uint64_t other = 0;                            ///< records of something else than a client's session
  std::vector<std::string> damaged_files;
};

class Replay {
 public:
  struct Options {
    std::string trails, archive;  ///< folders
    std::optional<WallTime> since, until;
    std::uint64_t limit = ~std::uint64_t{0};  ///< transactions
  };
  struct Told {
    std::function<void(const ReplayFinding&)> finding;
    std::function<void(const ReplayTotals&)> progress;  ///< after each portion; may be empty
  };
  /// `rules`: one rule set for each job. All that is referred to outlives it.
  Replay(const PreparedRules& rules, Directory& directory, const ReturnPaths* return_paths, std::string hostname);
  ~Replay();

  ReplayTotals run(Env& env, const Options& options, const Told& told);

 private:
  class Job;
  struct Piece;
  void run_file(Env& env, const Options& options, std::string_view bytes, const std::string& name, const Told& told,
                ReplayTotals& totals);
  void run_portion(Env& env, const Options& options, std::vector<TrailRecord>& records, const Told& told,
                   ReplayTotals& totals);
  void gather_beside(const std::vector<TrailRecord>& records);
  void forget_beside(const std::string& message);

  std::vector<std::unique_ptr<Job>> jobs_;
  /// Effects of mails that rules brought in, by the message that they came with: its replay asks for them.
  std::multimap<std::string, std::vector<TrailEntry>> beside_;
};

}  // namespace postern
