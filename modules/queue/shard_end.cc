// What becomes of a recipient: served, tried again later, given up (and its sender told), or taken back.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

namespace {

constexpr Duration kTellPause = 1min;  // before a report is made again that could not be sent

/// What the mark of an attempt says, and of a hold by a hook since when it lasts.
std::string note_of(Standing& standing, const Failure& failure, WallTime now) {
  if (!failure.held)
    standing.held_since = {};
  else if (standing.held_since == WallTime{})
    standing.held_since = now;
  return (standing.maybe_sent ? std::string(kMaybeSent) : std::string()) +
         (failure.held ? HookHold{standing.held_since, failure.note}.note() : failure.note);
}

}  // namespace

/// The details of a fault of ours are for the log; the sender gets RFC 3463's word for it.
Failure Failure::of(const Fault& fault) {
  Reply reply = fault.code == "store.full" ? Reply{452, "4.2.2", "The mailbox or its disk is full"}
                                           : Reply{451, "4.3.0", "Trouble on this server"};
  return {.reply = std::move(reply), .host = {}, .note = fault.code + ": " + fault.detail};
}

/// All of `who` have been served. The lead's mark is last: until it is durable, its token tells that they were.
/// `success`: what is to be told to a sender who asked for a word about it (NOTIFY=SUCCESS); nothing when another
/// tells.
void Shard::finish(Item& item, const Recipients& who, std::uint32_t lead, const std::optional<Outcome>& success) {
  Active& active = *item.active;
  const auto age = home_.wall() - active.accepted;
  active.noted = true;
  for (const std::uint32_t one : who) {
    if (one != lead) end_served(item, one, success);
    parts_.metrics.seconds.observe(home_.index(), std::max<Duration>(age, 0ns));
  }
  end_served(item, lead, success);
  active.tokens.erase(lead);
  parts_.metrics.delivered.add(home_.index(), who.size());
}

void Shard::end_served(Item& item, std::uint32_t one, const std::optional<Outcome>& success) {
  Active& active = *item.active;
  Standing& standing = active.recipients[one];
  if (success && parts_.teller != nullptr && (active.envelope.recipients[one].notify & kNotifySuccess) != 0) {
    Outcome outcome = *success;
    outcome.recipient = one;
    outcome.attempts = standing.attempts + 1U;
    outcome.last_attempt = home_.wall();
    if (parts_.teller->wanted(active.envelope, outcome)) {
      standing.state = RecipientState::kWaiting;  // for its report
      owe(item, outcome);
      return active.give_up(std::move(outcome));
    }
  }
  standing.state = RecipientState::kDone;
  parts_.spool.done_lazily(home_, item.id, one);
}

/// Its end is kept until its sender has been told: whatever comes between, the next turn or the next process tells.
void Shard::owe(Item& item, const Outcome& outcome) {
  if (outcome.noted) return;  // also: what is tried again every minute must not fill a full disk
  item.active->noted = true;
  parts_.spool.change_lazily(
      home_,
      {.id = item.id, .mark = Mark::kPlaced, .recipient = outcome.recipient, .text = Reporter::owed_note(outcome)});
}

void Shard::owe_failures(Item& item) {
  Active& active = *item.active;
  std::erase_if(active.outcomes, [&](const Outcome& one) {  // a delay that came to an end in the same turn
    return one.kind == Outcome::Kind::kDelayed &&
           (active.done(one.recipient) || active.recipients[one.recipient].ended);
  });
  Recipients alike;  // told together: they may be thousands
  const Outcome* last = nullptr;
  const auto tell_alike = [&] {
    if (!alike.empty()) tell_end(Stage::kBounced, item, alike, last->reply, last->host);
    alike.clear();
  };
  for (const Outcome& one : active.outcomes) {
    if (one.kind != Outcome::Kind::kFailed) continue;
    if (parts_.teller != nullptr) owe(item, one);
    if (one.noted) continue;
    if (last != nullptr && (last->reply != one.reply || last->host != one.host)) tell_alike();
    alike.push_back(one.recipient);
    last = &one;
  }
  tell_alike();
}

