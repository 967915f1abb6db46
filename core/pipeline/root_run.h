// Running one message through the pipeline "root" and all that it reaches by `go`.
//
// Rules run in order. A matcher selects some of the recipients that are still there; the actions of its rule run for
// those, and a final one settles them, a `go` sends them through another pipeline first. What an action does to the
// header for some recipients only is kept as edits of their steps; what it does for all goes into the message.
//
// A rule that fails (a fault, an exception, a step that makes no sense) settles the recipients it failed for as its
// on_error says. Recipients that run off a pipeline's end are deferred: an error, never a silent drop.
//
// Owner:  Policy::message, in its frame. Thread: its worker.
// Limits: kMaxGoDepth pipelines deep, kMaxRulesRun rules in all, [pipeline] time_limit for the waits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/pipeline/effects.h"
#include "core/pipeline/epoch.h"
#include "postern/pipeline.h"

namespace postern {

class RootRun {
 public:
  static constexpr std::size_t kMaxGoDepth = 32;
  static constexpr std::size_t kMaxRulesRun = 10'000;

  RootRun(const RuleEpoch& epoch, PolicyWorker& worker, Transaction& transaction, Effects& effects);

  /// Settles every recipient. Throws Cancelled only.
  Task<void> run();
  /// Settles recipients from outside: what hooks and the expansion of aliases decided.
  void settle_with(const RecipientSet& recipients, const Verdict& verdict, std::string_view rule);
  void hold(const RecipientSet& recipients, Duration duration);

  const RecipientSet& unsettled() const { return unsettled_; }
  std::vector<RecipientOutcome>& outcomes() { return outcomes_; }  ///< one per recipient of the envelope, as it is now
  std::vector<PlanStep>& steps() { return steps_; }

 private:
  struct Level {
    const CompiledPipeline* pipeline;
    std::size_t next;
    RecipientSet set;
  };
  /// Where a rule stands after one of its actions.
  enum class After : std::uint8_t { kNextAction, kRuleDone };

  const CompiledRule* next_rule();  ///< of the innermost pipeline with recipients left; null at the end
  bool off_the_end();
  void record(const CompiledRule& rule, const RecipientSet& selected, Instant before);
  After apply(const CompiledRule& rule, const RecipientSet& selected, Result<ActionResult> result);
  After go(const CompiledRule& rule, const RecipientSet& selected, const std::string& pipeline);
  After finish(const CompiledRule& rule, const RecipientSet& selected, ActionResult& result);
  void fail(const Rule& rule, std::string_view place, const RecipientSet& recipients, const Fault& fault);
  void take(const RecipientSet& recipients);
  Result<void> add_steps(const PlanStep& step, const RecipientSet& recipients);
  Result<void> check_step(const PlanStep& step, std::size_t recipient) const;
  void add_to_step(const PlanStep& step, std::size_t recipient, std::size_t first_new);
  const NoteValue* recipient_note(std::size_t recipient, std::string_view name) const;
  std::string folder_of(const PlanStep& step, std::size_t recipient) const;
  std::string edits_for(std::size_t recipient) const;
  void reply_to(const RecipientSet& recipients, const Reply& reply, std::string_view rule);
  void keep_edits(const RecipientSet& selected, const HeaderEdits& delta);

  const RuleEpoch& epoch_;
  PolicyWorker& worker_;
  Transaction& mail_;
  Effects& effects_;
  std::size_t count_;
  std::size_t rules_run_ = 0;
  std::vector<Level> levels_;
  RecipientSet unsettled_;
  std::vector<RecipientOutcome> outcomes_;
  std::vector<PlanStep> steps_;
  std::vector<HeaderEdits> edit_lists_;  ///< of splits; number 0 is empty
  std::vector<std::uint32_t> edits_of_;  ///< per recipient; empty until the first split edit
  std::vector<WallTime> not_before_;     ///< per recipient; empty until the first hold
};

/// What the exception being handled says, as a rule's fault. Throws Cancelled on.
Fault fault_of_current_exception();

/// "reject 550 5.7.1 text", "discard (reason)": a verdict as trails have it.
std::string trail_text(const Verdict& verdict);

/// The verdict of a rule or hook that failed, by its on_error; kContinue for kSkip.
Verdict failure_verdict(OnError on_error, std::string_view rule, Stage stage);

}  // namespace postern
