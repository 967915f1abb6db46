// queue.list, queue.show, queue.top: what there is, and why it waits.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "commands.h"
#include "marks.h"
#include "postern/text.h"
#include "selection.h"

namespace postern::queue {

namespace {

constexpr std::size_t kDefaultLimit = 100;
constexpr std::size_t kMaxLimit = 10'000'000;

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

Result<std::size_t> limit_of(const ControlRequest& request, std::size_t otherwise) {
  const auto limit = to_number<std::size_t>(request.arg("limit", std::to_string(otherwise)), 1, kMaxLimit);
  if (!limit) return fault("queue.limit", fmt::format("limit is a number from 1 to {}", kMaxLimit));
  return *limit;
}

std::uint64_t age_of(MessageId id, WallTime now) {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - id.arrival()).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(age, 0));
}

Json list_row(const MessageInfo& info, WallTime now) {
  std::size_t left = 0;
  std::uint32_t attempts = 0;
  WallTime next = WallTime::max();
  for (const RecipientInfo& one : info.recipients) {
    if (one.state == RecipientState::kDone) continue;
    ++left;
    attempts = std::max<std::uint32_t>(attempts, one.attempts);
    next = std::min(next, one.next_attempt);
  }
  const bool held = held_now(info, now);
  return {{"id", info.id.to_string()},
          {"age", age_of(info.id, now)},
          {"size", info.size},
          {"state", held || held_by_hooks(info, now) ? "held" : "waiting"},
          {"recipients", left},
          {"attempts", attempts},
          {"next", time_text(held ? *info.held_until : next)},
          {"why", reason_of(info, now)}};
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

/// What the sender asked for beyond delivery; only what was given.
void add_wishes(Json& row, const Envelope& envelope) {
  if (envelope.priority) row["priority"] = *envelope.priority;
  if (envelope.hold_until) row["not_before"] = time_text(*envelope.hold_until);
  if (envelope.deliver_by) row["by"] = time_text(envelope.deliver_by->when);
}

/// Where a recipient stands; the keys that are filled in later keep their places.
Json standing_row(const MessageInfo& info, std::uint32_t recipient, WallTime now) {
  const RecipientInfo& one = info.recipients[recipient];
  const bool held = held_now(info, now);
  const auto by_hook = held ? std::nullopt : hook_hold(one, now);
  const bool waits = one.state == RecipientState::kWaiting;
  Json row{{"recipient", ""},
           {"sender", ""},
           {"state", (held && waits) || by_hook ? "held" : state_word(one.state)},
           {"step", ""},
           {"to", ""},
           {"attempts", one.attempts},
           {"next", time_text(held ? *info.held_until : one.next_attempt)},
           {"why", held    ? info.hold_reason
                   : waits ? std::string(plain_note(one.note))
                           : std::string()}};
  if (by_hook) row["since"] = time_text(by_hook->since);
  return row;
}

/// What is queued for one destination.
struct Pile {
  std::uint64_t messages = 0, recipients = 0, held = 0, bytes = 0;
  MessageId oldest;       ///< of them
  std::string reply;      ///< the last one
  WallTime reply_next{};  ///< the attempt that follows it: the later, the newer the reply
  void add(const MessageInfo& info, WallTime now) {
    ++messages;
    bytes += info.size;
    if (held_now(info, now) || held_by_hooks(info, now)) ++held;
    if (!oldest) oldest = info.id;  // the list is in their order
    for (const RecipientInfo& one : info.recipients) {
      if (one.state == RecipientState::kDone) continue;
      ++recipients;
      if (one.attempts == 0 || one.next_attempt <= reply_next) continue;
      reply_next = one.next_attempt;
      reply = plain_note(one.note);
    }
  }
};

/// The name behind a destination's hash, read from one of its messages.
Task<std::string> name_of(QueueService& queue, MessageId sample) {
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, sample);
  if (!reader) co_return "?";
  auto envelope = Envelope::decode(reader->envelope());
  if (!envelope || envelope->recipients.empty()) co_return "?";
  co_return envelope->recipients.front().address.domain().to_string();
}

}  // namespace

Task<Result<void>> list_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  Executor& executor = co_await this_executor();
  const auto limit = limit_of(request, kDefaultLimit);
  if (!limit) co_return std::unexpected(limit.error());
  auto selection = Selection::of(request);
  if (!selection) co_return std::unexpected(selection.error());
  Walk walk(queue.spool(), std::move(*selection));
  for (std::size_t left = *limit; left > 0; --left) {
    auto info = co_await walk.next();
    if (!info) co_return std::unexpected(info.error());
    if (!*info) break;
    co_await rows.row(text(list_row(**info, executor.wall())));
  }
  co_return Result<void>();
}

Task<Result<void>> show_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  auto selection = Selection::of(request);
  if (!selection) co_return std::unexpected(selection.error());
  if (!selection->id) co_return fault("queue.id", "which message? Its id has 13 letters and digits");
  Executor& executor = co_await this_executor();
  auto reader = co_await queue.spool().open(executor, *selection->id);
  if (!reader) co_return std::unexpected(reader.error());
  auto envelope = Envelope::decode(reader->envelope());
  if (!envelope) co_return std::unexpected(envelope.error());
  auto plan = Plan::decode(reader->plan());
  if (!plan) co_return std::unexpected(plan.error());
  const MessageInfo info = reader->info();
  for (std::uint32_t i = 0; i < info.recipients.size() && i < envelope->recipients.size(); ++i) {
    Json row = standing_row(info, i, executor.wall());
    std::string target;
    const std::string_view step = step_word(*plan, i, target);
    row["recipient"] = envelope->recipients[i].address.to_string();
    row["sender"] = envelope->sender.path();
    row["step"] = step;
    RouteMark mark = RouteMark::of(info.recipients[i].route);
    mark.let_go = false;  // says when it goes, not where
    const std::string chosen = mark.text();
    row["to"] = chosen.empty() ? target : chosen;
    add_wishes(row, *envelope);
    co_await rows.row(text(row));
  }
  co_return Result<void>();
}

Task<Result<void>> top_command(QueueService& queue, ControlRequest request, ControlRows& rows) {
  Executor& executor = co_await this_executor();
  const auto limit = limit_of(request, 20);
  if (!limit) co_return std::unexpected(limit.error());
  std::unordered_map<std::uint32_t, Pile> piles;
  MessageId after;
  while (true) {
    auto page = co_await queue.spool().list(executor, after, QueueService::kPage);
    if (!page) co_return std::unexpected(page.error());
    if (page->empty()) break;
    after = page->back().id;
    for (const MessageInfo& info : *page)
      piles[static_cast<std::uint32_t>(info.label >> 32)].add(info, executor.wall());
  }
  std::vector<const Pile*> order;
  for (const auto& [hash, pile] : piles) order.push_back(&pile);
  const std::size_t shown = std::min(*limit, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(shown), [](auto* a, auto* b) {
    return a->messages != b->messages ? a->messages > b->messages : a->oldest < b->oldest;
  });
  order.resize(shown);
  for (const Pile* pile : order) {
    Json row{{"destination", co_await name_of(queue, pile->oldest)},
             {"messages", pile->messages},
             {"recipients", pile->recipients},
             {"held", pile->held},
             {"size", pile->bytes}};
    row["age"] = age_of(pile->oldest, executor.wall());
    row["last_reply"] = pile->reply;
    co_await rows.row(text(row));
  }
  co_return Result<void>();
}

}  // namespace postern::queue