Milestones Shard::milestones(const Active& active, const Route& route) const {
  Milestones out = route.schedule.milestones(std::max(active.arrival, active.envelope.hold_until.value_or(WallTime{})));
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
  Recipients told;
  WallTime earliest = WallTime::max();
  for (const std::uint32_t one : who) {
    Standing& standing = active.recipients[one];
    if (standing.state == RecipientState::kDone || standing.ended) continue;
    if (failure.attempted && standing.attempts < 0xFFFF) ++standing.attempts;
    standing.maybe_sent = standing.maybe_sent || failure.reply_lost;
    if (!active.random) active.random = home_.random();
    auto next = route.schedule.next(when, standing.attempts, now, *active.random);
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
    if (failure.attempted) {
      told.push_back(one);
      earliest = std::min(earliest, *next);
    }
    if (placed || (!failure.attempted && !warn && !failure.held)) continue;
    active.noted = true;
    std::string note = note_of(standing, failure, now);
    if (active.owes_warning(one)) {
      active.warned[one] = note;
      note.insert(0, kWarningOwed);
    }
    parts_.spool.change_lazily(
        home_, parts_.spool.attempted(item.id, one, standing.attempts, *next, note.substr(0, kNoteLimit)));
  }
  if (!told.empty()) tell_end(Stage::kDeferred, item, told, failure.reply, failure.host, {}, earliest);
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
  if (!parts_.teller->wanted(item.active->envelope, outcome)) return;
  item.active->warned.try_emplace(one);
  item.active->outcomes.push_back(std::move(outcome));
}

/// A warning that could not be sent in an earlier turn. What it says is in the note of the attempt.
void Shard::owed_warnings(Item& item, const MessageReader& reader) {
  Active& active = *item.active;
  const Milestones when = milestones(active, *destinations_.at(item.destination).route);
  for (std::uint32_t one = 0; one < active.recipients.size(); ++one) {
    const RecipientInfo& info = reader.info().recipients[one];
    if (info.state != RecipientState::kWaiting || !info.note.starts_with(kWarningOwed)) continue;
    std::string note = info.note.substr(kWarningOwed.size());
    warn_of_delay(item, one, {.reply = {451, "4.4.7", std::string(plain_note(note))}, .host = {}, .note = {}}, when);
    if (active.owes_warning(one)) active.warned[one] = std::move(note);
  }
}

/// Tells the sender what this turn came to; then those that ended are done. What cannot be told now is told later, from
/// what the spool knows of it.
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
    for (const Outcome& outcome : outcomes) end_told(*item, outcome);
  }
  settle(*item);
}

void Shard::end_told(Item& item, const Outcome& outcome) {
  Active& active = *item.active;
  Standing& standing = active.recipients[outcome.recipient];
  active.noted = true;
  if (outcome.kind == Outcome::Kind::kDelayed) {
    const auto note = active.warned.find(outcome.recipient);
    if (note == active.warned.end() || active.tokens.contains(outcome.recipient)) return;
    parts_.spool.change_lazily(home_, parts_.spool.attempted(item.id, outcome.recipient, standing.attempts,
                                                             standing.next, note->second.substr(0, kNoteLimit)));
    active.warned.erase(note);
    return;
  }
  standing.state = RecipientState::kDone;
  parts_.spool.done_lazily(home_, item.id, outcome.recipient);
  if (outcome.kind != Outcome::Kind::kFailed) return;
  parts_.metrics.failed.add(home_.index());
  log_.info("queue.failed",
            {{"id", item.id.to_string()},
             {"rcpt", active.envelope.recipients[outcome.recipient].address.to_string()},
             {"attempts", outcome.attempts},
             {"host", outcome.host},
             {"reply", fmt::format("{} {} {}", outcome.reply.code, outcome.reply.enhanced, outcome.reply.text)}});
}

/// What was beyond recall when it was taken back has had its end; if that was no delivery, it is taken back too. One
/// that was served stays until its sender has been told.
void Shard::end_recalled(Item& item) {
  Active& active = *item.active;
  bool served = false;
  for (std::uint32_t one = 0; one < active.recipients.size(); ++one) {
    if (active.done(one)) continue;
    served = served || active.recipients[one].served;
    if (active.recipients[one].served) continue;
    active.noted = true;
    parts_.spool.change_lazily(home_, {.id = item.id, .mark = Mark::kRecall, .recipient = one});
    parts_.metrics.recalled.add(home_.index());
  }
  if (!served) return erase(item);
  item.recalled = false;
  wait_until(item, later(home_.wall(), kTellPause));
}

}  // namespace postern::queue
