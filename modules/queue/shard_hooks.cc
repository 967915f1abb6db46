// What rules are asked (route, attempt) and told (queued, delivered, deferred, bounced) of mail under way.
//
// Each hook sees an envelope with those recipients alone that it is about. A route is asked for in each turn in which
// the message is read, and holds for that turn: what the plan says stays as it was committed. Hooks that are told wait
// for nobody, and nobody waits for them.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "envelope_head.h"
#include "postern/queue_event.h"
#include "shard.h"

namespace postern::queue {

namespace {

constexpr Duration kLeastHold = 1s;  // or a hook that always says 0 would be asked without end
constexpr std::array<std::string_view, 3> kRouteOptions = {"gateway", "tls", "source"};  // that a hook may set

Envelope narrowed(const Envelope& from, const std::vector<std::uint32_t>& who) {
  Envelope out = envelope_head(from);
  out.recipients.reserve(who.size());
  for (const std::uint32_t one : who) out.recipients.push_back(from.recipients[one]);
  return out;
}

std::map<std::string, std::string> route_options(const PlanStep& step) {
  std::map<std::string, std::string> out;
  for (const std::string_view name : kRouteOptions)
    if (const auto found = step.options.find(std::string(name)); found != step.options.end()) out.insert(*found);
  return out;
}

void take_route(PlanStep& step, const std::map<std::string, std::string>& options) {
  for (const std::string_view name : kRouteOptions) {
    step.options.erase(std::string(name));
    if (const auto found = options.find(std::string(name)); found != options.end()) step.options.insert(*found);
  }
}

}  // namespace

Shard::Notice::Notice(Stage stage, MessageId id, const Active& active, const Recipients& who)
    : envelope(narrowed(active.envelope, who)),
      event{.stage = stage,
            .id = id,
            .envelope = envelope,
            .recipients = {},
            .size = active.size,
            .accepted = active.accepted,
            .attempts = who.empty() ? 0U : active.recipients[who.front()].attempts} {
  event.recipients.resize(who.size());
  for (std::uint32_t i = 0; i < event.recipients.size(); ++i) event.recipients[i] = i;
}

/// Asks where the relay steps of a message go in this turn; gives those that are not to go now, with why.
Task<Shard::PutOff> Shard::ask_route(MessageId id, Active* active) {
  PutOff put_off;
  for (std::size_t number = 0; number < active->plan.steps.size(); ++number) {
    PlanStep& step = active->plan.steps[number];
    if (step.kind != PlanStep::Kind::kRelay) continue;
    const Recipients who = undone(*active, step, true, home_.wall());
    if (who.empty()) continue;
    Notice asked(Stage::kRoute, id, *active, who);
    asked.event.options = route_options(step);
    asked.event.destination = parts_.transport != nullptr
                                  ? parts_.transport->next_hop(active->envelope, step, who.front())
                                  : active->envelope.recipients[who.front()].address.domain().to_string();
    const auto before = asked.event.options;
    Verdict verdict = co_await parts_.policy->queue_event(asked.event);
    if (verdict.decided()) put_off.emplace_back(number, std::move(verdict));
    if (asked.event.options != before) take_route(step, asked.event.options);
  }
  co_return put_off;
}

/// A hold is not for those whom an administrator let go: they leave in this turn, whoever else stays.
void Shard::put_off_step(Item& item, std::size_t number, const Verdict& verdict) {
  Active& active = *item.active;
  Recipients who = undone(active, active.plan.steps[number], true, home_.wall());
  if (verdict.kind == Verdict::Kind::kHold)
    std::erase_if(who, [&](std::uint32_t one) { return active.recipients[one].let_go; });
  for (const std::uint32_t one : who) active.recipients[one].put_off = true;
  obey(item, who, verdict, parts_.routes.base());
}

/// Those to whom an attempt may be made now; of the others it has been noted when the next one is. About those whom an
/// administrator let go nobody is asked.
Task<Shard::Recipients> Shard::may_attempt(Item& item, Recipients who, std::uint32_t destination) {
  Recipients questioned;
  Recipients let_go;
  for (const std::uint32_t one : who) (item.active->recipients[one].let_go ? let_go : questioned).push_back(one);
  if (questioned.empty()) co_return who;
  Notice asked(Stage::kAttempt, item.id, *item.active, questioned);
  asked.event.destination = destinations_.at(destination).name;
  const Verdict verdict = co_await parts_.policy->queue_event(asked.event);
  if (!verdict.decided() || verdict.kind == Verdict::Kind::kAccept) co_return who;
  obey(item, questioned, verdict, *destinations_.at(destination).route);
  co_return let_go;
}

/// What a hook wants of recipients that were about to be sent to. What is neither time nor a refusal makes no sense
/// here, and waits.
void Shard::obey(Item& item, const Recipients& who, const Verdict& verdict, const Route& route) {
  const bool refused = verdict.refuses() && verdict.reply.permanent();
  if (refused) {
    for (const std::uint32_t one : who)
      item.active->give_up({.recipient = one,
                            .reply = verdict.reply,
                            .host = {},
                            .attempts = item.active->recipients[one].attempts,
                            .last_attempt = home_.wall(),
                            .may_have_been_delivered = item.active->recipients[one].maybe_sent});
    return;
  }
  Failure failure{.reply = verdict.reply, .host = {}, .note = {}};
  if (!failure.reply.temporary()) failure.reply = {451, "4.7.0", "Put off by a rule of this server"};
  failure.note = fmt::format("hook {}: {}", verdict.rule, failure.reply.text);
  if (verdict.kind == Verdict::Kind::kHold) {
    failure.attempted = false;
    failure.held = true;
    failure.note = fmt::format("hook {}: {}", verdict.rule, verdict.reason.empty() ? "held back" : verdict.reason);
    failure.retry_after = std::max(verdict.hold, kLeastHold);
  }
  defer(item, who, failure, route);
}

void Shard::tell_hooks(std::unique_ptr<Notice> notice) {
  if (notices_ >= kMaxNotices) return parts_.metrics.hooks_skipped.add(home_.index());
  ++notices_;
  nursery_.spawn(run_notice(std::move(notice)));
}

Task<void> Shard::run_notice(std::unique_ptr<Notice> notice) {
  try {
    static_cast<void>(co_await parts_.policy->queue_event(notice->event));
  } catch (...) {
    --notices_;
    throw;
  }
  --notices_;
}

void Shard::tell_queued(const QueuedMessage& message) {
  Active active;  // as much of it as a notice needs
  active.size = message.size;
  active.accepted = message.accepted;
  active.recipients.resize(message.envelope.recipients.size());
  Recipients all(message.envelope.recipients.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  active.envelope = message.envelope;
  tell_hooks(std::make_unique<Notice>(Stage::kQueued, message.id, active, all));
}

void Shard::tell_end(Stage stage, const Item& item, const Recipients& who, const Reply& reply, std::string_view host,
                     std::string_view destination, WallTime next) {
  if (!hooked(stage) || who.empty()) return;
  auto notice = std::make_unique<Notice>(stage, item.id, *item.active, who);
  notice->event.reply = reply;
  notice->event.host = host;
  notice->event.destination = destination;
  notice->event.next = next;
  tell_hooks(std::move(notice));
}

}  // namespace postern::queue
