// A message's turn: reading it from the spool, choosing its steps, and what becomes of it when they have ended.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

namespace {

constexpr Duration kSpoolPause = 5s;  // before a message is read again that the spool could not read just now

WallTime after(WallTime now, Duration wait) {
  return now + std::chrono::duration_cast<WallTime::duration>(wait);
}

Result<std::unique_ptr<Active>> active_from(const MessageReader& reader) {
  auto envelope = Envelope::decode(reader.envelope());
  if (!envelope) return std::unexpected(envelope.error());
  auto plan = Plan::decode(reader.plan());
  if (!plan) return std::unexpected(plan.error());
  const MessageInfo& info = reader.info();
  auto active = std::make_unique<Active>();
  active->envelope = std::move(*envelope);
  active->plan = std::move(*plan);
  active->size = info.size;
  active->accepted = info.id.arrival();
  for (std::uint32_t i = 0; i < info.recipients.size(); ++i) {
    const RecipientInfo& from = info.recipients[i];
    active->recipients.push_back({from.state, from.attempts, from.next_attempt});
    if (from.state == RecipientState::kPlaced) active->tokens.emplace(i, from.note);
    if (!from.route.empty()) active->released.push_back(i);
  }
  for (const PlanStep& step : active->plan.steps)
    for (const std::uint32_t number : step.recipients)
      if (number >= active->recipients.size() || number >= active->envelope.recipients.size())
        return fault("plan.damaged", "a step names a recipient that is not there");
  return active;
}

std::string bounce_reason(const PlanStep& step) {
  const auto option = [&step](const char* key) {
    const auto found = step.options.find(key);
    return found == step.options.end() ? std::string() : found->second;
  };
  return fmt::format("refused after acceptance: {} {} {}", option("code"), option("enhanced"), option("text"));
}

}  // namespace

Task<void> Shard::load(Item* item) {
  auto reader = co_await parts_.spool.open(home_, item->id);
  --local_running_;
  if (item->dropped) co_return erase(*item);
  if (!reader) {
    const std::string& code = reader.error().code;
    if (code == "spool.gone") {
      stuck_.erase(item->id.value());
      co_return erase(*item);
    }
    log_.error("queue.load", {{"id", item->id.to_string()}, {"code", code}, {"why", reader.error().detail}});
    if (code == "spool.damaged") co_return co_await hold(item, "damaged: " + reader.error().detail);
    co_return wait_until(*item, after(home_.wall(), kSpoolPause));
  }
  const auto until = reader->info().held_until;
  if (until && *until > home_.wall()) {
    if (*until == WallTime::max()) co_return erase(*item);
    co_return wait_until(*item, *until);
  }
  auto active = active_from(*reader);
  if (!active) co_return co_await hold(item, "unreadable: " + active.error().code + ": " + active.error().detail);
  set_active(*item, std::move(*active));
  make_ready(*item);
}

/// Sets a message aside until an administrator decides. There is nothing of it in memory then.
Task<void> Shard::hold(Item* item, std::string why) {
  auto held = co_await parts_.spool.hold(home_, item->id, WallTime::max(), why);
  if (!held) {
    log_.error("queue.hold", {{"id", item->id.to_string()}, {"code", held.error().code}, {"why", held.error().detail}});
    co_return wait_until(*item, after(home_.wall(), parts_.settings.retry.front()));
  }
  parts_.metrics.held.add(home_.index());
  log_.warn("queue.held", {{"id", item->id.to_string()}, {"why", why}});
  erase(*item);
}

std::vector<std::uint32_t> Shard::undone(const Active& active, const PlanStep& step, bool forced, WallTime now) const {
  std::vector<std::uint32_t> who;
  for (const std::uint32_t number : step.recipients) {
    const Standing& one = active.recipients[number];
    if (one.state != RecipientState::kDone && (forced || one.next <= now)) who.push_back(number);
  }
  return who;
}

/// Whether a step has something to do now. What needs nobody to wait (a discard) is done at once; when the rest is due,
/// or why it is not, is noted in the message.
bool Shard::step_due(Item& item, std::size_t number) {
  Active& active = *item.active;
  const PlanStep& step = active.plan.steps[number];
  const WallTime now = home_.wall();
  const auto left = undone(active, step, true, now);
  if (left.empty()) return false;
  const WallTime not_before = std::max(step.not_before, active.envelope.hold_until.value_or(WallTime{}));
  if (not_before > now) {
    active.due_at(not_before);
    return false;
  }
  switch (step.kind) {
    case PlanStep::Kind::kDiscard:
      for (const std::uint32_t one : left) {
        active.recipients[one].state = RecipientState::kDone;
        parts_.spool.done_lazily(home_, item.id, one);
        parts_.metrics.discarded.add(home_.index());
      }
      log_.info("queue.discarded", {{"id", item.id.to_string()}, {"recipients", left.size()}, {"why", step.reason}});
      return false;
    case PlanStep::Kind::kQuarantine:
      if (!std::ranges::includes(active.released, left)) {
        active.hold = "quarantine: " + step.reason;
        return false;
      }
      break;
    case PlanStep::Kind::kBounce:
      active.hold = bounce_reason(step);
      return false;
    default:
      break;
  }
  for (const std::uint32_t one : left)
    if (!item.forced && active.recipients[one].next > now) active.due_at(active.recipients[one].next);
  return !undone(active, step, item.forced, now).empty();
}

