// Running one message through the pipeline "root" and all that it reaches by `go`.
//
// Rules run in order. A matcher selects some of the recipients that are still there; the actions of its rule run for
// those, and a final one settles them, a `go` sends them through another pipeline first. What an action does to the
// header for some recipients only is kept as edits of their steps; what it does for all goes into the message.
//
// A rule that fails (a fault, an exception, a step that makes no sense) settles the recipients it failed for as its
// on_error says. Recipients that run off a pipeline's end are deferred: an error, never a silent drop.
//
// An action may give its recipients another body (ActionResult::body). Where these are all that had the body before, it
// takes its place; else the mail has several bodies from there on: matchers and actions run once for each, with
// Transaction::draft being that body, and at the end each becomes a mail of its own (brought.h). Everything else about
// the recipients stays together: their notes, what the gate said of them, their place in the pipeline, their outcomes.
//
// Owner:  Policy::message, in its frame. Thread: its worker.
// Limits: kMaxGoDepth pipelines deep, kMaxRulesRun rules in all, kMaxBodies beside the first, Transaction::kMaxBrought
//         mails brought in, [pipeline] time_limit for the waits.
#pragma once

#include <cstdint>
#include <memory>
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
  static constexpr std::size_t kMaxBodies = 16;

  /// A body that some recipients have instead of the mail's own.
  struct Body {
    std::shared_ptr<Draft> draft;
    RecipientSet members;
    std::string rule;  ///< that made it
  };

  RootRun(const RuleEpoch& epoch, PolicyWorker& worker, Transaction& transaction, Effects& effects);

  /// Settles every recipient. Throws Cancelled only.
  Task<void> run();
  /// Settles recipients from outside: what hooks and the expansion of aliases decided.
  void settle_with(const RecipientSet& recipients, const Verdict& verdict, std::string_view rule);
  void hold(const RecipientSet& recipients, Duration duration);

  const RecipientSet& unsettled() const { return unsettled_; }
  std::vector<RecipientOutcome>& outcomes() { return outcomes_; }  ///< one per recipient of the envelope, as it is now
  std::vector<PlanStep>& steps() { return steps_; }
  std::vector<Body>& bodies() { return bodies_; }

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
  Task<RecipientSet> select(const CompiledRule& rule);
  Task<void> run_actions(const CompiledRule& rule, RecipientSet group);
  Task<Result<ActionResult>> run_action(const CompiledRule& rule, Action& action, const RecipientSet& group);
  Result<void> check_brought(std::size_t before, const Rule& rule);
  Result<void> put_body(Draft body, const RecipientSet& group, const Rule& rule);
  std::size_t body_of(const RecipientSet& group) const;
  RecipientSet sharing(const RecipientSet& set, std::size_t body) const;
  void look_at(std::size_t body);
  Instant record(const CompiledRule& rule, const RecipientSet& selected, Instant before);
  After apply(const CompiledRule& rule, const RecipientSet& selected, Result<ActionResult> result);
  After go(const CompiledRule& rule, const RecipientSet& selected, const std::string& pipeline);
  After finish(const CompiledRule& rule, const RecipientSet& selected, ActionResult& result);
  void fail(const Rule& rule, std::string_view place, const RecipientSet& recipients, const Fault& fault);
  void take(const RecipientSet& recipients);
  Result<void> add_steps(const PlanStep& step, const RecipientSet& recipients);
  Result<void> check_step(const PlanStep& step, std::size_t recipient) const;
  void add_to_step(const PlanStep& step, std::size_t recipient, std::size_t first_new);
  const NoteValue* recipient_note(std::size_t recipient, std::string_view name) const;
  WallTime noted_time(std::size_t recipient) const;
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
  RecipientSet here_;      ///< that here_text_ names
  std::string here_text_;  ///< as trails have it
  std::vector<Level> levels_;
  RecipientSet unsettled_;
  std::vector<RecipientOutcome> outcomes_;
  std::vector<PlanStep> steps_;
  std::vector<HeaderEdits> edit_lists_;  ///< of splits; number 0 is empty
  std::vector<std::uint32_t> edits_of_;  ///< per recipient; empty until the first split edit
  std::vector<WallTime> not_before_;     ///< per recipient; empty until the first hold
  std::vector<Body> bodies_;             ///< number n is bodies_[n - 1]; number 0 is the mail's own
  Draft* own_ = nullptr;                 ///< the session's, which keeps the mail's own body
  bool changed_ = false;                 ///< there was another body than the one that came
};

/// What the exception being handled says, as a rule's fault. Throws Cancelled on.
Fault fault_of_current_exception();

/// "reject 550 5.7.1 text", "discard (reason)": a verdict as trails have it.
std::string trail_text(const Verdict& verdict);

/// The verdict of a rule or hook that failed, by its on_error; kContinue for kSkip.
Verdict failure_verdict(OnError on_error, std::string_view rule, Stage stage);

}  // namespace postern
