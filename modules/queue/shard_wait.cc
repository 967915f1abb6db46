// What waits: messages for their next attempt, destinations that are closed, collected or not yet proven; and what
// administrators and senders ask for meanwhile.
#include <algorithm>
#include <utility>

#include "shard.h"

namespace postern::queue {

// --- messages -------------------------------------------------------------------------------------------------------

void Shard::wait_until(Item& item, WallTime due) {
  if (suspect_ == &item) suspect_ = nullptr;
  item.suspect = false;  // it came through a turn, or has not had one yet and gets it alone enough
  item.unsettled = item.unsettled || (item.active && item.active->noted);
  clear_active(item);
  item.state = Item::State::kWaiting;
  item.forced = false;
  item.due = due;
  const bool first = waiting_.empty() || due < waiting_.top().first;
  waiting_.emplace(due, item.id.value());
  if (first) arm_timer();
  schedule_dispatch();  // another may have waited for this one's place
}

void Shard::arm_timer() {
  home_.disarm(*this);
  if (draining_) return;
  WallTime first = waiting_.empty() ? WallTime::max() : waiting_.top().first;
  for (const auto& [when, destination] : releases_) first = std::min(first, when);
  if (first == WallTime::max()) return;
  constexpr Duration kLongest = 1h;  // a wall clock that is set is noticed within it
  const auto wait = std::clamp<Duration>(std::min(first, later(home_.wall(), kLongest)) - home_.wall(), 0ns, kLongest);
  home_.arm(*this, home_.now() + wait);
}

void Shard::fire() {
  const WallTime now = home_.wall();
  fire_releases(now);
  while (!waiting_.empty() && waiting_.top().first <= now) {
    const auto [due, id] = waiting_.top();
    waiting_.pop();
    Item* item = items_.find(MessageId(id));
    if (item == nullptr || item->state != Item::State::kWaiting || item->due != due) continue;
    make_ready(*item);
  }
  arm_timer();
}

// --- destinations ---------------------------------------------------------------------------------------------------

/// Whether one more of its parts may be begun.
bool Shard::may_start(std::uint32_t number) {
  Destination& destination = destinations_.at(number);
  if (destination.collects() && !destination.open) return false;
  if (destination.running >= destination.limit()) return false;
  if (destination.proven || unproven_running_ < (parts_.settings.remote_concurrency + 1) / 2) return true;
  if (!std::exchange(destination.waits_for_proof, true)) unproven_parked_.push_back(number);
  return false;
}

/// Whether one more of its messages may be read from the spool. Those of a slow destination must not fill the memory.
bool Shard::may_read(std::uint32_t number) {
  const Destination& destination = destinations_.at(number);
  if (destination.collects() && !destination.open) return false;
  return !destination.remote || destination.hot < 2 * std::max(destination.window, 2U);
}

void Shard::unpark_cold(std::uint32_t number) {
  cold_.unpark(number);
  asking_.unpark(number);
}

/// An entry may be out of date: its destination was let go on by the end of a part of its own. That one takes no room,
/// or who stands behind it would wait for the end of an unproven part when none is under way any more.
void Shard::unpark_unproven() {
  const unsigned most = (parts_.settings.remote_concurrency + 1) / 2;
  unsigned room = most - std::min(most, unproven_running_);
  while (room > 0 && !unproven_parked_.empty()) {
    const std::uint32_t number = unproven_parked_.front();
    unproven_parked_.pop_front();
    destinations_.at(number).waits_for_proof = false;
    if (remote_.unpark(number)) --room;
  }
}

/// A message of a destination that is closed goes on waiting without being read, unless its sender has to be told.
bool Shard::skip_closed(Item& item) {
  const Destination& destination = destinations_.at(item.destination);
  const WallTime now = home_.wall();
  if (destination.closed_until <= now || item.forced || item.suspect || item.expire) return false;
  const Milestones when = destination.route->schedule.milestones(item.id.arrival());
  if (now >= when.expiry || (item.due <= when.warn && now >= when.warn)) return false;
  const Duration wait = destination.closed_until - now;
  const auto spread = static_cast<std::uint64_t>(std::max<std::int64_t>(wait.count() / 5, 1));
  WallTime due = later(destination.closed_until, Duration(static_cast<std::int64_t>(home_.random() % spread)));
  if (now < when.warn) due = std::min(due, when.warn);
  wait_until(item, std::min(due, when.expiry));
  return true;
}

/// One more message or part of it stands in line.
void Shard::queued(std::uint32_t number) {
  Destination& destination = destinations_.at(number);
  ++destination.queued;
  if (!destination.collects() || destination.open) return;
  const ReleaseRule& rule = *destination.route->release;
  if (rule.messages) {
    ++destination.collected;
    if (parts_.collected.add(destination.hash) >= *rule.messages) return release_everywhere(number);
  }
  if (!rule.every || destination.release_at != WallTime{}) return;
  destination.release_at = later(home_.wall(), *rule.every);
  releases_.emplace_back(destination.release_at, number);
  arm_timer();
}

void Shard::release_collected(std::uint32_t number) {
  Destination& destination = destinations_.at(number);
  destination.release_at = {};
  parts_.collected.take_back(destination.hash, std::exchange(destination.collected, 0));
  if (destination.queued == 0 && destination.hot == 0 && destination.loading == 0)
    return;  // what comes later is collected again
  log_.info("queue.collected_released", {{"destination", destination.name}, {"messages", destination.queued}});
  destination.open = true;
  unpark_cold(number);
  remote_.unpark(number);
  schedule_dispatch();
}

void Shard::release_everywhere(std::uint32_t number) {
  const std::uint32_t hash = destinations_.at(number).hash;
  release_collected(number);
  if (parts_.collected.release_others) parts_.collected.release_others(*this, hash);
}

void Shard::release_too(std::uint32_t hash) {
  const std::uint32_t* number = destinations_.find(hash);
  if (number == nullptr) return;
  const Destination& destination = destinations_.at(*number);
  if (destination.collects() && !destination.open) release_collected(*number);
}

/// Once all that was collected is out, what comes later is collected again. A message counts (hot) for its first
/// destination only; for the others, its parts do.
void Shard::collected_out(std::uint32_t number) {
  Destination& destination = destinations_.at(number);
  if (destination.queued == 0 && destination.running == 0 && destination.hot == 0 && destination.loading == 0)
    destination.open = false;
}

void Shard::fire_releases(WallTime now) {
  const auto due = std::ranges::partition(releases_, [now](const auto& one) { return one.first > now; });
  const std::vector<std::pair<WallTime, std::uint32_t>> ready(due.begin(), due.end());
  releases_.erase(due.begin(), due.end());
  for (const auto& [when, number] : ready)
    if (destinations_.at(number).release_at == when && destinations_.at(number).collects()) release_everywhere(number);
}

// --- what others ask for --------------------------------------------------------------------------------------------

bool Shard::retry(MessageId id) {
  Item* item = items_.find(id);
  if (item == nullptr || item->dropped || item->state == Item::State::kRunning) return false;
  const std::uint32_t destination = item->destination;
  item->forced = true;
  if (item->state == Item::State::kWaiting) make_ready(*item);
  if (destinations_.at(destination).collects()) release_collected(destination);
  return true;
}

bool Shard::retry_some(std::uint32_t* from, std::uint32_t limit, std::optional<std::uint32_t> destination,
                       std::size_t* count) {
  const std::uint32_t end = std::min(items_.numbers(), *from + limit);
  for (; *from < end; ++*from) {
    Item* item = items_.at(*from);
    if (item == nullptr || item->dropped || item->state != Item::State::kWaiting) continue;
    if (destination && item->destination != *destination) continue;
    item->forced = true;
    make_ready(*item);
    ++*count;
  }
  return end == items_.numbers();
}

Shard::Known Shard::known(MessageId id) {
  take_arrivals();  // what was accepted before is known, here and below
  const Item* item = items_.find(id);
  if (item == nullptr || item->dropped) return Known::kNo;
  return item->state == Item::State::kRunning || (item->active && item->active->running > 0) ? Known::kRunning
                                                                                             : Known::kWaiting;
}

void Shard::drop(MessageId id) {
  take_arrivals();
  stuck_.erase(id.value());
  Item* item = items_.find(id);
  if (item == nullptr) return;
  if (item->state == Item::State::kWaiting) return erase(*item);
  item->dropped = true;
}

bool Shard::renew(const Seed& seed) {
  take_arrivals();
  Item* item = items_.find(seed.id);
  if (item == nullptr) return false;
  item->dropped = false;  // held, and released before its turn came
  item->forced = item->forced || seed.forced;
  item->expire = item->expire || seed.expire;
  if (item->state == Item::State::kWaiting)
    make_ready(*item);
  else if (item->active || item->state == Item::State::kRunning)
    item->again = true;
  return true;
}

Shard::Recall Shard::recall(MessageId id) {
  take_arrivals();
  Recall out;
  Item* item = items_.find(id);
  if (item == nullptr) return out;
  const bool running = item->active && item->active->running > 0;
  if (item->dropped && !running) return out;  // on hold; but a hold ends no attempt that is under way
  if (!running) {
    out.known = Known::kWaiting;
    drop(id);
    return out;
  }
  Active& active = *item->active;
  out.known = Known::kRunning;
  item->recalled = true;
  out.late = active.beyond;
  for (Sending& one : active.sending)
    if (!one.gate.close()) out.late.insert(out.late.end(), one.who.begin(), one.who.end());
  for (std::uint32_t one = 0; one < active.recipients.size(); ++one)
    if (active.recipients[one].served) out.late.push_back(one);  // only its report is still to come
  std::ranges::sort(out.late);
  out.late.erase(std::ranges::unique(out.late).begin(), out.late.end());
  std::erase_if(out.late, [&](std::uint32_t one) { return active.done(one); });
  for (std::uint32_t one = 0; one < active.recipients.size(); ++one) {
    if (active.done(one) || std::ranges::binary_search(out.late, one)) continue;
    out.taken.push_back(one);
    active.recipients[one].state = RecipientState::kDone;  // whatever is still said of it does not count
  }
  out.whole = out.late.empty();
  return out;
}

std::optional<std::uint32_t> Shard::request(std::string_view name, std::size_t* count) {
  const std::uint32_t* number = destinations_.find(name);
  if (number == nullptr) return std::nullopt;
  Destination& destination = destinations_.at(*number);
  destination.closed_until = {};
  if (destination.collects()) {
    *count += destination.queued + destination.loading;
    release_collected(*number);
  }
  return *number;
}

// --- suspects -------------------------------------------------------------------------------------------------------

void Shard::set_quiet(bool quiet) {
  quiet_ = quiet;
  schedule_dispatch();
}

bool Shard::trying(bool end) {
  if (suspect_ != nullptr && end && suspect_->active && suspect_->active->running > 0)
    suspect_->active->handling = parts_.spool.handling(home_, suspect_->id);  // the slot says alone no more
  return suspect_ != nullptr || !suspects_.empty();
}

// --- the end --------------------------------------------------------------------------------------------------------

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
