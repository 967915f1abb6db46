// queue.retry, hold, release, reroute, expire, recall: of one message, or of a selection once it is confirmed.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "marks.h"
#include "selection.h"

namespace postern::queue {

namespace {

/// Changes one message, and tells what became of it. The reader has it as it is now.
using Change1 = Task<Result<Json>> (*)(QueueService&, const ControlRequest&, MessageReader&);

Task<Result<Json>> change_by_id(QueueService& queue, const ControlRequest& request, MessageId id, Change1 change) {
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, id);
  if (!reader) co_return std::unexpected(reader.error());
  co_return co_await change(queue, request, *reader);
}

/// Without confirmation: how many there are.
Task<Result<void>> count(QueueService& queue, Selection selection, ControlRows& rows) {
  Walk walk(queue.spool(), std::move(selection));
  std::size_t matches = 0;
  while (true) {
    auto info = co_await walk.next();
    if (!info) co_return std::unexpected(info.error());
    if (!*info) break;
    ++matches;
  }
  co_await rows.row(text({{"matches", matches}}));
  co_return Result<void>();
}

Task<Result<void>> change_all(QueueService& queue, ControlRequest request, ControlRows& rows, Selection selection,
                              Change1 change) {
  Walk walk(queue.spool(), std::move(selection));
  std::size_t changed = 0;
  std::size_t unchanged = 0;
  std::string why;
  while (true) {
    auto info = co_await walk.next();
    if (!info) co_return std::unexpected(info.error());
    if (!*info) break;
    auto done = co_await change_by_id(queue, request, (*info)->id, change);
    ++(done ? changed : unchanged);
    if (!done) why = done.error().detail.empty() ? done.error().code : done.error().detail;
    if ((changed + unchanged) % kProgressEvery == 0) co_await rows.row(text({{"progress", changed + unchanged}}));
  }
  co_await rows.row(text({{"changed", changed}, {"unchanged", unchanged}, {"why", why}}));
  co_return Result<void>();
}

Task<Result<void>> change_selected(QueueService& queue, ControlRequest request, ControlRows& rows, Change1 change) {
  auto selection = Selection::of(request);
  if (!selection) co_return std::unexpected(selection.error());
  if (selection->everything() && request.arg("all") != "yes")
    co_return fault("queue.query", "which messages? Give an id, a sender, a recipient, a destination, a query, or all");
  if (!selection->id) {
    if (request.arg("confirm") != "yes") co_return co_await count(queue, std::move(*selection), rows);
    co_return co_await change_all(queue, std::move(request), rows, std::move(*selection), change);
  }
  auto row = co_await change_by_id(queue, request, *selection->id, change);
  if (!row) co_return std::unexpected(row.error());
  co_await rows.row(text(*row));
  co_return Result<void>();
}

Task<Result<Json>> retry_one(QueueService& queue, const ControlRequest&, MessageReader& message) {
  if (co_await queue.retry(message.info().id)) co_return Json{{"retried", 1}};
  if (co_await queue.known(message.info().id) == Shard::Known::kRunning) co_return Json{{"retried", 0}};
  co_return fault("queue.not_waiting", "no such message waits; a held one must be released");
}

/// The mark first: what is dropped must not be forgotten.
Task<Result<Json>> hold_one(QueueService& queue, const ControlRequest& request, MessageReader& message) {
  Executor& executor = co_await this_executor();
  const MessageId id = message.info().id;
  const std::string reason = request.arg("reason", "held by an administrator");
  auto held = co_await queue.spool().hold(executor, id, WallTime::max(), reason);
  if (!held) co_return std::unexpected(held.error());
  const bool running = co_await queue.known(id) == Shard::Known::kRunning;
  co_await queue.drop(id);
  co_return Json{{"id", id.to_string()}, {"held", true}, {"under_way", running}};
}

Seed seed_for(const MessageReader& message, WallTime now) {
  return {.id = message.info().id, .due = now, .label = message.info().label, .forced = true, .unsettled = true};
}

/// Quarantined recipients get a route mark, which tells the shard that they may go, and so do those that hooks hold
/// back; then the hold is lifted.
Task<Result<Json>> release_one(QueueService& queue, const ControlRequest&, MessageReader& message) {
  Executor& executor = co_await this_executor();
  const MessageInfo info = message.info();
  const bool held = held_now(info, executor.wall());
  auto plan = Plan::decode(message.plan());
  if (!plan) co_return std::unexpected(plan.error());
  std::vector<RouteMark> marks;
  for (const RecipientInfo& one : info.recipients) marks.push_back(RouteMark::of(one.route));
  std::vector<bool> changed(marks.size());
  for (std::size_t i = 0; i < marks.size(); ++i)
    if (hook_hold(info.recipients[i], executor.wall())) changed[i] = marks[i].let_go = true;
  if (!held && std::ranges::find(changed, true) == changed.end())
    co_return fault("queue.not_held", "the message is not held");
  for (const PlanStep& step : plan->steps)
    for (const std::uint32_t one : step.recipients)
      if (held && step.kind == PlanStep::Kind::kQuarantine && one < marks.size())
        changed[one] = marks[one].released = true;
  for (std::uint32_t i = 0; i < marks.size(); ++i)
    if (changed[i])
      if (auto routed = co_await queue.spool().route(executor, info.id, i, marks[i].text()); !routed)
        co_return std::unexpected(routed.error());
  if (held)
    if (auto released = co_await queue.spool().hold(executor, info.id, WallTime{}, {}); !released)
      co_return std::unexpected(released.error());
  co_await queue.renew(seed_for(message, executor.wall()));
  co_return Json{{"id", info.id.to_string()}, {"released", true}};
}

Task<Result<Json>> reroute_one(QueueService& queue, const ControlRequest& request, MessageReader& message) {
  Executor& executor = co_await this_executor();
  const MessageId id = message.info().id;
  const std::string to = request.arg("to");
  auto plan = Plan::decode(message.plan());
  if (!plan) co_return std::unexpected(plan.error());
  std::size_t rerouted = 0;
  for (const PlanStep& step : plan->steps) {
    if (step.kind != PlanStep::Kind::kRelay) continue;
    for (const std::uint32_t one : step.recipients) {
      if (one >= message.info().recipients.size() || message.info().recipients[one].state == RecipientState::kDone)
        continue;
      RouteMark mark = RouteMark::of(message.info().recipients[one].route);
      mark.gateway = to;
      auto routed = co_await queue.spool().route(executor, id, one, mark.text());
      if (!routed) co_return std::unexpected(routed.error());
      ++rerouted;
    }
  }
  if (rerouted == 0) co_return fault("queue.not_remote", "nothing of the message goes to another server");
  if (!held_now(message.info(), executor.wall())) co_await queue.renew(seed_for(message, executor.wall()));
  co_return Json{{"id", id.to_string()}, {"rerouted", rerouted}};
}

Task<Result<Json>> expire_one(QueueService& queue, const ControlRequest&, MessageReader& message) {
  Executor& executor = co_await this_executor();
  const MessageId id = message.info().id;
  if (held_now(message.info(), executor.wall()))
    if (auto lifted = co_await queue.spool().hold(executor, id, WallTime{}, {}); !lifted)
      co_return std::unexpected(lifted.error());
  Seed seed = seed_for(message, executor.wall());
  seed.expire = true;
  co_await queue.renew(seed);
  co_return Json{{"id", id.to_string()}, {"expired", true}};
}

/// The shard decides what can be taken back, and does nothing of that any more; then the marks say so.
Task<Result<Json>> recall_one(QueueService& queue, const ControlRequest&, MessageReader& message) {
  Executor& executor = co_await this_executor();
  const MessageId id = message.info().id;
  const Shard::Recall answer = co_await queue.recall(id);
  std::size_t taken = answer.taken.size();
  Result<void> marked;
  if (answer.whole) {
    taken = static_cast<std::size_t>(std::ranges::count_if(
        message.info().recipients, [](const RecipientInfo& one) { return one.state != RecipientState::kDone; }));
    marked = co_await queue.spool().recall(executor, id);
  } else {
    for (const std::uint32_t one : answer.taken)
      if (marked) marked = co_await queue.spool().recall(executor, id, one);
  }
  if (!marked) {
    co_await queue.renew(seed_for(message, executor.wall()));
    co_return std::unexpected(marked.error());
  }
  queue.metrics().recalled.add(executor.index(), taken);
  if (taken == 0)
    co_return fault("queue.too_late",
                    "the final dot has been sent, or the message lies in its mailbox: nothing can be "
                    "taken back");
  co_return Json{{"id", id.to_string()}, {"recalled", taken}, {"too_late", answer.late.size()}};
}

}  // namespace

Task<Result<void>> retry_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto selection = Selection::of(request);
  if (!selection) co_return std::unexpected(selection.error());
  std::optional<std::size_t> count;
  const std::string destination = request.arg("destination");
  if (selection->everything())
    count = co_await queue.retry_all();
  else if (!destination.empty() && request.args.size() == 1 && !destination.contains('*'))
    count = co_await queue.request(destination);
  if (!count) {
    request.args.insert_or_assign("confirm", "yes");  // it does no harm
    co_return co_await change_selected(queue, std::move(request), rows, &retry_one);
  }
  co_await rows.row(text({{"retried", *count}}));
  co_return Result<void>();
}

Task<Result<void>> hold_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  return change_selected(queue, std::move(request), rows, &hold_one);
}
Task<Result<void>> release_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  return change_selected(queue, std::move(request), rows, &release_one);
}
Task<Result<void>> reroute_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  return change_selected(queue, std::move(request), rows, &reroute_one);
}
Task<Result<void>> expire_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  return change_selected(queue, std::move(request), rows, &expire_one);
}
Task<Result<void>> recall_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  return change_selected(queue, std::move(request), rows, &recall_one);
}

}  // namespace postern::queue
