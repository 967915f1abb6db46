// Threads beside the loops: bounded pools for blocking work, and lanes that run theirs in order.
//
// A worker that hands work over must not wait for a lock, so both are fed through lock-free queues and their threads
// sleep on a futex word (std::atomic::wait). What was queued before the end is run before the threads are joined: a
// disk job that was taken is done.
//
// Errors: ThreadPool::submit throws Overloaded when `capacity` jobs wait. A lane has no limit of its own; what feeds it
// has. Thread: submit() and post() from any.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "postern/executor.h"

namespace postern {

/// A ring for many producers and many consumers; each cell carries the turn at which it may be filled or emptied.
class RunnableRing {
 public:
  explicit RunnableRing(std::size_t capacity);  ///< rounded up to a power of two
  bool push(Runnable& work);                    ///< false when full
  Runnable* pop();                              ///< null when empty
  std::size_t capacity() const { return mask_ + 1; }

 private:
  struct Cell {
    std::atomic<std::size_t> turn;
    Runnable* work;
  };
  std::size_t mask_;
  std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::atomic<std::size_t> head_{0};
};

/// Work posted by many and taken by one, all at once, in the order in which it came. Allocates nothing.
class RemoteQueue {
 public:
  /// True when the queue was empty, so that its consumer must be woken.
  bool push(Runnable& work) {
    Runnable* head = head_.load(std::memory_order_relaxed);
    do {
      work.next = head;
    } while (!head_.compare_exchange_weak(head, &work, std::memory_order_release, std::memory_order_relaxed));
    return head == nullptr;
  }
  /// A chain through `next`, oldest first; null when empty.
  Runnable* take_all();
  bool empty() const { return head_.load(std::memory_order_acquire) == nullptr; }

 private:
  std::atomic<Runnable*> head_{nullptr};
};

class ThreadPool {
 public:
  ThreadPool(const std::string& name, unsigned threads, std::size_t capacity);
  ~ThreadPool() { stop(); }
  void submit(Runnable& work);
  void stop();  ///< runs what waits, then joins; nothing may be submitted afterwards

 private:
  void work_until_stopped();
  bool take_token();

  RunnableRing ring_;
  std::atomic<std::uint32_t> tokens_{0};  ///< jobs in the ring that no thread has claimed; the word threads sleep on
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

class ThreadLane final : public Lane {
 public:
  explicit ThreadLane(const std::string& name);
  ~ThreadLane() override;
  void post(Runnable& work) override;

 private:
  void work_until_stopped();
  void wake();

  RemoteQueue queue_;
  std::atomic<std::uint32_t> signal_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// Names the calling thread for top and debuggers; the system keeps 15 characters.
void name_thread(const std::string& name);

/// The cores that the calling thread may use, in order of their numbers; empty when the system does not say.
std::vector<int> allowed_cpus();
/// Keeps the calling thread, and what threads it starts later, on these cores. A refusal changes nothing: it costs
/// speed.
void pin_thread(std::span<const int> cpus);

}  // namespace postern
