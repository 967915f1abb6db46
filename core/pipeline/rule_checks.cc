#include "core/pipeline/rule_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace postern {
namespace {

using Names = std::vector<std::string_view>;

Names pipeline_names(const RuleSet& rules) {
  Names names;
  for (const auto& [name, pipeline] : rules.pipelines) names.push_back(name);
  return names;
}

/// Ends every recipient that it is given: no matcher, or one that is called "all".
bool always_ends(const Rule& rule) {
  const bool every = !rule.when || rule.when->name() == "all";
  return every && std::ranges::any_of(rule.actions, [](const auto& action) { return action->is_final(); });
}

void check_actions(const RuleSet& rules, const Rule& rule, Diagnostics& diagnostics) {
  if (rule.actions.empty()) diagnostics.error(rule.origin, fmt::format("rule \"{}\" has no action", rule.name));
  for (std::size_t i = 0; i < rule.actions.size(); ++i) {
    const std::string target = rule.actions[i]->goes_to();
    if (!target.empty() && !rules.pipelines.contains(target)) {
      const Names names = pipeline_names(rules);
      diagnostics.error(rule.origin, fmt::format("there is no pipeline \"{}\"", target), did_you_mean(target, names));
    }
    if (rule.actions[i]->is_final() && i + 1 < rule.actions.size()) {
      diagnostics.error(
          rule.origin,
          fmt::format("action {} of rule \"{}\" is never reached: the one before it ends the mail", i + 2, rule.name));
      return;
    }
  }
}

void check_pipeline(const RuleSet& rules, const PipelineRules& pipeline, Diagnostics& diagnostics) {
  if (pipeline.rules.empty())
    return diagnostics.error(pipeline.origin, fmt::format("pipeline \"{}\" has no rules", pipeline.name));
  const Rule* end = nullptr;
  for (const Rule& rule : pipeline.rules) {
    check_actions(rules, rule, diagnostics);
    if (end) {
      diagnostics.error(rule.origin,
                        fmt::format("rule \"{}\" is never reached: \"{}\" takes everything", rule.name, end->name));
      return;  // the rest is as unreachable; once is enough
    }
    if (always_ends(rule)) end = &rule;
  }
  if (!end)
    diagnostics.error(
        pipeline.rules.back().origin,
        fmt::format("pipeline \"{}\" does not end: its last rule must take everything and end it", pipeline.name),
        "add a last rule without `when`, for instance { act.bounce(\"5.7.1\", \"not accepted\") }");
}

bool sends(const Rule& rule) {
  static constexpr std::string_view kSenders[] = {"relay", "forward", "redirect", "resend"};
  return std::ranges::any_of(rule.actions, [](const auto& action) {
    return std::ranges::find(kSenders, action->name()) != std::end(kSenders);
  });
}

bool counts_received(const Rule& rule) {
  return rule.when && rule.when->name().find("relay_limit") != std::string::npos;
}

/// Depth-first over `go`, as mail would go; reports the rule that closes a cycle, and finds the loop guard. A pipeline
/// that mail can come to with and without having passed a guard is looked at for both.
class Walk {
 public:
  Walk(const RuleSet& rules, Diagnostics& diagnostics) : rules_(rules), diagnostics_(diagnostics) {}

  void visit(std::string_view name) {
    const auto found = rules_.pipelines.find(name);
    if (found == rules_.pipelines.end()) return;
    if (const auto seen = done_.find(name); seen != done_.end() && (seen->second == Seen::kUnguarded || guarded_))
      return;  // what holds without a guard holds with one
    path_.push_back(found->first);
    const bool guarded_before = guarded_;
    for (const Rule& rule : found->second.rules) {
      if (counts_received(rule)) guarded_ = has_guard_ = true;
      if (!guarded_ && !unguarded_ && sends(rule)) {
        unguarded_ = &rule;
        way_ = way_from(path_.begin());
      }
      for (const auto& action : rule.actions) follow(rule, action->goes_to());
    }
    guarded_ = guarded_before;  // what a pipeline looked at, the rules behind its `go` have not
    path_.pop_back();
    done_.insert_or_assign(found->first, guarded_ ? Seen::kGuarded : Seen::kUnguarded);
  }
  bool reached(const std::string& name) const { return done_.contains(name); }
  bool has_guard() const { return has_guard_; }
  const Rule* unguarded() const { return unguarded_; }       ///< the first rule that sends mail on unguarded
  const std::string& unguarded_way() const { return way_; }  ///< "root -> out": how mail comes to it

