#include "core/pipeline/root_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace postern {

std::string trail_text(const Verdict& verdict) {
  const Reply& reply = verdict.reply;
  switch (verdict.kind) {
    case Verdict::Kind::kContinue:
      return "continue";
    case Verdict::Kind::kAccept:
      return "accept";
    case Verdict::Kind::kReject:
      return fmt::format("reject {} {} {}", reply.code, reply.enhanced, reply.text);
    case Verdict::Kind::kDefer:
      return fmt::format("defer {} {} {}", reply.code, reply.enhanced, reply.text);
    case Verdict::Kind::kDisconnect:
      return fmt::format("disconnect {} {} {}", reply.code, reply.enhanced, reply.text);
    case Verdict::Kind::kDiscard:
      return "discard: " + verdict.reason;
    case Verdict::Kind::kQuarantine:
      return "quarantine: " + verdict.reason;
    case Verdict::Kind::kHold:
      return fmt::format("hold {} s", std::chrono::duration_cast<std::chrono::seconds>(verdict.hold).count());
  }
  return "unknown";
}

Verdict failure_verdict(OnError on_error, std::string_view rule, Stage stage) {
  Verdict out;
  switch (on_error) {
    case OnError::kSkip:
      break;
    case OnError::kQuarantine:
      out.kind = Verdict::Kind::kQuarantine;
      out.reason = fmt::format("rule {} failed", rule);
      break;
    case OnError::kReject:
      out = Verdict::reject(554, "5.3.0", "the mail could not be processed");
      break;
    case OnError::kDefer:
      // A greeting cannot be 451 (RFC 5321 §4.3.2).
      out = Verdict::defer(stage == Stage::kConnect ? 421 : 451, "4.3.0", "temporary local problem, try again later");
      break;
  }
  out.rule = rule;
  return out;
}

RootRun::RootRun(const RuleEpoch& epoch, PolicyWorker& worker, Transaction& transaction, Effects& effects)
    : epoch_(epoch),
      worker_(worker),
      mail_(transaction),
      effects_(effects),
      count_(transaction.envelope.recipients.size()),
      unsettled_(RecipientSet::all(count_)),
      outcomes_(count_),
      own_(transaction.draft) {}

Fault fault_of_current_exception() {
  try {
    throw;
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    return {"rule.threw", error.what()};
  } catch (...) {
    return {"rule.threw", "something that is no std::exception"};
  }
}

Task<void> RootRun::run() {
  const auto root = epoch_.pipelines.find("root");
  if (root != epoch_.pipelines.end()) levels_.push_back({&root->second, 0, unsettled_});
  Instant before = worker_.tick();
  while (const CompiledRule* rule = next_rule()) {
    RecipientSet selected;
    if (!rule->rule->when) {
      selected = levels_.back().set;
    } else if (!bodies_.empty()) {
      selected = co_await select(*rule);
    } else {  // as select() does it for one body, which spares most mails a frame for each rule
      look_at(0);
      Result<RecipientSet> matched(std::unexpect);
      try {
        matched = co_await rule->rule->when->match({mail_, levels_.back().set, effects_, Stage::kMessage});
      } catch (...) {
        matched = std::unexpected(fault_of_current_exception());
      }
      if (!matched)
        fail(*rule->rule, rule->place, levels_.back().set, matched.error());
      else if (!matched->empty())
        selected = *matched & levels_.back().set;
    }
    before = record(*rule, selected, before);
    if (selected.empty()) continue;
    const std::size_t bodies = bodies_.size();  // a group that gets one of its own has had its turn
    for (std::size_t body = 0; body <= bodies; ++body)
      if (const RecipientSet group = sharing(selected, body); !group.empty()) co_await run_actions(*rule, group);
    before = worker_.tick();
  }
  look_at(0);
  if (!unsettled_.empty()) settle_with(unsettled_, failure_verdict(OnError::kDefer, "root", Stage::kMessage), "root");
}

