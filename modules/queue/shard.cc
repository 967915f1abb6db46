#include "shard.h"

#include <algorithm>
#include <utility>

namespace postern::queue {

QueueMetrics::QueueMetrics(Metrics& metrics)
    : waiting(metrics.gauge("postern_queue_waiting", "Messages that are under way or wait for their next attempt.")),
      delivered(metrics.counter("postern_queue_delivered_total", "Recipients served.")),
      discarded(metrics.counter("postern_queue_discarded_total", "Recipients whose mail a rule threw away.")),
      deferred(
          metrics.counter("postern_queue_deferred_total", "Attempts for a recipient that failed and are made again.")),
      failed(metrics.counter("postern_queue_failed_total", "Recipients given up; their senders are told.")),
      held(metrics.counter("postern_queue_held_total", "Messages set aside for an administrator.")),
      recalled(metrics.counter("postern_queue_recalled_total", "Recipients whose mail was taken back.")),
      hooks_skipped(metrics.counter("postern_queue_hooks_skipped_total",
                                    "Events that hooks were not told, since they were busy with too many.")),
      seconds(metrics.histogram("postern_queue_delivery_seconds", "Time from acceptance to a recipient's delivery.",
                                HistogramScale::kSeconds)) {}

struct Shard::Arrival {
  QueuedMessage message;
  Arrival* next = nullptr;
};

Shard::Shard(Executor& home, Log log, ShardParts parts)
    : home_(home),
      log_(std::move(log)),
      parts_(std::move(parts)),
      nursery_(home),
      background_(home),
      destinations_(parts_.routes) {
  // Steps catch what concerns them; what still comes here is a fault of this program, and must not end the others.
  nursery_.on_error = background_.on_error = [this](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const Cancelled&) {
    } catch (const std::exception& caught) {
      log_.error("queue.error", {{"what", caught.what()}});
    }
  };
}

Shard::~Shard() {
  home_.disarm(*this);
  Arrival* left = arrivals_.exchange(nullptr);
  while (left != nullptr) delete std::exchange(left, left->next);
}

// --- arrivals -------------------------------------------------------------------------------------------------------

void Shard::push(QueuedMessage message) {
  auto* arrival = new Arrival{.message = std::move(message)};
  Arrival* newest = arrivals_.load(std::memory_order_relaxed);
  do {
    arrival->next = newest;
  } while (!arrivals_.compare_exchange_weak(newest, arrival, std::memory_order_release, std::memory_order_relaxed));
  if (newest == nullptr) home_.post_remote(inbox_);  // the first of a batch wakes the worker for all
}

void Shard::take_arrivals() {
  Arrival* newest = arrivals_.exchange(nullptr, std::memory_order_acquire);
  Arrival* oldest = nullptr;
  while (newest != nullptr) {
    Arrival* before = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, before);
  }
  while (oldest != nullptr) {
    take(std::move(oldest->message));
    delete std::exchange(oldest, oldest->next);
  }
}

bool Shard::discard_at_once(const QueuedMessage& message) {
  const auto discards = [](const PlanStep& step) {
    return step.kind == PlanStep::Kind::kDiscard && step.not_before == WallTime{};
  };
  if (message.plan.steps.empty() || !std::ranges::all_of(message.plan.steps, discards)) return false;
  parts_.spool.done_lazily(home_, message.id, kEveryRecipient);
  parts_.metrics.discarded.add(home_.index(), message.envelope.recipients.size());
  if (log_.enabled(LogLevel::kInfo))
    log_.info("queue.discarded", {{"id", message.id.to_string()},
                                  {"recipients", message.envelope.recipients.size()},
                                  {"why", message.plan.steps.front().reason}});
  return true;
}