/// The step to do next, at which the cursor then stands; nothing when all were looked at.
std::optional<std::size_t> Shard::next_step(Item& item) {
  Active& active = *item.active;
  for (; active.cursor < active.plan.steps.size(); ++active.cursor)
    if (!item.dropped && step_due(item, active.cursor)) return active.cursor;
  return std::nullopt;
}

/// All steps have been looked at, and none is under way.
void Shard::settle(Item& item) {
  Active& active = *item.active;
  active.handling.end();
  if (item.dropped || active.all_done()) return erase(item);
  if (active.next) return wait_until(item, *active.next);
  if (draining_) return;  // the spool knows; the next start decides again
  std::string why = active.hold.empty() ? "nothing in its plan is about some of its recipients" : active.hold;
  nursery_.spawn(hold(&item, std::move(why)));
}

Task<void> Shard::run_step(Item* item, std::size_t number) {
  Active& active = *item->active;
  const bool remote = active.plan.steps[number].kind == PlanStep::Kind::kRelay;
  auto who = undone(active, active.plan.steps[number], item->forced, home_.wall());
  std::optional<Fault> failed;
  bool cut = false;
  try {
    if (!who.empty()) failed = co_await carry_out(*item, number, who);
  } catch (const Cancelled&) {
    cut = true;  // the server stops; the spool knows how far this came
  } catch (const std::exception& error) {
    failed = Fault{"queue.error", error.what()};
  }
  if (cut) active.due_at(home_.wall());
  if (failed) defer(*item, who, *failed);
  --(remote ? remote_running_ : local_running_);
  --active.running;
  if (active.running == 0 && active.cursor >= active.plan.steps.size()) settle(*item);
  schedule_dispatch();
}

Task<std::optional<Fault>> Shard::carry_out(Item& item, std::size_t number, std::vector<std::uint32_t> who) {
  const PlanStep& step = item.active->plan.steps[number];
  switch (step.kind) {
    case PlanStep::Kind::kDeliver: {
      // One mailbox, one copy: a token among them answers for all, also for those that are due later.
      auto all = undone(*item.active, step, true, home_.wall());
      const bool placed =
          std::ranges::any_of(all, [&](std::uint32_t one) { return item.active->tokens.contains(one); });
      return deliver(item, step, step.account, placed ? std::move(all) : std::move(who));
    }
    case PlanStep::Kind::kRelay:
      return relay(item, step, std::move(who));
    default:
      return release(item, step, std::move(who));
  }
}

/// All of `who` have been served. The lead's mark is last: until it is durable, its token tells that they were.
void Shard::finish(Item& item, const std::vector<std::uint32_t>& who, std::uint32_t lead) {
  Active& active = *item.active;
  const auto age = home_.wall() - active.accepted;
  for (const std::uint32_t one : who) {
    active.recipients[one].state = RecipientState::kDone;
    if (one != lead) parts_.spool.done_lazily(home_, item.id, one);
    parts_.metrics.seconds.observe(home_.index(), std::max<Duration>(age, 0ns));
  }
  parts_.spool.done_lazily(home_, item.id, lead);
  active.tokens.erase(lead);
  parts_.metrics.delivered.add(home_.index(), who.size());
}

void Shard::defer(Item& item, const std::vector<std::uint32_t>& who, const Fault& why, std::optional<Duration> wait) {
  Active& active = *item.active;
  const WallTime now = home_.wall();
  const std::string id = item.id.to_string();
  // An attempt mark would take a token back that still counts: recipients that share one are tried again from memory.
  const bool placed = std::ranges::any_of(who, [&](std::uint32_t one) { return active.tokens.contains(one); });
  for (const std::uint32_t one : who) {
    Standing& standing = active.recipients[one];
    if (standing.state == RecipientState::kDone) continue;
    if (standing.attempts < 0xFFFF) ++standing.attempts;
    auto next = schedule_.next(active.accepted, standing.attempts, now, home_.random());
    if (next && wait) next = after(now, *wait);
    const std::string note = why.code + ": " + why.detail;
    log_.info("queue.deferred", {{"id", id},
                                 {"rcpt", active.envelope.recipients[one].address.to_string()},
                                 {"attempts", standing.attempts},
                                 {"code", why.code},
                                 {"why", why.detail}});
    parts_.metrics.deferred.add(home_.index());
    if (!next && !placed) active.hold = "gave up: " + note;
    standing.next = next.value_or(after(now, parts_.settings.retry.back()));
    if (!placed)
      parts_.spool.change_lazily(
          home_, parts_.spool.attempted(item.id, one, standing.attempts, standing.next, note.substr(0, kNoteLimit)));
    if (next || placed) active.due_at(standing.next);
  }
}

}  // namespace postern::queue