 private:
  enum class Seen : std::uint8_t { kGuarded, kUnguarded };
  using Step = std::vector<std::string>::const_iterator;
  std::string way_from(Step start) const {
    std::string way;
    for (Step step = start; step != path_.end(); ++step) way.append(way.empty() ? "" : " -> ").append(*step);
    return way;
  }
  void follow(const Rule& rule, const std::string& target) {
    if (target.empty()) return;
    const auto start = std::ranges::find(path_, target);
    if (start == path_.end()) return visit(target);
    if (!circles_.emplace(&rule, target).second) return;  // told when it was seen on another way
    diagnostics_.error(rule.origin,
                       fmt::format("rule \"{}\" goes in a circle: {} -> {}", rule.name, way_from(start), target));
  }
  const RuleSet& rules_;
  Diagnostics& diagnostics_;
  std::vector<std::string> path_;
  std::map<std::string, Seen, std::less<>> done_;
  std::set<std::pair<const Rule*, std::string>> circles_;
  bool guarded_ = false;
  bool has_guard_ = false;
  const Rule* unguarded_ = nullptr;
  std::string way_;
};

bool refuses(const Action& action) {
  return action.name() == "bounce" || action.name() == "reject";
}

/// Whether a pipeline refuses whatever it is given.
bool only_refuses(const RuleSet& rules, const std::string& name) {
  const auto found = rules.pipelines.find(name);
  return found != rules.pipelines.end() && std::ranges::all_of(found->second.rules, [](const Rule& rule) {
           return std::ranges::any_of(rule.actions, [](const auto& action) { return refuses(*action); });
         });
}

bool refuses_recipients(const RuleSet& rules, const Rule& rule) {
  if (!rule.when) return false;
  const std::string when = rule.when->name();
  const bool about_recipients = when.find("recipient_") != std::string::npos ||
                                when.find("user_is") != std::string::npos ||
                                when.find("host_is_local") != std::string::npos;
  return about_recipients && std::ranges::any_of(rule.actions, [&](const auto& action) {
           return refuses(*action) || only_refuses(rules, action->goes_to());
         });
}

void lint_pipeline(const RuleSet& rules, const PipelineRules& pipeline, Diagnostics& diagnostics) {
  for (const Rule& rule : pipeline.rules)
    if (refuses_recipients(rules, rule))
      diagnostics.warning(
          rule.origin, "lint.denial_after_acceptance",
          fmt::format("rule \"{}\" refuses recipients after their RCPT was answered with 250", rule.name),
          "refuse them in a hook: postern.on(\"rcpt\", ...)");
  if (pipeline.rules.empty() || pipeline.rules.back().on_error != OnError::kSkip) return;
  const Rule& last = pipeline.rules.back();
  diagnostics.warning(last.origin, "lint.skip_at_end",
                      fmt::format("where rule \"{}\" fails it is skipped, and no rule follows it", last.name),
                      "such mail is deferred all the same; leave on_error out, or add a rule");
}

void lint_loops(const RuleSet& rules, const Walk& walk, Diagnostics& diagnostics) {
  constexpr std::string_view kHint =
      "begin root with { when = match.relay_limit(100), act.bounce(\"5.4.6\", \"mail loop\") }";
  const bool direct = walk.unguarded_way().find(' ') == std::string::npos;
  const std::string way = direct ? "" : "on the way " + walk.unguarded_way() + " ";
  if (walk.unguarded())
    diagnostics.warning(walk.unguarded()->origin, "lint.no_loop_guard",
                        fmt::format("rule \"{}\" sends mail on, and {}nothing before it stops one that goes in "
                                    "circles (RFC 5321 section 6.3)",
                                    walk.unguarded()->name, way),
                        std::string(kHint));
  else if (!walk.has_guard())
    diagnostics.warning(rules.pipelines.find("root")->second.origin, "lint.no_loop_guard",
                        "nothing stops a mail that goes in circles (RFC 5321 section 6.3)", std::string(kHint));
}

constexpr std::string_view kUnusedWaiver = "lint.unused_waiver";
constexpr std::string_view kLints[] = {"lint.no_loop_guard",   "lint.denial_after_acceptance",
                                       "lint.unused_pipeline", "lint.skip_at_end",
                                       kUnknownGateway,        kUnknownRecipient,
                                       kUnusedWaiver};

Origin waiver_origin(const RuleSet& rules, std::size_t number) {
  return number < rules.waiver_origins.size() ? rules.waiver_origins[number] : Origin{};
}

/// Silences what scripts waived; call it when all warnings are there.
void apply_waivers(const RuleSet& rules, Diagnostics& diagnostics, const KnownTargets* known) {
  std::vector<std::pair<std::size_t, std::string>> unused;
  for (std::size_t i = 0; i < rules.waivers.size(); ++i) {
    const auto& [code, reason] = rules.waivers[i];
    if (std::ranges::find(kLints, code) == std::end(kLints)) {
      diagnostics.error(waiver_origin(rules, i), fmt::format("there is no lint \"{}\" that a script could waive", code),
                        did_you_mean(code, kLints));
      continue;
    }
    const std::size_t before = diagnostics.warnings();
    diagnostics.waive(code);
    const bool looked = known || (code != kUnknownGateway && code != kUnknownRecipient);
    if (looked && diagnostics.warnings() == before && code != kUnusedWaiver) unused.emplace_back(i, code);
  }
  for (const auto& [number, code] : unused)
    diagnostics.warning(waiver_origin(rules, number), std::string(kUnusedWaiver),
                        fmt::format("there is no warning {} that this waiver silences", code), "take it out");
}

}  // namespace

void check_rules(const RuleSet& rules, Diagnostics& diagnostics, const KnownTargets* known) {
  if (!rules.pipelines.contains("root")) {
    const Names names = pipeline_names(rules);
    diagnostics.error({}, "there is no pipeline \"root\": every mail begins there", did_you_mean("root", names));
    return apply_waivers(rules, diagnostics, known);
  }
  Walk walk(rules, diagnostics);
  walk.visit("root");
  for (const auto& [name, pipeline] : rules.pipelines) {
    check_pipeline(rules, pipeline, diagnostics);
    if (!walk.reached(name))
      diagnostics.warning(pipeline.origin, "lint.unused_pipeline",
                          fmt::format("no rule leads from root to pipeline \"{}\"", name));
    lint_pipeline(rules, pipeline, diagnostics);
  }
  lint_loops(rules, walk, diagnostics);
  for (const auto& [name, pipeline] : rules.pipelines)
    if (!walk.reached(name)) walk.visit(name);  // cycles among the unused ones
  if (known) check_targets(rules, *known, diagnostics);
  apply_waivers(rules, diagnostics, known);
}

}  // namespace postern
