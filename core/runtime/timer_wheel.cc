#include "core/runtime/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace postern {
namespace {

constexpr std::int64_t kTickNanoseconds = 1'000'000;

}  // namespace

std::uint64_t TimerWheel::tick_at_or_after(Instant when) const {
  if (when <= origin_) return 0;
  const auto elapsed = static_cast<std::uint64_t>((when - origin_).count());
  return (elapsed + kTickNanoseconds - 1) / kTickNanoseconds;
}

void TimerWheel::arm(TimerNode& timer, Instant when) {
  if (timer.armed()) unlink(timer);
  timer.tick_ = std::max(tick_at_or_after(when), firing_ ? now_ + 1 : now_);
  place(timer);
}

void TimerWheel::disarm(TimerNode& timer) {
  if (timer.armed()) unlink(timer);
}

void TimerWheel::place(TimerNode& timer) {
  const std::uint64_t differs = timer.tick_ ^ now_;
  if (differs > kFarMask) return link(timer, kFar);
  const unsigned highest = 63U - static_cast<unsigned>(std::countl_zero(differs | 1));
  const unsigned level = highest / kBits;
  const auto slot = static_cast<unsigned>(timer.tick_ >> (level * kBits)) % kSlots;
  used_[level] |= std::uint64_t{1} << slot;
  link(timer, level * kSlots + slot);
}

void TimerWheel::link(TimerNode& timer, unsigned list) {
  timer.slot_ = static_cast<std::uint16_t>(list);
  TimerNode*& head = heads_[list];
  if (head == nullptr) {
    head = timer.next_ = timer.prev_ = &timer;
  } else {
    timer.next_ = head;
    timer.prev_ = head->prev_;
    head->prev_->next_ = &timer;
    head->prev_ = &timer;
  }
  ++armed_;
}

void TimerWheel::unlink(TimerNode& timer) {
  const unsigned list = timer.slot_;
  TimerNode*& head = heads_[list];
  if (timer.next_ == &timer) {
    head = nullptr;
    if (list < kFar) used_[list / kSlots] &= ~(std::uint64_t{1} << (list % kSlots));
  } else {
    timer.prev_->next_ = timer.next_;
    timer.next_->prev_ = timer.prev_;
    if (head == &timer) head = timer.next_;
  }
  timer.next_ = timer.prev_ = nullptr;
  --armed_;
}

std::optional<TimerWheel::Next> TimerWheel::next_list() const {
  // A lower level always ends before the next slot of a higher one begins, so the lowest used level is the first.
  for (unsigned level = 0; level < kLevels; ++level) {
    if (used_[level] == 0) continue;
    const auto slot = static_cast<unsigned>(std::countr_zero(used_[level]));
    const std::uint64_t above = now_ >> ((level + 1) * kBits) << ((level + 1) * kBits);
    return Next{above | (std::uint64_t{slot} << (level * kBits)), level * kSlots + slot};
  }
  if (heads_[kFar] != nullptr) return Next{(now_ | kFarMask) + 1, kFar};
  return std::nullopt;
}

std::optional<Instant> TimerWheel::next_expiry() const {
  const auto next = next_list();
  if (!next) return std::nullopt;
  return origin_ + Duration(static_cast<std::int64_t>(next->tick) * kTickNanoseconds);
}

void TimerWheel::advance(Instant now) {
  if (now < origin_ || firing_) return;
  const std::uint64_t target = static_cast<std::uint64_t>((now - origin_).count()) / kTickNanoseconds;
  while (const auto next = next_list()) {
    if (next->tick > target) break;
    now_ = std::max(now_, next->tick);
    if (next->list < kSlots) {
      fire_list(next->list);
    } else {
      move_down(next->list);
    }
  }
  now_ = std::max(now_, target);
}

void TimerWheel::move_down(unsigned list) {
  // Detached first: what is still far away comes back to the same list.
  TimerNode* first = heads_[list];
  std::size_t count = 0;
  for (TimerNode* node = first; node != nullptr; node = node->next_ == first ? nullptr : node->next_) ++count;
  for (; count > 0; --count) {
    TimerNode& timer = *heads_[list];
    unlink(timer);
    place(timer);
  }
}

void TimerWheel::fire_list(unsigned list) {
  while (heads_[list] != nullptr) {
    TimerNode& timer = *heads_[list];
    unlink(timer);
    link(timer, kDue);
  }
  firing_ = true;
  while (heads_[kDue] != nullptr) {
    TimerNode& timer = *heads_[kDue];
    unlink(timer);
    timer.fire();
  }
  firing_ = false;
}

}  // namespace postern
