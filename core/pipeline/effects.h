// The world as rules see it: every question and its answer goes into the trail, with the time it took.
//
// One object per run (a stage of a session, or a message), in the frame of the coroutine that runs the rules. All waits
// of a run share one deadline, [pipeline] time_limit.
//
// Thread: its worker.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/pipeline/epoch.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/pipeline.h"

namespace postern {

/// What one worker lends to the rules that run on it.
struct PolicyWorker {
  Executor* executor = nullptr;
  Resolver* resolver = nullptr;
  Log log;
  Directory* directory = nullptr;
  Metrics* metrics = nullptr;
  Instant (*precise_clock)() =
      nullptr;  ///< for the times of rules; nothing: the executor's, which stands still in a turn
  std::shared_ptr<const RuleEpoch> epoch;
  std::map<std::string, Counter*, std::less<>> script_counters;

  Instant tick() const { return precise_clock ? precise_clock() : executor->now(); }
  Counter& script_counter(std::string_view name);
};

class LiveEffects final : public Effects {
 public:
  static constexpr std::size_t kMaxQuestions = 1000;  ///< of one run

  LiveEffects(PolicyWorker& worker, Trail& trail, std::string_view session, Stage stage, Duration time_limit);
  Task<DnsAnswer> dns(std::string name, RecordType type) override;
  WallTime clock() override;
  double random() override;
  void log(std::string_view level, std::string_view text) override;
  void count(std::string_view counter, std::int64_t by) override;
  Trail& trail() override { return trail_; }
  Directory& directory() override { return *worker_.directory; }
  Executor& executor() override { return *worker_.executor; }
  Duration time_limit() const override { return time_limit_; }

 private:
  PolicyWorker& worker_;
  Trail& trail_;
  std::string_view session_;
  Stage stage_;
  Duration time_limit_;
  Deadline deadline_;
  std::size_t questions_ = 0;
};

/// An answer as trails have it: "127.0.0.2; 127.0.0.4", "10 mx.example.org", "nxdomain".
std::string trail_text(const DnsAnswer& answer);

/// Nanoseconds as the whole microseconds of a trail.
std::uint32_t trail_micros(Duration duration);

}  // namespace postern
