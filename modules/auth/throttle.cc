#include "throttle.h"

#include <algorithm>

namespace postern::auth {

namespace {

Duration delay_after(unsigned failures, const ThrottlePolicy& policy) {
  if (failures < policy.free_failures || failures == 0) return {};
  unsigned doublings = std::min(failures - policy.free_failures, 20U);
  return std::min(policy.first_delay * (std::int64_t{1} << doublings), policy.max_delay);
}

}  // namespace

Throttle::Decision Throttle::admit(std::string_view key, const ThrottlePolicy& policy, Instant now) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return {};
  Entry& entry = *found->second;
  if (now - entry.last > policy.window) {
    forget(found->second);
    return {};
  }
  if (policy.block_after && entry.failures >= policy.block_after) return {policy.max_delay, true};
  Duration delay = delay_after(entry.failures, policy);
  if (delay <= Duration{}) return {};
  Instant turn = std::max(now, entry.next) + delay;
  if (turn - now > policy.max_delay) return {policy.max_delay, true};
  entry.next = turn;
  return {turn - now, false};
}

void Throttle::failed(std::string_view key, const ThrottlePolicy& policy, Instant now) {
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    Entry& entry = *found->second;
    entry.failures = now - entry.last > policy.window ? 1 : entry.failures + 1;
    entry.last = now;
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  while (!entries_.empty() && entries_.size() >= policy.max_keys) forget(std::prev(entries_.end()));
  entries_.push_front({.key = std::string(key), .failures = 1, .last = now, .next = now});
  by_key_.emplace(entries_.front().key, entries_.begin());
}

void Throttle::succeeded(std::string_view key) {
  if (auto found = by_key_.find(key); found != by_key_.end()) forget(found->second);
}

void Throttle::forget(Entries::iterator entry) {
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace postern::auth
