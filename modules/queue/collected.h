// Collected: how many messages all shards together have collected for a destination, so that "50 messages" are 50 of
// the server's, whichever workers took them.
//
// Counts are kept by the destination's hash in a table of fixed size, without locks; two destinations that share a
// place let their mail go a little earlier than they have to. A shard takes back what it added when it releases.
//
// Owner: the QueueService. Thread: any worker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

namespace postern::queue {

class Shard;

class Collected {
 public:
  static constexpr std::size_t kPlaces = 4096;

  /// One message more; how many there are now.
  std::uint32_t add(std::uint32_t hash) { return place(hash).fetch_add(1, std::memory_order_relaxed) + 1; }
  void take_back(std::uint32_t hash, std::uint32_t count) { place(hash).fetch_sub(count, std::memory_order_relaxed); }
  /// Has the other shards release theirs. On the worker of `from`.
  std::function<void(Shard& from, std::uint32_t hash)> release_others;

 private:
  std::atomic<std::uint32_t>& place(std::uint32_t hash) { return counts_[hash % kPlaces]; }
  std::array<std::atomic<std::uint32_t>, kPlaces> counts_{};
};

}  // namespace postern::queue
