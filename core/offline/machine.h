// A policy in a simulated world, through which mails are taken one after the other: no network, no disk, no queue, a
// clock that stands where it is put. What rules ask of the world, RecordedAnswers say.
//
// Owner:  OfflineWorld (specs), one thread of a replay. Thread: one, from its making to its end.
// Errors: those of run_offline(); "offline.stuck" for a mail that does not come to an end in an hour of virtual time.
#pragma once

#include <memory>
#include <string>

#include "core/offline/mail_run.h"
#include "core/pipeline/policy.h"
#include "core/pipeline/recorded_answers.h"
#include "postern/dns_fake.h"
#include "postern/queue_event.h"
#include "postern/sim.h"

namespace postern {

class OfflineMachine {
 public:
  struct Options {
    Directory& directory;  ///< for what belongs to the configuration: the default domain
    const ReturnPaths* return_paths = nullptr;
    std::string hostname = "localhost";
    WallTime start = SimOptions{}.start;
    Log log{};
  };
  explicit OfflineMachine(Options options);
  ~OfflineMachine();
  OfflineMachine(const OfflineMachine&) = delete;
  OfflineMachine& operator=(const OfflineMachine&) = delete;

  Metrics& metrics() { return metrics_; }
  void install(const PreparedRules& rules) { policy_.install(sim_.worker(0), rules); }
  /// Moves the clock forward; it never goes back.
  void advance_to(WallTime when);
  Result<SpecResult> run(const OfflineMail& mail, RecordedAnswers& answers);
  /// Runs the hooks of the queue; `event` is changed by them and outlives the call, `trail` gets what they left.
  Result<Verdict> run(QueueEvent& event, RecordedAnswers& answers, Trail& trail);

 private:
  template <class T>
  Result<T> finish(Task<Result<T>> task, RecordedAnswers& answers);

  SimRuntime sim_;
  Metrics metrics_{1};
  FakeResolver dns_;  // never asked: every question goes to the answers
  std::unique_ptr<Spool> spool_;
  PipelinePolicy policy_;
};

}  // namespace postern