Task<RecipientSet> RootRun::select(const CompiledRule& rule) {
  const RecipientSet here = levels_.back().set;
  RecipientSet selected = RecipientSet::none(count_);
  for (std::size_t body = 0; body <= bodies_.size(); ++body) {
    const RecipientSet group = sharing(here, body);
    if (group.empty()) continue;
    look_at(body);
    Result<RecipientSet> matched(std::unexpect);
    try {
      matched = co_await rule.rule->when->match({mail_, group, effects_, Stage::kMessage});
    } catch (...) {
      matched = std::unexpected(fault_of_current_exception());
    }
    if (matched)
      selected = selected | (*matched & group);
    else
      fail(*rule.rule, rule.place, group, matched.error());
  }
  co_return selected;
}

Task<void> RootRun::run_actions(const CompiledRule& rule, RecipientSet group) {
  for (const auto& action : rule.rule->actions) {
    look_at(body_of(group));
    Result<ActionResult> result = co_await run_action(rule, *action, group);
    if (apply(rule, group, std::move(result)) == After::kRuleDone) co_return;
  }
}

Task<Result<ActionResult>> RootRun::run_action(const CompiledRule& rule, Action& action, const RecipientSet& group) {
  // Edits for some recipients only are caught apart: they belong to their steps, not to the message.
  const bool split = !group.full();
  HeaderEdits aside;
  if (split) std::swap(aside, mail_.edits);
  RuleCall call{mail_, group, effects_, Stage::kMessage};
  if (split) call.edits_of_all = &aside;
  if (split && !edits_of_.empty()) {
    std::size_t first = 0;
    while (!group.contains(first)) ++first;
    call.edits_of_some = &edit_lists_[edits_of_[first]];
  }
  const std::size_t brought_before = mail_.brought.size();
  Result<ActionResult> result(std::unexpect);
  try {
    result = co_await action.run(call);
  } catch (...) {
    result = std::unexpected(fault_of_current_exception());
  }
  if (split) {
    std::swap(aside, mail_.edits);
    keep_edits(group, aside);
  }
  if (result)
    if (auto kept = check_brought(brought_before, *rule.rule); !kept) result = std::unexpected(kept.error());
  if (result && result->body)
    if (auto put = put_body(std::move(*result->body), group, *rule.rule); !put) result = std::unexpected(put.error());
  if (!result)
    mail_.brought.erase(mail_.brought.begin() + static_cast<std::ptrdiff_t>(brought_before), mail_.brought.end());
  co_return result;
}

Result<void> RootRun::check_brought(std::size_t before, const Rule& rule) {
  if (mail_.brought.size() == before) return {};
  if (mail_.brought_depth >= Transaction::kMaxBroughtDepth)
    return fault("brought.depth", "mails that rules bring in bring in further ones");
  if (mail_.brought.size() > Transaction::kMaxBrought)
    return fault("brought.limit", fmt::format("rules bring in more than {} mails", Transaction::kMaxBrought));
  for (std::size_t i = before; i < mail_.brought.size(); ++i)
    if (mail_.brought[i].rule.empty()) mail_.brought[i].rule = rule.name;
  return {};
}

/// In the place of the body that `group` had, if nobody else has it, settled recipients included.
Result<void> RootRun::put_body(Draft body, const RecipientSet& group, const Rule& rule) {
  if (!own_) return fault("body.none", "there is no message yet");
  const std::size_t old = body_of(group);
  const Draft& before = *mail_.draft;
  // What the fields say of the message stays true; its name is the new one.
  std::string prefix(before.prefix());
  const std::string name = before.id().to_string();
  if (const std::size_t at = prefix.find(name); at != std::string::npos)
    prefix.replace(at, name.size(), body.id().to_string());
  body.prepend(prefix);
  mail_.trail.fact(
      Stage::kMessage, "body",
      fmt::format("{}: {} octets instead of {} [{}]", rule.name, body.size(), before.size(), group.to_string()));
  changed_ = true;
  if (sharing(RecipientSet::all(count_), old) == group) {
    (old ? *bodies_[old - 1].draft : *own_) = std::move(body);
  } else if (bodies_.size() >= kMaxBodies) {
    return fault("body.limit", "too many bodies of one mail");
  } else {
    if (old) bodies_[old - 1].members = bodies_[old - 1].members - group;
    bodies_.push_back({std::make_shared<Draft>(std::move(body)), group, rule.name});
  }
  return {};
}

