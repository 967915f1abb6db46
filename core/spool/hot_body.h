// Large bodies that stay in memory after they were written, so that their first reader need not fetch them from the
// disk.
//
// A draft keeps the chunks that it wrote, as long as the bound and its share of it allow, and hands them to its body
// file when all of them are on the disk. Readers share them; what they hold is what was checksummed on its way to the
// disk, so that it is not checksummed again. A body leaves when its message is gone, or when newer ones need its room.
//
// Thread: a HotBody is filled by its draft's worker and disk jobs in turn, and never changed once it was handed over;
// which bodies are hot is guarded by the mutex of BodyFiles, their octets are counted by an atomic.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "core/spool/chunk_pool.h"

namespace postern::spool {

/// Octets that hot bodies have, and may have.
class HotRoom {
 public:
  explicit HotRoom(std::uint64_t limit) : limit_(limit) {}
  bool take(std::uint64_t octets) {
    if (taken_.fetch_add(octets, std::memory_order_relaxed) + octets <= limit_) return true;
    give(octets);
    return false;
  }
  void give(std::uint64_t octets) { taken_.fetch_sub(octets, std::memory_order_relaxed); }
  std::uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  std::uint64_t limit() const { return limit_; }
  std::uint64_t share() const { return std::min(limit_ / kBodies, kLargest); }  ///< of one body

 private:
  static constexpr std::uint64_t kBodies = 16;  ///< there is room for at least so many
  /// Octets. A body is not known to be larger before so much of it is here; what a message costs in memory must not
  /// depend on how large it is in the end.
  static constexpr std::uint64_t kLargest = 1280 << 10;
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> taken_{0};
};

/// One body, in chunks.
class HotBody {
 public:
  explicit HotBody(std::shared_ptr<HotRoom> room) : room_(std::move(room)) {}
  ~HotBody() { room_->give(taken_); }
  HotBody(const HotBody&) = delete;
  HotBody& operator=(const HotBody&) = delete;

  /// Takes the chunks over. False, and nothing taken, when there is no room for them.
  bool keep(std::vector<Chunk>& chunks) {
    std::uint64_t more = 0;
    for (const Chunk& chunk : chunks) more += chunk.capacity;
    if (taken_ + more > room_->share() || !room_->take(more)) return false;
    taken_ += more;
    chunks_.insert(chunks_.end(), std::make_move_iterator(chunks.begin()), std::make_move_iterator(chunks.end()));
    chunks.clear();
    return true;
  }
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  std::shared_ptr<HotRoom> room_;
  std::uint64_t taken_ = 0;
  std::vector<Chunk> chunks_;
};

}  // namespace postern::spool
