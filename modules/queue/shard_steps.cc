// A message's turn: reading it from the spool, choosing its steps and parts, and what becomes of it when they have
// ended.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

namespace {

constexpr Duration kSpoolPause = 5s;        // before a message is read again that the spool could not read just now
constexpr int kTogether = 32;               // the part of a wait within which recipients are due together
constexpr Duration kTogetherMost = 1min;    // but not more
constexpr std::uint32_t kNobody = ~0U - 1;  // a recipient that no message has: its mark changes nothing

Result<std::unique_ptr<Active>> active_from(const MessageReader& reader, const Teller* teller) {
  auto envelope = Envelope::decode(reader.envelope());
  if (!envelope) return std::unexpected(envelope.error());
  auto plan = Plan::decode(reader.plan());
  if (!plan) return std::unexpected(plan.error());
  const MessageInfo& info = reader.info();
  auto active = std::make_unique<Active>();
  active->envelope = std::move(*envelope);
  active->plan = std::move(*plan);
  active->size = info.size;
  active->accepted = active->arrival = info.id.arrival();
  for (std::uint32_t i = 0; i < info.recipients.size(); ++i) {
    const RecipientInfo& from = info.recipients[i];
    std::string_view note = from.note;
    if (note.starts_with(kWarningOwed)) note.remove_prefix(kWarningOwed.size());
    const bool maybe_sent = from.state == RecipientState::kDotSent || note.starts_with(kMaybeSent);
    Standing& standing = active->recipients.emplace_back();
    standing = {.state = from.state, .attempts = from.attempts, .maybe_sent = maybe_sent, .next = from.next_attempt};
    if (const auto held = HookHold::of(from.note)) standing.held_since = held->since;
    RouteMark mark = RouteMark::of(from.route);
    standing.let_go = mark.let_go;
    if (mark.released) active->released.push_back(i);
    if (!mark.gateway.empty()) active->reroutes.emplace(i, std::move(mark.gateway));
    auto outcome = teller == nullptr ? std::nullopt : teller->half_told(i, from);
    if (outcome) {
      standing.state = RecipientState::kWaiting;
      active->give_up(std::move(*outcome));
    } else if (from.state == RecipientState::kPlaced) {
      active->tokens.emplace(i, from.note);
    }
  }
  for (const PlanStep& step : active->plan.steps)
    for (const std::uint32_t number : step.recipients)
      if (number >= active->recipients.size() || number >= active->envelope.recipients.size())
        return fault("plan.damaged", "a step names a recipient that is not there");
  return active;
}

Reply bounce_reply(const PlanStep& step) {
  const auto option = [&step](const char* key, const char* otherwise) {
    const auto found = step.options.find(key);
    return found == step.options.end() || found->second.empty() ? std::string(otherwise) : found->second;
  };
  const std::string code = option("code", "550");
  return {std::atoi(code.c_str()), option("enhanced", "5.0.0"), option("text", "Refused after it had been accepted")};
}

}  // namespace

/// The spool shows marks once they are written, and lazy ones are not in a hurry. Whatever was noted of the message is
/// there when a mark that comes behind it is: who read it earlier would do again what has been done.
Task<bool> Shard::settled(Item* item) {
  if (!item->unsettled) co_return true;
  // As an attempt's: on a full disk it must not take the room that is kept for the ends of others.
  const auto written = co_await parts_.spool.change(home_, parts_.spool.attempted(item->id, kNobody, 0, {}, {}));
  item->unsettled = !written && written.error().code != "spool.full";  // then time must do: lazy marks are long written
  co_return written.has_value();
}