/// The number of the body that all of `group` have.
std::size_t RootRun::body_of(const RecipientSet& group) const {
  for (std::size_t i = 0; i < bodies_.size(); ++i)
    if (!(bodies_[i].members & group).empty()) return i + 1;
  return 0;
}

/// Those of `set` that have this body.
RecipientSet RootRun::sharing(const RecipientSet& set, std::size_t body) const {
  if (body) return set & bodies_[body - 1].members;
  RecipientSet rest = set;
  for (const Body& one : bodies_) rest = rest - one.members;
  return rest;
}

void RootRun::look_at(std::size_t body) {
  mail_.draft = body ? bodies_[body - 1].draft.get() : own_;
  if (mail_.draft && changed_) mail_.size = mail_.draft->size() - mail_.draft->prefix().size();
}

const CompiledRule* RootRun::next_rule() {
  while (!levels_.empty()) {
    if (levels_.back().set.empty()) {
      levels_.pop_back();
      continue;
    }
    if (off_the_end()) continue;
    Level& level = levels_.back();
    const CompiledRule& rule = level.pipeline->rules[level.next++];
    if (++rules_run_ <= kMaxRulesRun) return &rule;
    fail(*rule.rule, rule.place, unsettled_, {"pipeline.limit", "too many rules for one mail"});
    return nullptr;
  }
  return nullptr;
}

/// The moment it was recorded at: the next rule begins there.
Instant RootRun::record(const CompiledRule& rule, const RecipientSet& selected, Instant before) {
  const RecipientSet& here = levels_.back().set;
  if (here_text_.empty() || here != here_) {  // of most rules the same as of the one before
    here_ = here;
    here_text_ = here.to_string();
  }
  const Instant now = worker_.tick();
  mail_.trail.rule(Stage::kMessage, rule.rule->name, rule.place, here_text_,
                   selected.empty()   ? std::string()
                   : selected == here ? here_text_
                                      : selected.to_string(),
                   trail_micros(now - before));
  if (!selected.empty()) rule.hits->add(worker_.executor->index(), selected.count());
  return now;
}

bool RootRun::off_the_end() {
  Level& level = levels_.back();
  if (level.next < level.pipeline->rules.size()) return false;
  Rule end;
  end.name = level.pipeline->name + "#end";
  const RecipientSet lost = level.set;
  fail(end, {}, lost,
       {"pipeline.end", fmt::format("recipients ran off the end of pipeline \"{}\"", level.pipeline->name)});
  return true;
}

