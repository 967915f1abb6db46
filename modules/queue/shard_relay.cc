// A step to other servers: what the transport is asked, and what its answers mean for recipients and destination.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "shard.h"

namespace postern::queue {

namespace {

std::string words(const Reply& reply) {
  return fmt::format("{} {} {}", reply.code, reply.enhanced, reply.text);
}

std::string said(const AttemptResult& result) {
  return result.host.empty() ? words(result.reply) : result.host + ": " + words(result.reply);
}

/// Recipients that came to the same end in a row are handed on together: they may be thousands.
class Alike {
 public:
  using Group = std::vector<std::uint32_t>;
  using Take = std::function<void(const Group&, const AttemptResult&)>;
  explicit Alike(Take take) : take_(std::move(take)) {}
  /// `result` stays where it is until the next flush().
  void add(const AttemptResult& result) {
    if (last_ != nullptr && !same(*last_, result)) flush();
    who_.push_back(result.recipient);
    last_ = &result;
  }
  void flush() {
    if (!who_.empty()) take_(std::exchange(who_, {}), *last_);
  }

 private:
  static bool same(const AttemptResult& a, const AttemptResult& b) {
    return a.reply == b.reply && a.host == b.host && a.retry_after == b.retry_after && a.attempted == b.attempted &&
           a.reply_lost == b.reply_lost;
  }
  Take take_;
  Group who_;
  const AttemptResult* last_ = nullptr;
};

}  // namespace

Task<std::optional<Fault>> Shard::relay(Item& item, const PlanStep& step, Recipients who, std::uint32_t destination) {
  if (parts_.transport == nullptr) {
    if (!std::exchange(told_no_route_, true))
      log_.warn("queue.no_route", {{"id", item.id.to_string()}, {"why", "no module carries mail to other servers"}});
    co_return Fault{"queue.no_route", "no module carries mail to other servers"};
  }
  Active& active = *item.active;
  if (hooked(Stage::kAttempt)) {
    who = co_await may_attempt(item, std::move(who), destination);
    std::erase_if(who, [&](std::uint32_t one) { return active.done(one) || active.recipients[one].ended; });
    if (item.stopped() || who.empty()) co_return std::nullopt;
  }
  const auto sending = active.sending.emplace(active.sending.end());
  sending->who = who;
  std::vector<AttemptResult> results;
  try {
    results = co_await parts_.transport->attempt({.id = item.id,
                                                  .envelope = active.envelope,
                                                  .step = step,
                                                  .recipients = who,
                                                  .attempts = active.recipients[who.front()].attempts,
                                                  .size = active.size,
                                                  .accepted = active.accepted,
                                                  .gate = &sending->gate});
  } catch (...) {
    active.sending.erase(sending);
    throw;
  }
  active.sending.erase(sending);
  std::ranges::sort(who);
  std::vector<bool> answered(who.size());
  Alike served([&](const Recipients& alike, const AttemptResult& last) {
    tell_end(Stage::kDelivered, item, alike, last.reply, last.host, destinations_.at(destination).name);
  });
  Alike put_off([&](const Recipients& alike, const AttemptResult& last) { defer(item, alike, last, destination); });
  for (const AttemptResult& result : results) {
    const auto known = std::ranges::lower_bound(who, result.recipient);
    if (known == who.end() || *known != result.recipient) continue;
    const auto place = static_cast<std::size_t>(known - who.begin());
    if (answered[place]) continue;
    answered[place] = true;
    if (active.done(result.recipient)) continue;
    take_result(item, result, destination);
    if (result.kind == AttemptResult::Kind::kDelivered) served.add(result);
    if (result.kind == AttemptResult::Kind::kDeferred) put_off.add(result);
  }
  served.flush();
  put_off.flush();
  std::size_t place = 0;
  std::erase_if(who, [&](std::uint32_t) { return answered[place++]; });
  if (!who.empty())
    defer(item, who, Failure::of({"relay.no_result", "the transport said nothing"}),
          *destinations_.at(destination).route);
  co_return std::nullopt;
}

void Shard::take_result(Item& item, const AttemptResult& result, std::uint32_t number) {
  Active& active = *item.active;
  Destination& destination = destinations_.at(number);
  const Recipients one(1, result.recipient);
  if (result.kind == AttemptResult::Kind::kDelivered) {
    destination.succeeded();
    std::optional<Outcome> success;
    if (!result.dsn_handed_on)
      success = Outcome{.kind = Outcome::Kind::kRelayed, .reply = result.reply, .host = result.host};
    finish(item, one, result.recipient, success);
    if (!log_.enabled(LogLevel::kInfo)) return;
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(home_.wall() - active.accepted).count();
    return log_.info("queue.delivered", {{"id", item.id.to_string()},
                                         {"rcpt", active.envelope.recipients[result.recipient].address.to_string()},
                                         {"host", result.host},
                                         {"reply", words(result.reply)},
                                         {"micros", micros}});
  }
  destination.last_reply = said(result).substr(0, kNoteLimit);
  if (result.kind == AttemptResult::Kind::kRefused) {
    destination.succeeded();  // it was reached, and it answers
    Standing& standing = active.recipients[result.recipient];
    if (standing.attempts < 0xFFFF) ++standing.attempts;
    return active.give_up({.recipient = result.recipient,
                           .reply = result.reply,
                           .host = result.host,
                           .attempts = standing.attempts,
                           .last_attempt = home_.wall(),
                           .may_have_been_delivered = result.reply_lost || standing.maybe_sent});
  }
  if (!result.attempted)
    destination.closed_until = later(home_.wall(), result.retry_after.value_or(1s));
  else if (result.host.empty())
    destination.unreachable();
  else if (!result.reply.enhanced.starts_with("4.4."))  // nobody's word: the connection broke, or nothing came
    destination.answered();
}

void Shard::defer(Item& item, const Recipients& who, const AttemptResult& result, std::uint32_t destination) {
  defer(item, who,
        {.reply = result.reply,
         .host = result.host,
         .note = "relay.deferred: " + said(result),
         .retry_after = result.retry_after,
         .attempted = result.attempted,
         .reply_lost = result.reply_lost},
        *destinations_.at(destination).route);
}

}  // namespace postern::queue