/// A message's place while it is read: among deliveries, or among those that hooks are asked for. Its destination knows
/// of it, or mail that has been released would count as gone meanwhile, and be collected again.
class Shard::Loading {
 public:
  /// start_load() took the place.
  Loading(Shard& shard, const Item& item)
      : shard_(shard), destination_(item.destination), place_(&shard.place_of(item)) {}
  ~Loading() {
    --*place_;
    --shard_.destinations_.at(destination_).loading;
    shard_.collected_out(destination_);
    shard_.destinations_.release(destination_);
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;
  /// False: hooks have no room. `alone`: nothing else is under way, it need not wait.
  bool may_ask(bool alone) {
    if (place_ == &shard_.hooks_running_) return true;
    if (!alone && shard_.hooks_running_ >= shard_.parts_.settings.hook_concurrency) return false;
    --*std::exchange(place_, &shard_.hooks_running_);
    ++shard_.hooks_running_;
    shard_.schedule_dispatch();  // another may have waited for the place among deliveries
    return true;
  }

 private:
  Shard& shard_;
  std::uint32_t destination_;
  unsigned* place_;
};

unsigned& Shard::place_of(const Item& item) {
  return item.asks ? hooks_running_ : local_running_;
}

void Shard::start_load(Item& item) {
  item.state = Item::State::kRunning;
  if (item.suspect) suspect_ = &item;
  ++place_of(item);
  Destination& destination = destinations_.at(item.destination);
  ++destination.loading;
  ++destination.messages;
  nursery_.spawn(load(&item));
}

bool Shard::needs_route(const Active& active) const {
  return std::ranges::any_of(active.plan.steps, [&](const PlanStep& step) {
    return step.kind == PlanStep::Kind::kRelay && !undone(active, step, true, home_.wall()).empty();
  });
}

Task<void> Shard::load(Item* item) {
  Loading place(*this, *item);
  if (!co_await settled(item)) {
    if (item->dropped) co_return erase(*item);
    const bool forced = item->forced;
    wait_until(*item, later(home_.wall(), kSpoolPause));
    item->forced = forced;
    co_return;
  }
  auto reader = co_await parts_.spool.open(home_, item->id);
  if (item->dropped) co_return erase(*item);
  if (!reader) {
    const std::string& code = reader.error().code;
    if (code == "spool.gone") {
      stuck_.erase(item->id.value());
      co_return erase(*item);
    }
    log_.error("queue.load", {{"id", item->id.to_string()}, {"code", code}, {"why", reader.error().detail}});
    if (code == "spool.damaged") co_return co_await hold(item, "damaged: " + reader.error().detail);
    co_return wait_until(*item, later(home_.wall(), kSpoolPause));
  }
  if (item->again) co_return begin_again(*item);  // this may be what was before
  const auto until = reader->info().held_until;
  if (until && *until > home_.wall()) {
    if (*until == WallTime::max()) co_return erase(*item);
    co_return wait_until(*item, *until);
  }
  auto active = active_from(*reader, parts_.teller);
  if (!active) co_return co_await hold(item, "unreadable: " + active.error().code + ": " + active.error().detail);
  PutOff put_off;
  const bool asks = hooked(Stage::kRoute) && needs_route(**active);
  const bool may = !asks || place.may_ask(suspect_ == item);
  item->asks = asks;
  if (!may) co_return make_ready(*item);  // read again once hooks have room
  if (asks) {
    const Handling watched = parts_.spool.handling(home_, item->id, quiet_ && suspect_ == item);
    put_off = co_await ask_route(item->id, active->get());
    if (item->dropped) co_return erase(*item);
    if (item->again) co_return begin_again(*item);
  }
  for (const Standing& one : (*active)->recipients)
    if (one.state == RecipientState::kDotSent)
      log_.warn("queue.reply_lost",
                {{"id", item->id.to_string()},
                 {"why", "the server ended between the final dot and its reply; it is sent again"}});
  destinations_.release(item->destination);
  item->destination = destinations_.by_name(first_hop((*active)->envelope, (*active)->plan));
  item->sender = sender_hash((*active)->envelope.sender);
  const Destination& first = destinations_.at(item->destination);
  if (first.collects() && !first.open && !item->forced && !item->expire && suspect_ != item)
    co_return make_ready(*item);  // known only now, and it must not fill the memory until it is released
  set_active(*item, std::move(*active));
  owed_warnings(*item, *reader);
  for (const auto& [number, verdict] : put_off) put_off_step(*item, number, verdict);
  make_ready(*item);
}

/// What was read of it is out of date.
void Shard::begin_again(Item& item) {
  item.again = false;
  if (suspect_ == &item) suspect_ = nullptr;  // its turn among the suspects begins anew
  make_ready(item);
}

/// Sets a message aside until an administrator decides. There is nothing of it in memory then.
Task<void> Shard::hold(Item* item, std::string why) {
  auto held = co_await parts_.spool.hold(home_, item->id, WallTime::max(), why);
  if (!held) {
    log_.error("queue.hold", {{"id", item->id.to_string()}, {"code", held.error().code}, {"why", held.error().detail}});
    co_return wait_until(*item, later(home_.wall(), kSpoolPause));
  }
  parts_.metrics.held.add(home_.index());
  log_.warn("queue.held", {{"id", item->id.to_string()}, {"why", why}});
  erase(*item);
}

// --- choosing -------------------------------------------------------------------------------------------------------

Shard::Recipients Shard::undone(const Active& active, const PlanStep& step, bool forced, WallTime now) const {
  Recipients who;
  for (const std::uint32_t number : step.recipients) {
    const Standing& one = active.recipients[number];
    if (one.state != RecipientState::kDone && !one.ended && (forced || one.next <= now)) who.push_back(number);
  }
  return who;
}

/// Recipients of a step that are to be tried now. When the rest is due is noted in the message; what is to be tried no
/// more (RFC 2852 by-mode R, an administrator's word) is given up.
Shard::Recipients Shard::due_of(Item& item, const PlanStep& step) {
  Active& active = *item.active;
  const WallTime now = home_.wall();
  const auto& by = active.envelope.deliver_by;
  const bool late = by && by->return_if_late && now >= by->when;
  const auto is_placed = [&](std::uint32_t one) { return active.tokens.contains(one); };
  // A copy that lies in the mailbox already, or nearly so, is that of all who share it.
  const bool shared = step.kind == PlanStep::Kind::kDeliver && std::ranges::any_of(step.recipients, is_placed);
  if ((item.expire || late) && !shared)
    for (const std::uint32_t one : undone(active, step, true, now))
      if (!is_placed(one))
        active.give_up({.recipient = one,
                        .reply = {554, "5.4.7",
                                  late ? "Not delivered by the time that was asked for"
                                       : "Delivery was ended by an administrator"},
                        .host = {},
                        .attempts = active.recipients[one].attempts,
                        .last_attempt = now,
                        .may_have_been_delivered = active.recipients[one].maybe_sent});
  const WallTime not_before = std::max(step.not_before, active.envelope.hold_until.value_or(WallTime{}));
  const Recipients left = undone(active, step, true, now);
  if (left.empty()) return left;
  if (not_before > now) {
    active.due_at(not_before);
    return {};
  }
  for (const std::uint32_t one : left)
    if (!item.forced && active.recipients[one].next > now) active.due_at(active.recipients[one].next);
  return undone(active, step, item.forced, now);
}

/// Whether a local step has something to do now. What needs nobody to wait (a discard, a refusal) is done at once.
bool Shard::enter_step(Item& item, std::size_t number) {
  Active& active = *item.active;
  const PlanStep& step = active.plan.steps[number];
  const Recipients left = undone(active, step, true, home_.wall());
  const Recipients due = due_of(item, step);
  if (due.empty()) return false;
  switch (step.kind) {
    case PlanStep::Kind::kDiscard:
      active.noted = true;
      for (const std::uint32_t one : left) {
        active.recipients[one].state = RecipientState::kDone;
        parts_.spool.done_lazily(home_, item.id, one);
        parts_.metrics.discarded.add(home_.index());
      }
      log_.info("queue.discarded", {{"id", item.id.to_string()}, {"recipients", left.size()}, {"why", step.reason}});
      return false;
    case PlanStep::Kind::kQuarantine:
      if (std::ranges::all_of(left,
                              [&](std::uint32_t one) { return std::ranges::binary_search(active.released, one); }))
        return true;
      active.hold = "quarantine: " + step.reason;
      return false;
    case PlanStep::Kind::kBounce:
      for (const std::uint32_t one : left)
        active.give_up({.recipient = one, .reply = bounce_reply(step), .host = {}, .last_attempt = home_.wall()});
      return false;
    default:
      return true;
  }
}

/// The local step to do next, at which the cursor then stands; nothing when all were looked at.
std::optional<std::size_t> Shard::next_step(Item& item) {
  Active& active = *item.active;
  for (; active.cursor < active.plan.steps.size(); ++active.cursor) {
    if (active.plan.steps[active.cursor].kind == PlanStep::Kind::kRelay) continue;
    if (!item.stopped() && enter_step(item, active.cursor)) return active.cursor;
  }
  return std::nullopt;
}

/// Makes the parts of what is to be relayed now.
void Shard::expand(Item& item) {
  Active& active = *item.active;
  ++active.open;  // it is not settled before all parts are made
  for (std::size_t number = 0; number < active.plan.steps.size(); ++number) {
    if (active.plan.steps[number].kind != PlanStep::Kind::kRelay || item.stopped()) continue;
    Recipients who = due_of(item, active.plan.steps[number]);
    // What a hook puts off waits also when it is forced: its route may not be known.
    std::erase_if(who, [&](std::uint32_t one) { return active.recipients[one].put_off; });
    if (!who.empty()) add_parts(item, number, who);
  }
  --active.open;
}

void Shard::add_parts(Item& item, std::size_t number, const Recipients& who) {
  Active& active = *item.active;
  const PlanStep& step = active.plan.steps[number];
  std::map<std::string, Part*> by_hop;  // of this step
  std::vector<Part*> made;
  for (const std::uint32_t one : who) {
    const auto chosen = active.reroutes.find(one);
    std::string hop = chosen != active.reroutes.end() ? chosen->second
                      : parts_.transport != nullptr   ? parts_.transport->next_hop(active.envelope, step, one)
                                                      : active.envelope.recipients[one].address.domain().to_string();
    Part*& part = by_hop[(chosen != active.reroutes.end() ? "!" : "") + hop];
    if (part == nullptr) {
      part = &active.parts.emplace_back();
      part->item = &item;
      part->step = number;
      part->destination = destinations_.by_name(hop);
      if (chosen != active.reroutes.end()) {
        part->rerouted = std::make_unique<PlanStep>(step);
        part->rerouted->options.insert_or_assign("gateway", hop);
      }
      made.push_back(part);
    }
    part->who.push_back(one);
  }
  active.open += static_cast<unsigned>(made.size());
  for (Part* part : made) {
    destinations_.at(part->destination).remote = true;
    if (suspect_ != &item) remote_.push(part->destination, item.sender, active.envelope.priority.value_or(0), *part);
    queued(part->destination);
    if (suspect_ == &item) start_part(*part);
  }
}

// --- under way ------------------------------------------------------------------------------------------------------

Task<void> Shard::run_step(Item* item, std::size_t number) {
  Active& active = *item->active;
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
  if (failed) defer(*item, who, Failure::of(*failed), parts_.routes.base());
  const auto& mine = active.plan.steps[number].recipients;
  std::erase_if(active.beyond, [&](std::uint32_t one) { return std::ranges::find(mine, one) != mine.end(); });
  --local_running_;
  end_running(*item);
}

Task<void> Shard::run_part(Part* part) {
  Item& item = *part->item;
  Active& active = *item.active;
  std::erase_if(part->who, [&](std::uint32_t one) { return active.done(one) || active.recipients[one].ended; });
  std::optional<Fault> failed;
  bool cut = false;
  try {
    const PlanStep& step = part->rerouted ? *part->rerouted : active.plan.steps[part->step];
    if (!item.stopped() && !part->who.empty()) failed = co_await relay(item, step, part->who, part->destination);
  } catch (const Cancelled&) {
    cut = true;
  } catch (const std::exception& error) {
    failed = Fault{"queue.error", error.what()};
  }
  Destination& destination = destinations_.at(part->destination);
  if (cut) active.due_at(home_.wall());
  if (failed) defer(item, part->who, Failure::of(*failed), *destination.route);
  --remote_running_;
  --destination.running;
  if (part->unproven) {
    --unproven_running_;
    unpark_unproven();
  }
  remote_.unpark(part->destination);
  collected_out(part->destination);
  destinations_.release(part->destination);
  end_running(item);
}

void Shard::end_part(Part& part) {
  collected_out(part.destination);
  destinations_.release(part.destination);
  Item& item = *part.item;
  if (--item.active->open == 0) settle(item);
  schedule_dispatch();
}

void Shard::end_running(Item& item) {
  --item.active->running;
  if (--item.active->open == 0) settle(item);
  schedule_dispatch();
}

Task<std::optional<Fault>> Shard::carry_out(Item& item, std::size_t number, Recipients who) {
  const PlanStep& step = item.active->plan.steps[number];
  if (step.kind != PlanStep::Kind::kDeliver) return release(item, step, std::move(who));
  // One mailbox, one copy: it is for all of them, also for those that are due later.
  return deliver(item, step, step.account, undone(*item.active, step, true, home_.wall()));
}

/// When it is read again. Recipients that are due almost together are tried together: else a message for thousands
/// would be read thousands of times.
WallTime Shard::next_turn(const Active& active) const {
  const WallTime now = home_.wall();
  const WallTime first = *active.next;
  const auto window = std::min<Duration>((first - now) / kTogether, kTogetherMost);
  WallTime last = first;
  for (const Standing& one : active.recipients)
    if (one.state != RecipientState::kDone && !one.ended && one.next <= later(first, window))
      last = std::max(last, one.next);
  return last;
}

/// All steps and parts have been looked at, and none is under way.
void Shard::settle(Item& item) {
  Active& active = *item.active;
  active.handling.end();
  if (item.recalled)
    std::erase_if(active.outcomes, [&](const Outcome& one) { return !active.recipients[one.recipient].served; });
  if (!active.outcomes.empty() && !active.tell_later) {
    owe_failures(item);
    item.state = Item::State::kRunning;
    if (!draining_ && !active.outcomes.empty()) return nursery_.spawn(tell(&item));
  }
  if (item.recalled) return end_recalled(item);
  if (item.dropped) return erase(item);  // held meanwhile: what had happened by then has been told
  if (active.all_done()) return erase(item);
  if (item.again && !draining_) {
    item.again = false;
    if (suspect_ == &item) suspect_ = nullptr;
    item.suspect = false;
    item.unsettled = item.unsettled || active.noted;
    clear_active(item);
    return make_ready(item);
  }
  if (active.next) return wait_until(item, next_turn(active));
  if (draining_) return;  // the spool knows; the next start decides again
  std::string why = active.hold.empty() ? "nothing in its plan is about some of its recipients" : active.hold;
  item.state = Item::State::kRunning;
  nursery_.spawn(hold(&item, std::move(why)));
}

}  // namespace postern::queue