void RootRun::keep_edits(const RecipientSet& selected, const HeaderEdits& delta) {
  if (delta.empty()) return;
  if (edits_of_.empty()) {
    edits_of_.assign(count_, 0);
    edit_lists_.resize(1);
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> moved;  // old list, new list
  for (std::size_t i = 0; i < count_; ++i) {
    if (!selected.contains(i)) continue;
    auto known = std::ranges::find(moved, edits_of_[i], &std::pair<std::uint32_t, std::uint32_t>::first);
    if (known == moved.end()) {
      HeaderEdits merged = edit_lists_[edits_of_[i]];
      merged.merge(delta);
      edit_lists_.push_back(std::move(merged));
      moved.emplace_back(edits_of_[i], static_cast<std::uint32_t>(edit_lists_.size() - 1));
      known = moved.end() - 1;
    }
    edits_of_[i] = known->second;
  }
}

RootRun::After RootRun::apply(const CompiledRule& rule, const RecipientSet& selected, Result<ActionResult> result) {
  if (!result) {
    fail(*rule.rule, rule.place, selected, result.error());
    return After::kRuleDone;
  }
  switch (result->kind) {
    case ActionResult::Kind::kNext:
      return After::kNextAction;
    case ActionResult::Kind::kGo:
      return go(rule, selected, result->pipeline);
    case ActionResult::Kind::kFinal:
      return finish(rule, selected, *result);
  }
  return After::kRuleDone;
}

RootRun::After RootRun::go(const CompiledRule& rule, const RecipientSet& selected, const std::string& pipeline) {
  const auto target = epoch_.pipelines.find(pipeline);
  if (target == epoch_.pipelines.end())
    fail(*rule.rule, rule.place, selected, {"pipeline.unknown", fmt::format("there is no pipeline \"{}\"", pipeline)});
  else if (levels_.size() >= kMaxGoDepth)
    fail(*rule.rule, rule.place, selected, {"pipeline.depth", "pipelines lead through too many others"});
  else {
    // Not only the last one's: another group of the same rule may have gone before.
    for (Level& level : levels_) level.set = level.set - selected;
    levels_.push_back({&target->second, 0, selected});
  }
  return After::kRuleDone;
}

RootRun::After RootRun::finish(const CompiledRule& rule, const RecipientSet& selected, ActionResult& result) {
  if (result.verdict.kind == Verdict::Kind::kHold) {
    hold(selected, result.verdict.hold);
    mail_.trail.verdict(Stage::kMessage, rule.rule->name, trail_text(result.verdict));
    return After::kNextAction;
  }
  if (result.verdict.kind == Verdict::Kind::kAccept) {
    fail(*rule.rule, rule.place, selected,
         {"rule.result", "`accept` settles a hook, not a mail: deliver it, relay it, or go on"});
  } else if (result.verdict.decided()) {
    settle_with(selected, result.verdict, rule.rule->name);
  } else if (auto added = add_steps(result.step, selected); !added) {
    fail(*rule.rule, rule.place, selected, added.error());
  } else {
    reply_to(selected, Reply{250, "2.0.0", "accepted"}, rule.rule->name);
    take(selected);
  }
  return After::kRuleDone;
}

void RootRun::take(const RecipientSet& recipients) {
  unsettled_ = unsettled_ - recipients;
  for (Level& level : levels_) level.set = level.set - recipients;
}

void RootRun::reply_to(const RecipientSet& recipients, const Reply& reply, std::string_view rule) {
  for (std::size_t i = 0; i < count_; ++i)
    if (recipients.contains(i)) outcomes_[i] = {reply, std::string(rule)};
}

void RootRun::hold(const RecipientSet& recipients, Duration duration) {
  if (not_before_.empty()) not_before_.assign(count_, WallTime{});
  const WallTime until = worker_.executor->wall() + std::chrono::duration_cast<WallTime::duration>(duration);
  for (std::size_t i = 0; i < count_; ++i)
    if (recipients.contains(i)) not_before_[i] = std::max(not_before_[i], until);
}

void RootRun::settle_with(const RecipientSet& recipients, const Verdict& verdict, std::string_view rule) {
  mail_.trail.verdict(Stage::kMessage, rule, fmt::format("{} [{}]", trail_text(verdict), recipients.to_string()));
  if (verdict.refuses()) {
    reply_to(recipients, verdict.reply, rule);
  } else {
    PlanStep step;
    step.kind = verdict.kind == Verdict::Kind::kDiscard ? PlanStep::Kind::kDiscard : PlanStep::Kind::kQuarantine;
    step.reason = verdict.reason;
    for (std::size_t i = 0; i < count_; ++i)
      if (recipients.contains(i)) step.recipients.push_back(static_cast<std::uint32_t>(i));
    steps_.push_back(std::move(step));
    reply_to(recipients, Reply{250, "2.0.0", "accepted"}, rule);
  }
  take(recipients);
}

void RootRun::fail(const Rule& rule, std::string_view place, const RecipientSet& recipients, const Fault& fault) {
  const RecipientSet failed = recipients;  // may be a level's own set, which take() changes
  mail_.trail.error(Stage::kMessage, rule.name, fmt::format("{} at {}: {}", fault.code, place, fault.detail));
  worker_.log.error("rule.failed", {{"session", mail_.session.id},
                                    {"rule", rule.name},
                                    {"place", place},
                                    {"code", fault.code},
                                    {"why", fault.detail},
                                    {"recipients", failed.to_string()}});
  worker_.metrics
      ->counter("postern_pipeline_rule_failures_total", "Rules and hooks that failed.", {{"rule", rule.name}})
      .add(worker_.executor->index());
  const Verdict verdict = failure_verdict(rule.on_error, rule.name, Stage::kMessage);
  if (verdict.decided()) settle_with(failed, verdict, rule.name);
}

}  // namespace postern