/// Where the first of a message's relay steps leads; else the domain of its first recipient. What is collected comes
/// last: a message counts for a destination that collects only when all of it does.
std::string Shard::first_hop(const Envelope& envelope, const Plan& plan) const {
  std::string collecting;
  const PlanStep* other = nullptr;
  for (const PlanStep& step : plan.steps) {
    if (step.kind != PlanStep::Kind::kRelay) other = &step;
    if (step.kind != PlanStep::Kind::kRelay || step.recipients.empty()) continue;
    for (const std::uint32_t one : step.recipients) {
      std::string hop = parts_.transport != nullptr ? parts_.transport->next_hop(envelope, step, one)
                                                    : envelope.recipients[one].address.domain().to_string();
      if (!parts_.routes.of(hop).release) return hop;
      if (collecting.empty()) collecting = std::move(hop);
    }
  }
  if (!collecting.empty() && other == nullptr) return collecting;
  const std::uint32_t one = other == nullptr || other->recipients.empty() ? 0 : other->recipients.front();
  return envelope.recipients.empty() ? std::string() : envelope.recipients[one].address.domain().to_string();
}

void Shard::take(QueuedMessage message) {
  if (discard_at_once(message)) return;
  auto [item, fresh] = items_.insert(message.id);
  if (!fresh) return;  // recovery has seen it too
  parts_.metrics.waiting.add(home_.index());
  if (hooked(Stage::kQueued)) tell_queued(message);
  item->destination = destinations_.by_name(first_hop(message.envelope, message.plan));
  item->sender = sender_hash(message.envelope.sender);
  const Destination& destination = destinations_.at(item->destination);
  const bool collected = destination.collects() && !destination.open;
  const auto relays = [](const PlanStep& step) { return step.kind == PlanStep::Kind::kRelay; };
  item->asks = hooked(Stage::kRoute) && std::ranges::any_of(message.plan.steps, relays);  // load() asks
  if (hot_ < parts_.settings.hot_messages && !collected && !item->asks) {
    auto active = std::make_unique<Active>();
    active->recipients.resize(message.envelope.recipients.size());
    active->envelope = std::move(message.envelope);
    active->plan = std::move(message.plan);
    active->size = message.size;
    active->accepted = message.accepted;
    active->arrival = message.id.arrival();
    set_active(*item, std::move(active));
  }
  make_ready(*item);
}

void Shard::adopt(const std::vector<Seed>& seeds) {
  for (const Seed& seed : seeds) adopt_one(seed);
}

void Shard::adopt_one(const Seed& seed) {
  if (seed.placed) stuck_.insert(seed.id.value());
  if (seed.held) return;
  auto [item, fresh] = items_.insert(seed.id);
  if (!fresh) return static_cast<void>(renew(seed));
  parts_.metrics.waiting.add(home_.index());
  item->destination = destinations_.by_hash(static_cast<std::uint32_t>(seed.label >> 32));
  item->sender = static_cast<std::uint32_t>(seed.label);
  item->suspect = seed.suspect;
  item->forced = seed.forced;
  item->expire = seed.expire;
  item->unsettled = seed.unsettled;
  if (seed.due > home_.wall() && !seed.forced)
    wait_until(*item, seed.due);
  else
    make_ready(*item);
}

void Shard::set_active(Item& item, std::unique_ptr<Active> active) {
  if (item.active)
    hot_ -= item.active->weight();
  else
    ++destinations_.at(item.destination).hot;
  item.active = std::move(active);
  hot_ += item.active->weight();
}

void Shard::clear_active(Item& item) {
  if (item.active) {
    hot_ -= item.active->weight();
    --destinations_.at(item.destination).hot;
    collected_out(item.destination);
    unpark_cold(item.destination);
  }
  item.active.reset();
}

void Shard::erase(Item& item) {
  clear_active(item);
  if (suspect_ == &item) suspect_ = nullptr;
  parts_.metrics.waiting.sub(home_.index());
  destinations_.release(item.destination);
  items_.erase(item);
  schedule_dispatch();
}

// --- turns ----------------------------------------------------------------------------------------------------------

