// What becomes of a recipient: served, tried again later, given up (and its sender told), or taken back.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

namespace {

constexpr Duration kTellPause = 1min;  // before a report is made again that could not be sent

}  // namespace

/// The details of a fault of ours are for the log; the sender gets RFC 3463's word for it.
Failure Failure::of(const Fault& fault) {
  Reply reply = fault.code == "store.full" ? Reply{452, "4.2.2", "The mailbox or its disk is full"}
                                           : Reply{451, "4.3.0", "Trouble on this server"};
  return {.reply = std::move(reply), .host = {}, .note = fault.code + ": " + fault.detail};
}

/// All of `who` have been served. The lead's mark is last: until it is durable, its token tells that they were.
void Shard::finish(Item& item, const Recipients& who, std::uint32_t lead) {
  Active& active = *item.active;
  const auto age = home_.wall() - active.accepted;
  active.noted = true;
  for (const std::uint32_t one : who) {
    active.recipients[one].state = RecipientState::kDone;
    if (one != lead) parts_.spool.done_lazily(home_, item.id, one);
    parts_.metrics.seconds.observe(home_.index(), std::max<Duration>(age, 0ns));
  }
  parts_.spool.done_lazily(home_, item.id, lead);
  active.tokens.erase(lead);
  parts_.metrics.delivered.add(home_.index(), who.size());
}

/// Keeps a success for the sender who asked for a word about it (NOTIFY=SUCCESS).
void Shard::succeeded(Item& item, Outcome outcome) {
  const Recipient& recipient = item.active->envelope.recipients[outcome.recipient];
  if ((recipient.notify & kNotifySuccess) == 0 || parts_.teller == nullptr) return;
  outcome.attempts = item.active->recipients[outcome.recipient].attempts + 1U;
  outcome.last_attempt = home_.wall();
  if (parts_.teller->wanted(item.active->envelope, outcome)) item.active->outcomes.push_back(std::move(outcome));
}

Milestones Shard::milestones(const Active& active, const Route& route) const {
  Milestones out =
      route.schedule.milestones(std::max(active.accepted, active.envelope.hold_until.value_or(WallTime{})));
  if (const auto& by = active.envelope.deliver_by) {  // RFC 2852 §4: by then, or a word about it
    WallTime& which = by->return_if_late ? out.expiry : out.warn;
    which = std::min(which, by->when);
  }
  return out;
}

/// Its next attempt, or its end. An attempt falls on the instant of the warning, so that the mark of that attempt tells
/// whether the warning is still to be sent.
void Shard::defer(Item& item, const Recipients& who, const Failure& failure, const Route& route) {
  Active& active = *item.active;
  const WallTime now = home_.wall();
  const Milestones when = milestones(active, route);
  // An attempt mark would take a token back that still counts: recipients that share one are tried again from memory.
  const bool placed = std::ranges::any_of(who, [&](std::uint32_t one) { return active.tokens.contains(one); });
  for (const std::uint32_t one : who) {
    Standing& standing = active.recipients[one];
    if (standing.state == RecipientState::kDone || standing.ended) continue;
    if (failure.attempted && standing.attempts < 0xFFFF) ++standing.attempts;
    standing.maybe_sent = standing.maybe_sent || failure.reply_lost;
    auto next = route.schedule.next(when, standing.attempts, now, home_.random());
    if (next && failure.retry_after) next = std::min(later(now, *failure.retry_after), when.expiry);
    if (!next && placed) next = later(now, route.schedule.retry.back());
    log_.at(failure.attempted ? LogLevel::kInfo : LogLevel::kDebug, "queue.deferred",
            {{"id", item.id.to_string()},
             {"rcpt", active.envelope.recipients[one].address.to_string()},
             {"attempts", standing.attempts},
             {"why", failure.note}});
    if (failure.attempted) parts_.metrics.deferred.add(home_.index());
    if (!next) {
      active.give_up({.recipient = one,
                      .reply = failure.reply,
                      .host = failure.host,
                      .attempts = standing.attempts,
                      .last_attempt = now,
                      .may_have_been_delivered = standing.maybe_sent});
      continue;
    }
    const bool warn = standing.next <= when.warn && now >= when.warn;
    if (warn) warn_of_delay(item, one, failure, when);
    standing.next = *next;
    active.due_at(*next);
    if (placed || (!failure.attempted && !warn)) continue;
    active.noted = true;
    const std::string note = (standing.maybe_sent ? std::string(kMaybeSent) : std::string()) + failure.note;
    parts_.spool.change_lazily(
        home_, parts_.spool.attempted(item.id, one, standing.attempts, *next, note.substr(0, kNoteLimit)));
  }
}

void Shard::warn_of_delay(Item& item, std::uint32_t one, const Failure& failure, const Milestones& when) {
  if (parts_.teller == nullptr) return;
  Outcome outcome{.recipient = one,
                  .kind = Outcome::Kind::kDelayed,
                  .reply = failure.reply,
                  .host = failure.host,
                  .attempts = item.active->recipients[one].attempts,
                  .last_attempt = home_.wall(),
                  .will_retry_until = when.expiry};
  if (parts_.teller->wanted(item.active->envelope, outcome)) item.active->outcomes.push_back(std::move(outcome));
}

/// Tells the sender what this turn came to; then those that failed are done. What cannot be told now is told later.
Task<void> Shard::tell(Item* item) {
  Active& active = *item->active;
  const std::vector<Outcome> outcomes = std::exchange(active.outcomes, {});
  Result<std::size_t> told = 0;
  try {
    if (parts_.teller != nullptr) told = co_await parts_.teller->report(item->id, active.envelope, outcomes, log_);
  } catch (const Cancelled&) {
    told = fault("queue.cut", "the server stops");
  } catch (const std::exception& error) {
    told = fault("queue.error", error.what());
  }
  if (!told) {
    log_.error("queue.report",
               {{"id", item->id.to_string()}, {"code", told.error().code}, {"why", told.error().detail}});
    active.tell_later = true;
    active.due_at(later(home_.wall(), kTellPause));
  } else {
    for (const Outcome& outcome : outcomes)
      if (outcome.kind == Outcome::Kind::kFailed) end_failed(*item, outcome);
  }
  settle(*item);
}

void Shard::end_failed(Item& item, const Outcome& outcome) {
  Active& active = *item.active;
  active.recipients[outcome.recipient].state = RecipientState::kDone;
  active.noted = true;
  parts_.spool.done_lazily(home_, item.id, outcome.recipient);
  parts_.metrics.failed.add(home_.index());
  log_.info("queue.failed",
            {{"id", item.id.to_string()},
             {"rcpt", active.envelope.recipients[outcome.recipient].address.to_string()},
             {"attempts", outcome.attempts},
             {"host", outcome.host},
             {"reply", fmt::format("{} {} {}", outcome.reply.code, outcome.reply.enhanced, outcome.reply.text)}});
}

/// What was beyond recall when it was taken back has had its end; if that was no delivery, it is taken back too.
void Shard::end_recalled(Item& item) {
  Active& active = *item.active;
  for (std::uint32_t one = 0; one < active.recipients.size(); ++one) {
    if (active.done(one)) continue;
    parts_.spool.change_lazily(home_, {.id = item.id, .mark = Mark::kRecall, .recipient = one});
    parts_.metrics.recalled.add(home_.index());
  }
  erase(item);
}

}  // namespace postern::queue
