#include "commands.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "postern/text.h"

namespace postern::queue {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kDefaultLimit = 100;
constexpr std::size_t kMaxLimit = 1'000'000;

std::string text(const Json& row) {
  return row.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string time_text(WallTime when) {
  if (when == WallTime{}) return "";
  if (when == WallTime::max()) return "never";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", std::chrono::floor<std::chrono::seconds>(when));
}

std::string_view state_word(RecipientState state) {
  switch (state) {
    case RecipientState::kWaiting:
      return "waiting";
    case RecipientState::kPlaced:
      return "placed";
    case RecipientState::kDotSent:
      return "dot-sent";
    case RecipientState::kDone:
      return "done";
  }
  return "?";
}

bool held_now(const MessageInfo& info, WallTime now) {
  return info.held_until && *info.held_until > now;
}

Result<MessageId> id_of(const ControlRequest& request) {
  auto id = MessageId::parse(request.arg("id"));
  if (!id)
    return fault("queue.id",
                 fmt::format("\"{}\" is not the id of a message (13 letters and digits)", request.arg("id")));
  return *id;
}

Json list_row(const MessageInfo& info, WallTime now) {
  std::size_t left = 0;
  std::uint32_t attempts = 0;
  WallTime next = WallTime::max();
  std::string note;
  for (const RecipientInfo& one : info.recipients) {
    if (one.state == RecipientState::kDone) continue;
    ++left;
    attempts = std::max<std::uint32_t>(attempts, one.attempts);
    next = std::min(next, one.next_attempt);
    if (note.empty() && one.state == RecipientState::kWaiting) note = one.note;
  }
  const bool held = held_now(info, now);
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - info.id.arrival()).count();
  return {{"id", info.id.to_string()},
          {"age", static_cast<std::uint64_t>(std::max<std::int64_t>(age, 0))},
          {"size", info.size},
          {"state", held ? "held" : "waiting"},
          {"recipients", left},
          {"attempts", attempts},
          {"next", time_text(held ? *info.held_until : next)},
          {"why", held ? info.hold_reason : note}};
}

Task<Result<void>> list(QueueService& queue, ControlRequest request, ControlRows& rows) {
  Executor& executor = co_await this_executor();
  const auto limit = to_number<std::size_t>(request.arg("limit", std::to_string(kDefaultLimit)), 1, kMaxLimit);
  if (!limit) co_return fault("queue.limit", fmt::format("limit is a number from 1 to {}", kMaxLimit));
  MessageId after;
  for (std::size_t left = *limit; left > 0;) {
    auto page = co_await queue.spool().list(executor, after, std::min(left, QueueService::kPage));
    if (!page) co_return std::unexpected(page.error());
    if (page->empty()) break;
    for (const MessageInfo& info : *page) co_await rows.row(text(list_row(info, executor.wall())));
    after = page->back().id;
    left -= std::min(left, page->size());
  }
  co_return Result<void>();
}

std::string_view step_word(const Plan& plan, std::uint32_t recipient, std::string& target) {
  static constexpr std::string_view kWords[] = {"none", "deliver", "relay", "discard", "quarantine", "bounce"};
  for (const PlanStep& step : plan.steps) {
    if (std::ranges::find(step.recipients, recipient) == step.recipients.end()) continue;
    target = step.kind == PlanStep::Kind::kDeliver ? step.account : step.reason;
    return kWords[static_cast<std::size_t>(step.kind)];
  }
  return kWords[0];
}

Task<Result<void>> show(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto id = id_of(request);
  if (!id) co_return std::unexpected(id.error());
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, *id);
  if (!reader) co_return std::unexpected(reader.error());
  auto envelope = Envelope::decode(reader->envelope());
  if (!envelope) co_return std::unexpected(envelope.error());
  auto plan = Plan::decode(reader->plan());
  if (!plan) co_return std::unexpected(plan.error());
  const MessageInfo info = reader->info();
  const bool held = held_now(info, executor.wall());
  for (std::uint32_t i = 0; i < info.recipients.size() && i < envelope->recipients.size(); ++i) {
    const RecipientInfo& one = info.recipients[i];
    std::string target;
    const std::string_view step = step_word(*plan, i, target);
    const bool waits = one.state == RecipientState::kWaiting;
    co_await rows.row(text({{"recipient", envelope->recipients[i].address.to_string()},
                            {"sender", envelope->sender.path()},
                            {"state", held && waits ? "held" : state_word(one.state)},
                            {"step", step},
                            {"to", target},
                            {"attempts", one.attempts},
                            {"next", time_text(held ? *info.held_until : one.next_attempt)},
                            {"why", held    ? info.hold_reason
                                    : waits ? one.note
                                            : ""}}));
  }
  co_return Result<void>();
}