void Shard::make_ready(Item& item) {
  item.state = Item::State::kReady;
  schedule_dispatch();
  if (!item.active) {
    if (item.suspect) return suspects_.push({}, item);
    (item.asks ? asking_ : cold_).push(item.destination, item.sender, 0, item);
    return queued(item.destination);
  }
  if (!std::exchange(item.active->expanded, true)) expand(item);
  if (const auto number = next_step(item)) {
    ++item.active->open;
    if (suspect_ == &item) return start(item);
    return ready_.push(item.active->plan.steps[*number].account, item);
  }
  if (item.active->open == 0) {
    item.state = Item::State::kRunning;
    settle(item);
  }
}

void Shard::schedule_dispatch() {
  if (std::exchange(turn_posted_, true)) return;
  home_.post(turn_);  // after the present callback: what arrives together is ordered first
}

Item* Shard::next_cold() {
  Item* item = cold_.pop([this](std::uint32_t destination) { return may_read(destination); });
  if (item != nullptr) --destinations_.at(item->destination).queued;
  return item;
}

/// One whose route hooks are asked for: only while they have room, so that slow ones keep nothing else waiting.
Item* Shard::next_asking() {
  if (hooks_running_ >= parts_.settings.hook_concurrency || !may_load()) return nullptr;
  Item* item = asking_.pop([this](std::uint32_t destination) { return may_read(destination); });
  if (item != nullptr) --destinations_.at(item->destination).queued;
  return item;
}

Item* Shard::next_local() {
  if (suspect_ == nullptr && !suspects_.empty()) return suspects_.pop();
  if (quiet_) return nullptr;
  cold_first_ = !cold_first_;
  if (may_load() && (cold_first_ || ready_.empty()))
    if (Item* item = next_cold()) return item;
  return ready_.pop();
}

void Shard::dispatch() {
  turn_posted_ = false;
  while (!draining_ && local_running_ < parts_.settings.local_concurrency) {
    Item* item = next_local();
    if (item == nullptr) break;
    start(*item);
  }
  while (!draining_ && !quiet_) {
    Item* item = next_asking();
    if (item == nullptr) break;
    start(*item);
  }
  while (!draining_ && !quiet_ && remote_running_ < parts_.settings.remote_concurrency) {
    Part* part = remote_.pop([this](std::uint32_t destination) { return may_start(destination); });
    if (part == nullptr) break;
    start_part(*part);
  }
}

void Shard::begin_running(Item& item) {
  Active& active = *item.active;
  item.state = Item::State::kRunning;
  if (active.running++ == 0) active.handling = parts_.spool.handling(home_, item.id, quiet_ && suspect_ == &item);
}

void Shard::start(Item& item) {
  if (!item.active) {
    if (item.dropped) return erase(item);
    if (skip_closed(item)) return;
    return start_load(item);
  }
  Active& active = *item.active;
  if (item.stopped()) {  // what is under way is its last
    active.cursor = active.plan.steps.size();
    if (--active.open == 0) settle(item);
    return;
  }
  const std::size_t number = active.cursor++;
  begin_running(item);
  ++local_running_;
  nursery_.spawn(run_step(&item, number));
  if (active.cursor < active.plan.steps.size()) make_ready(item);
}

void Shard::start_part(Part& part) {
  Item& item = *part.item;
  Destination& destination = destinations_.at(part.destination);
  --destination.queued;
  if (item.stopped()) return end_part(part);
  if (destination.closed_until > home_.wall() && !item.forced) {
    defer(item, part.who,
          {.reply = {451, "4.4.1", destination.last_reply},
           .host = {},
           .note = destination.last_reply,
           .retry_after = std::chrono::duration_cast<Duration>(destination.closed_until - home_.wall()),
           .attempted = false},
          *destination.route);
    return end_part(part);
  }
  begin_running(item);
  ++remote_running_;
  ++destination.running;
  part.unproven = !destination.proven;
  if (part.unproven) ++unproven_running_;
  nursery_.spawn(run_part(&part));
}

}  // namespace postern::queue
