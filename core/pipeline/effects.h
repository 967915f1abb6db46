// The world as rules see it: every question and its answer goes into the trail, with the time it took.
//
// One object per run (a stage of a session, or a message), in the frame of the coroutine that runs the rules. All waits
// of a run share one deadline, [pipeline] time_limit; those of a message share it with those of its hooks and of all
// mails that it brings in. Once it is over nobody is waited for: questions end as "timeout", the directory answers what
// it knows at once. A run keeps the stores of the epoch that it began under. Where PolicyWorker::recorded is set
// (replay, specs) the answers come from there, and nothing outside is touched.
//
// Where PolicyWorker::pretence is set (explain) the world is asked, and what would change it is not done: such an
// answer stands in the trail behind "not done, as if: ".
//
// Errors: values, in the trail like other answers: "effects.limit" (kMaxQuestions), "effects.none" (no such database,
// store or client here), "sql.limit", "kv.limit", and those of the services asked.
// Thread: its worker.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/epoch.h"
#include "core/pipeline/recorded_directory.h"
#include "postern/http.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/pipeline.h"

namespace postern {

class Pretence;
class RecordedAnswers;
class Services;

/// What one worker lends to the rules that run on it.
struct PolicyWorker {
  Executor* executor = nullptr;
  Resolver* resolver = nullptr;
  Log log;
  Directory* directory = nullptr;
  Spool* spool = nullptr;  ///< nothing: rules write no mails (PipelinePolicy::attach_spool)
  Metrics* metrics = nullptr;
  HttpClient* http = nullptr;           ///< nothing: http is "effects.none"
  const Services* services = nullptr;   ///< where databases, kv stores and the spool are found by name
  RecordedAnswers* recorded = nullptr;  ///< nothing in a server; else it answers instead of the world
  Pretence* pretence = nullptr;         ///< nothing in a server; else what would change the world is not done
  Trail* event_trail = nullptr;         ///< gets the trail of each event of the queue; nothing: nobody looks
  Instant (*precise_clock)() =
      nullptr;  ///< for the times of rules; nothing: the executor's, which stands still in a turn
  std::shared_ptr<const RuleEpoch> epoch;
  std::map<std::string, Counter*, std::less<>> script_counters;
  std::string scratch_question, scratch_answer;  ///< of RecordedDirectory::write

  Instant tick() const { return precise_clock ? precise_clock() : executor->now(); }
  Counter& script_counter(std::string_view name);
};

class LiveEffects final : public Effects {
 public:
  static constexpr std::size_t kMaxQuestions = 1000;  ///< of one run
  static constexpr std::size_t kMaxDrafts = 200;      ///< that the rules of one run begin

  /// All outlive it. `until`: the end of all waits.
  LiveEffects(PolicyWorker& worker, const RuleEpoch& epoch, Trail& trail, std::string_view session, Stage stage,
              Instant until);
  Task<DnsAnswer> dns(std::string name, RecordType type) override;
  WallTime clock() override;
  double random() override;
  void log(std::string_view level, std::string_view text) override;
  void count(std::string_view counter, std::int64_t by) override;
  Trail& trail() override { return trail_; }
  Directory& directory() override { return directory_; }
  Executor& executor() override { return *worker_.executor; }
  Duration time_limit() const override { return epoch_.time_limit; }
  Task<Result<HttpResponse>> http(HttpRequest request) override;
  Task<Result<SqlRows>> sql(std::string database, std::string statement, std::vector<SqlArgument> arguments) override;
  Task<Result<KeyValueReply>> kv(std::string store, KeyValueRequest request) override;
  Result<Draft> begin_draft(std::uint64_t size_hint) override;
  std::optional<std::string> recorded(std::string_view effect, std::string_view question) override;

 private:
  // What is asked of the world; the functions above write down what they say. Parameters outlive them.
  Task<Result<HttpResponse>> fetch(const HttpRequest& request);
  Task<Result<SqlRows>> query(const std::string& database, const std::string& statement,
                              const std::vector<SqlArgument>& arguments);
  Task<Result<KeyValueReply>> ask_store(const std::string& store, const KeyValueRequest& request);
  bool spent() { return ++questions_ > kMaxQuestions; }
  void write(std::string_view effect, std::string_view question, std::string_view answer, Instant since);

  PolicyWorker& worker_;
  const RuleEpoch& epoch_;
  Trail& trail_;
  std::string_view session_;
  Stage stage_;
  Instant until_;
  std::size_t questions_ = 0;
  std::size_t drafts_ = 0;
  RecordedDirectory directory_;
};

/// Nanoseconds as the whole microseconds of a trail.
std::uint32_t trail_micros(Duration duration);

}  // namespace postern
