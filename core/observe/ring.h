// A ring of octets between one writer and one reader: whole lines go in, batches come out. No locks.
//
// Thread: put() on the writer's thread, readable()/consume() on the reader's.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace postern {

class LogRing {
 public:
  explicit LogRing(std::size_t size) : size_(size), mask_(size - 1), octets_(std::make_unique<char[]>(size)) {}

  std::size_t size() const { return size_; }

  /// Takes a line, unless that would fill more than `limit` octets of the ring. One store publishes it whole.
  bool put(std::string_view line, std::size_t limit) {
    std::size_t head = head_.load(std::memory_order_relaxed);
    // The reader's position is asked for only when the last one known does not suffice.
    if (head + line.size() - known_tail_ > limit) {
      known_tail_ = tail_.load(std::memory_order_acquire);
      if (head + line.size() - known_tail_ > limit) return false;
    }
    std::size_t at = head & mask_;
    std::size_t first = line.size() < size_ - at ? line.size() : size_ - at;
    std::memcpy(octets_.get() + at, line.data(), first);
    std::memcpy(octets_.get(), line.data() + first, line.size() - first);
    head_.store(head + line.size(), std::memory_order_release);
    return true;
  }

  /// What waits, in at most two pieces.
  std::array<std::string_view, 2> readable() const {
    std::size_t tail = tail_.load(std::memory_order_relaxed);
    std::size_t waiting = head_.load(std::memory_order_acquire) - tail;
    std::size_t at = tail & mask_;
    std::size_t first = waiting < size_ - at ? waiting : size_ - at;
    return {std::string_view(octets_.get() + at, first), std::string_view(octets_.get(), waiting - first)};
  }
  void consume(std::size_t octets) {
    tail_.store(tail_.load(std::memory_order_relaxed) + octets, std::memory_order_release);
  }
  bool empty() const { return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire); }

 private:
  static constexpr std::size_t kCacheLine = 64;
  const std::size_t size_, mask_;
  std::unique_ptr<char[]> octets_;
  alignas(kCacheLine) std::atomic<std::size_t> head_{0};
  std::size_t known_tail_ = 0;  // the writer's
  alignas(kCacheLine) std::atomic<std::size_t> tail_{0};
};

}  // namespace postern