Task<Result<void>> retry(QueueService& queue, ControlRequest request, ControlRows& rows) {
  std::optional<MessageId> one;
  if (!request.arg("id").empty() && request.arg("id") != "all") {
    auto id = id_of(request);
    if (!id) co_return std::unexpected(id.error());
    one = *id;
  }
  const std::size_t count = co_await queue.retry(one);
  if (one && count == 0 && co_await queue.known(*one) == Shard::Known::kNo)
    co_return fault("queue.not_waiting", "no such message waits; a held one must be released");
  co_await rows.row(text({{"retried", count}}));
  co_return Result<void>();
}

Task<Result<void>> hold(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto id = id_of(request);
  if (!id) co_return std::unexpected(id.error());
  Executor& executor = co_await this_executor();
  if (auto there = co_await queue.spool().open(executor, *id); !there) co_return std::unexpected(there.error());
  auto held =
      co_await queue.spool().hold(executor, *id, WallTime::max(), request.arg("reason", "held by an administrator"));
  if (!held) co_return std::unexpected(held.error());
  const bool running = co_await queue.known(*id) == Shard::Known::kRunning;
  co_await queue.drop(*id);
  co_await rows.row(text({{"id", id->to_string()}, {"held", true}, {"under_way", running}}));
  co_return Result<void>();
}

/// Quarantined recipients get a route mark, which tells the shard that they may go; then the hold is lifted.
Task<Result<void>> release(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto id = id_of(request);
  if (!id) co_return std::unexpected(id.error());
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, *id);
  if (!reader) co_return std::unexpected(reader.error());
  if (!held_now(reader->info(), executor.wall())) co_return fault("queue.not_held", "the message is not held");
  auto plan = Plan::decode(reader->plan());
  if (!plan) co_return std::unexpected(plan.error());
  for (const PlanStep& step : plan->steps) {
    if (step.kind != PlanStep::Kind::kQuarantine) continue;
    for (const std::uint32_t one : step.recipients)
      if (auto routed = co_await queue.spool().route(executor, *id, one, "released"); !routed) co_return routed;
  }
  auto released = co_await queue.spool().hold(executor, *id, WallTime{}, {});
  if (!released) co_return released;
  co_await queue.adopt({.id = *id, .due = executor.wall(), .forced = true});
  co_await rows.row(text({{"id", id->to_string()}, {"released", true}}));
  co_return Result<void>();
}

Task<Result<void>> recall(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto id = id_of(request);
  if (!id) co_return std::unexpected(id.error());
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, *id);
  if (!reader) co_return std::unexpected(reader.error());
  if (co_await queue.known(*id) == Shard::Known::kRunning)
    co_return fault("queue.under_way", "the message is being delivered at this moment");
  std::size_t left = 0;
  for (const RecipientInfo& one : reader->info().recipients)
    if (one.state != RecipientState::kDone) ++left;
  co_await queue.drop(*id);
  auto recalled = co_await queue.spool().recall(executor, *id);
  if (!recalled) co_return recalled;
  co_await rows.row(text({{"id", id->to_string()}, {"recalled", left}}));
  co_return Result<void>();
}

using Command = Task<Result<void>> (*)(QueueService&, ControlRequest, ControlRows&);

}  // namespace

void add_commands(Control& control, QueueService& queue) {
  const auto add = [&](std::string name, std::string purpose, Command command) {
    control.add("queue." + name, std::move(purpose), [&queue, command](ControlRequest request, ControlRows& rows) {
      return command(queue, std::move(request), rows);
    });
  };
  add("list", "Messages that wait or are held, oldest first (limit).", &list);
  add("show", "One message (id): where each recipient stands.", &show);
  add("retry", "Try one message (id), or all, now.", &retry);
  add("hold", "Set a message (id) aside until it is released (reason).", &hold);
  add("release", "Let a held message (id) go on; from quarantine to where its addresses lead.", &release);
  add("recall", "Take a message (id) back: it is delivered to nobody who has not got it yet.", &recall);
}

}  // namespace postern::queue
