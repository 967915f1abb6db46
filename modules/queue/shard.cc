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
      held(metrics.counter("postern_queue_held_total", "Messages set aside for an administrator.")),
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
      schedule_{parts_.settings.retry, parts_.settings.give_up_after},
      nursery_(home),
      background_(home) {
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

void Shard::take(QueuedMessage message) {
  if (discard_at_once(message)) return;
  auto [at, fresh] = items_.try_emplace(message.id.value());
  if (!fresh) return;  // recovery has seen it too
  parts_.metrics.waiting.add(home_.index());
  Item& item = at->second;
  item.id = message.id;
  if (hot_ < parts_.settings.hot_messages) {
    auto active = std::make_unique<Active>();
    active->recipients.resize(message.envelope.recipients.size());
    active->envelope = std::move(message.envelope);
    active->plan = std::move(message.plan);
    active->size = message.size;
    active->accepted = message.accepted;
    set_active(item, std::move(active));
  }
  make_ready(item);
}

void Shard::adopt(const std::vector<Seed>& seeds) {
  for (const Seed& seed : seeds) {
    if (seed.placed) stuck_.insert(seed.id.value());
    if (seed.held) continue;
    auto [at, fresh] = items_.try_emplace(seed.id.value());
    if (!fresh) continue;
    parts_.metrics.waiting.add(home_.index());
    at->second.id = seed.id;
    at->second.suspect = seed.suspect;
    at->second.forced = seed.forced;
    if (seed.due > home_.wall())
      wait_until(at->second, seed.due);
    else
      make_ready(at->second);
  }
}

void Shard::set_active(Item& item, std::unique_ptr<Active> active) {
  if (!item.active) ++hot_;
  item.active = std::move(active);
}

void Shard::clear_active(Item& item) {
  if (item.active) --hot_;
  item.active.reset();
}

void Shard::erase(Item& item) {
  clear_active(item);
  if (item.suspect) suspect_running_ = false;
  parts_.metrics.waiting.sub(home_.index());
  items_.erase(item.id.value());
  schedule_dispatch();
}

// --- turns ----------------------------------------------------------------------------------------------------------

void Shard::make_ready(Item& item) {
  item.state = Item::State::kReady;
  schedule_dispatch();
  if (!item.active) return (item.suspect ? suspects_ : cold_).push({}, item);
  const auto number = next_step(item);
  if (!number) {
    item.state = Item::State::kRunning;
    if (item.active->running == 0) settle(item);
    return;
  }
  const PlanStep& step = item.active->plan.steps[*number];
  (step.kind == PlanStep::Kind::kRelay ? ready_remote_ : ready_).push(step.account, item);
}

void Shard::schedule_dispatch() {
  if (std::exchange(turn_posted_, true)) return;
  home_.post(turn_);  // after the present callback: what arrives together is ordered first
}

Item* Shard::next_local() {
  cold_first_ = !cold_first_;
  if (!suspect_running_ && !suspects_.empty()) return suspects_.pop();
  const bool cold = may_load() && !cold_.empty() && (cold_first_ || ready_.empty());
  return cold ? cold_.pop() : ready_.pop();
}

void Shard::dispatch() {
  turn_posted_ = false;
  while (!draining_ && local_running_ < parts_.settings.local_concurrency) {
    Item* item = next_local();
    if (item == nullptr) break;
    start(*item);
  }
  while (!draining_ && remote_running_ < parts_.settings.remote_concurrency) {
    Item* item = ready_remote_.pop();
    if (item == nullptr) break;
    start(*item);
  }
}

void Shard::start_load(Item& item) {
  item.state = Item::State::kRunning;
  suspect_running_ = suspect_running_ || item.suspect;
  ++local_running_;
  nursery_.spawn(load(&item));
}

void Shard::start(Item& item) {
  if (item.dropped && (!item.active || item.active->running == 0)) return erase(item);
  if (!item.active) return start_load(item);
  Active& active = *item.active;
  if (item.dropped) {  // the step under way is its last
    active.cursor = active.plan.steps.size();
    return;
  }
  const std::size_t number = active.cursor++;
  if (active.running++ == 0) active.handling = parts_.spool.handling(home_, item.id);
  item.state = Item::State::kRunning;
  ++(active.plan.steps[number].kind == PlanStep::Kind::kRelay ? remote_running_ : local_running_);
  nursery_.spawn(run_step(&item, number));
  if (active.cursor < active.plan.steps.size()) make_ready(item);
}

// --- waiting --------------------------------------------------------------------------------------------------------

void Shard::wait_until(Item& item, WallTime due) {
  if (item.suspect) suspect_running_ = false;
  item.suspect = false;  // it came through a turn, or has not had one yet and gets it alone enough
  clear_active(item);
  item.state = Item::State::kWaiting;
  item.forced = false;
  item.due = due;
  waiting_.emplace(due, item.id.value());
  arm_timer();
  schedule_dispatch();  // another may have waited for this one's place
}

void Shard::arm_timer() {
  home_.disarm(*this);
  if (waiting_.empty() || draining_) return;
  const auto wait = std::max<Duration>(waiting_.top().first - home_.wall(), 0ns);
  constexpr Duration kLongest = 1h;  // a wall clock that is set is noticed within it
  home_.arm(*this, home_.now() + std::min(wait, kLongest));
}

void Shard::fire() {
  const WallTime now = home_.wall();
  while (!waiting_.empty() && waiting_.top().first <= now) {
    const auto [due, id] = waiting_.top();
    waiting_.pop();
    const auto found = items_.find(id);
    if (found == items_.end()) continue;
    Item& item = found->second;
    if (item.state != Item::State::kWaiting || item.due != due) continue;
    if (item.dropped)
      erase(item);
    else
      make_ready(item);
  }
  arm_timer();
}

// --- what others ask for --------------------------------------------------------------------------------------------

std::size_t Shard::retry(std::optional<MessageId> id) {
  std::vector<Item*> due;
  for (auto& [number, item] : items_)
    if (item.state == Item::State::kWaiting && !item.dropped && (!id || item.id == *id)) due.push_back(&item);
  for (Item* item : due) {
    item->forced = true;
    make_ready(*item);
  }
  return due.size();
}

Shard::Known Shard::known(MessageId id) const {
  const auto found = items_.find(id.value());
  if (found == items_.end() || found->second.dropped) return Known::kNo;
  const Item& item = found->second;
  return item.state == Item::State::kRunning || (item.active && item.active->running > 0) ? Known::kRunning
                                                                                          : Known::kWaiting;
}

void Shard::drop(MessageId id) {
  stuck_.erase(id.value());
  const auto found = items_.find(id.value());
  if (found == items_.end()) return;
  if (found->second.state == Item::State::kWaiting) return erase(found->second);
  found->second.dropped = true;
}

Task<void> Shard::drain(Deadline deadline) {
  draining_ = true;
  home_.disarm(*this);
  background_.cancel();
  co_await background_.join();
  if (co_await nursery_.join_until(deadline)) co_return;
  log_.warn("queue.drain_cut", {{"steps", nursery_.size()}});
  nursery_.cancel();
  co_await nursery_.join();
}

}  // namespace postern::queue
