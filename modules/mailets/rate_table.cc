#include "rate_table.h"

#include <algorithm>

#include "postern/hash.h"

namespace postern::mailets {
namespace {

constexpr std::uint64_t kFree = 0, kBusy = 1;         // tags
constexpr std::uint64_t kWindowMask = (1 << 24) - 1;  // windows are numbered in a ring of so many
constexpr std::uint64_t kCountMask = (1 << 20) - 1;
constexpr std::uint64_t kClockLag = 2;  // windows that workers' clocks may lie apart
constexpr int kClaims = 4;              // tries to get a slot before a key goes uncounted

/// What a slot knows, seen from a window.
struct Counts {
  std::uint64_t window, before, present;

  static Counts unpack(std::uint64_t packed, std::uint64_t window) {
    const Counts kept{packed >> 40, packed >> 20 & kCountMask, packed & kCountMask};
    const std::uint64_t age = (window - kept.window) & kWindowMask;
    if (age == 0 || age > kWindowMask - kClockLag) return kept;  // a clock behind ours put it into a later window
    return {window, age == 1 ? kept.present : 0, 0};
  }
  std::uint64_t pack() const { return window << 40 | before << 20 | present; }
  bool over() const { return before == 0 && present == 0; }
};

}  // namespace

RateTable::RateTable(Duration window, std::uint64_t seed)
    : window_micros_(static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(std::clamp(window, kMinWindow, kMaxWindow)).count())),
      seed_(seed),
      buckets_(kSlots / kWays) {}

RateTable::Slot* RateTable::find(std::uint64_t tag, std::uint64_t window) {
  Bucket& bucket = buckets_[(tag >> 32) % buckets_.size()];
  for (int claim = 0; claim < kClaims; ++claim) {
    Slot* quietest = nullptr;
    std::uint64_t quietest_tag = kFree, least = ~std::uint64_t{0};
    for (Slot& slot : bucket) {
      const std::uint64_t holder = slot.tag.load(std::memory_order_acquire);
      if (holder == tag) return &slot;
      if (holder == kBusy) continue;
      const Counts counts = Counts::unpack(slot.counts.load(std::memory_order_relaxed), window);
      const std::uint64_t weight = holder == kFree ? 0 : counts.over() ? 1 : 2 + counts.before + counts.present;
      if (weight < least) least = weight, quietest = &slot, quietest_tag = holder;
    }
    if (!quietest || !quietest->tag.compare_exchange_strong(quietest_tag, kBusy, std::memory_order_acquire)) continue;
    quietest->counts.store(Counts{window, 0, 0}.pack(), std::memory_order_release);
    quietest->tag.store(tag, std::memory_order_release);
    return quietest;
  }
  return nullptr;
}

RateTable::Answer RateTable::take(std::string_view key, std::uint32_t n, std::uint32_t limit, WallTime now) {
  const auto micros = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const std::uint64_t window = micros / window_micros_ & kWindowMask;
  const std::uint64_t left = window_micros_ - micros % window_micros_;
  const std::uint64_t hash = hash_bytes(key, seed_);
  const std::uint64_t tag = hash > kBusy ? hash : hash + kBusy + 1;
  Slot* slot = find(tag, window);
  while (true) {
    if (!slot) return {true, n};  // all its neighbours are being claimed in this very moment
    std::uint64_t packed = slot->counts.load(std::memory_order_acquire);
    if (slot->tag.load(std::memory_order_acquire) != tag) {  // another key took the place meanwhile
      slot = find(tag, window);
      continue;
    }
    Counts counts = Counts::unpack(packed, window);
    const std::uint64_t rate = counts.present + counts.before * left / window_micros_;
    if (rate + n > limit) return {false, static_cast<std::uint32_t>(rate)};
    counts.present = std::min<std::uint64_t>(counts.present + n, kCountMask);
    if (slot->counts.compare_exchange_strong(packed, counts.pack(), std::memory_order_acq_rel))
      return {true, static_cast<std::uint32_t>(rate + n)};
  }
}

}  // namespace postern::mailets
