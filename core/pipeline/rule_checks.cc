#include "core/pipeline/rule_checks.h"

#include <fmt/format.h>

#include <algorithm>
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

/// Depth-first over `go`; reports the rule that closes a cycle.
class Walk {
 public:
  Walk(const RuleSet& rules, Diagnostics& diagnostics) : rules_(rules), diagnostics_(diagnostics) {}

  void visit(std::string_view name) {
    const auto found = rules_.pipelines.find(name);
    if (found == rules_.pipelines.end() || done_.contains(name)) return;
    path_.push_back(found->first);
    for (const Rule& rule : found->second.rules) {
      if (rule.when && rule.when->name().find("relay_limit") != std::string::npos) loop_guard = true;
      for (const auto& action : rule.actions) follow(rule, action->goes_to());
    }
    path_.pop_back();
    done_.insert(found->first);
  }
  bool reached(const std::string& name) const { return done_.contains(name); }

  bool loop_guard = false;

 private:
  void follow(const Rule& rule, const std::string& target) {
    if (target.empty()) return;
    const auto start = std::ranges::find(path_, target);
    if (start == path_.end()) return visit(target);
    std::string way;
    for (auto step = start; step != path_.end(); ++step) way.append(*step).append(" -> ");
    diagnostics_.error(rule.origin, fmt::format("rule \"{}\" goes in a circle: {}{}", rule.name, way, target));
  }
  const RuleSet& rules_;
  Diagnostics& diagnostics_;
  std::vector<std::string> path_;
  std::set<std::string, std::less<>> done_;
};

bool refuses_recipients(const Rule& rule) {
  if (!rule.when) return false;
  const std::string when = rule.when->name();
  const bool about_recipients = when.find("recipient_") != std::string::npos ||
                                when.find("user_is") != std::string::npos ||
                                when.find("host_is_local") != std::string::npos;
  return about_recipients && std::ranges::any_of(rule.actions, [](const auto& action) {
           return action->name() == "bounce" || action->name() == "reject";
         });
}

}  // namespace

void check_rules(const RuleSet& rules, Diagnostics& diagnostics) {
  for (const auto& [code, reason] : rules.waivers) diagnostics.waive(code);
  if (!rules.pipelines.contains("root")) {
    const Names names = pipeline_names(rules);
    diagnostics.error({}, "there is no pipeline \"root\": every mail begins there", did_you_mean("root", names));
    return;
  }
  Walk walk(rules, diagnostics);
  walk.visit("root");
  const bool guarded = walk.loop_guard;
  for (const auto& [name, pipeline] : rules.pipelines) {
    check_pipeline(rules, pipeline, diagnostics);
    if (!walk.reached(name))
      diagnostics.warning(pipeline.origin, "lint.unused_pipeline",
                          fmt::format("no rule leads from root to pipeline \"{}\"", name));
    for (const Rule& rule : pipeline.rules)
      if (refuses_recipients(rule))
        diagnostics.warning(
            rule.origin, "lint.denial_after_acceptance",
            fmt::format("rule \"{}\" refuses recipients after their RCPT was answered with 250", rule.name),
            "refuse them in a hook: postern.on(\"rcpt\", ...)");
  }
  for (const auto& [name, pipeline] : rules.pipelines) walk.visit(name);  // cycles among the unused ones
  if (!guarded)
    diagnostics.warning(rules.pipelines.find("root")->second.origin, "lint.no_loop_guard",
                        "nothing stops a mail that goes in circles (RFC 5321 section 6.3)",
                        "begin root with { when = match.relay_limit(100), act.bounce(\"5.4.6\", \"mail loop\") }");
}

}  // namespace postern
