#include "core/net/uv_threads.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <bit>

namespace postern {
namespace {

constexpr std::size_t kThreadNameMax = 15;

/// Signals belong to worker 0's loop; helper threads must not be interrupted by them.
std::thread start_thread(std::string name, std::move_only_function<void()> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([thread_name = std::move(name), run = std::move(body)]() mutable {
    name_thread(thread_name);
    run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

void name_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kThreadNameMax).c_str());
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

void pin_thread(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

RunnableRing::RunnableRing(std::size_t capacity)
    : mask_(std::bit_ceil(capacity < 2 ? std::size_t{2} : capacity) - 1), cells_(std::make_unique<Cell[]>(mask_ + 1)) {
  for (std::size_t i = 0; i <= mask_; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
}

bool RunnableRing::push(Runnable& work) {
  std::size_t tail = tail_.load(std::memory_order_relaxed);
  while (true) {
    Cell& cell = cells_[tail & mask_];
    const auto ahead = static_cast<std::ptrdiff_t>(cell.turn.load(std::memory_order_acquire) - tail);
    if (ahead < 0) return false;  // still holds the job of the round before
    if (ahead > 0) {
      tail = tail_.load(std::memory_order_relaxed);
    } else if (tail_.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) {
      cell.work = &work;
      cell.turn.store(tail + 1, std::memory_order_release);
      return true;
    }
  }
}

Runnable* RunnableRing::pop() {
  std::size_t head = head_.load(std::memory_order_relaxed);
  while (true) {
    Cell& cell = cells_[head & mask_];
    const auto ahead = static_cast<std::ptrdiff_t>(cell.turn.load(std::memory_order_acquire) - (head + 1));
    if (ahead < 0) return nullptr;
    if (ahead > 0) {
      head = head_.load(std::memory_order_relaxed);
    } else if (head_.compare_exchange_weak(head, head + 1, std::memory_order_relaxed)) {
      Runnable* work = cell.work;
      cell.turn.store(head + mask_ + 1, std::memory_order_release);
      return work;
    }
  }
}

Runnable* RemoteQueue::take_all() {
  Runnable* newest = head_.exchange(nullptr, std::memory_order_acquire);
  Runnable* oldest = nullptr;
  while (newest != nullptr) {
    Runnable* older = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = older;
  }
  return oldest;
}

ThreadPool::ThreadPool(const std::string& name, unsigned threads, std::size_t capacity) : ring_(capacity) {
  for (unsigned i = 0; i < threads; ++i)
    threads_.push_back(start_thread(fmt::format("{}-{}", name, i), [this] { work_until_stopped(); }));
}

void ThreadPool::submit(Runnable& work) {
  if (stopping_.load(std::memory_order_relaxed)) throw Overloaded("the pools have stopped");
  if (!ring_.push(work)) throw Overloaded("pool queue is full");
  tokens_.fetch_add(1);
  // Both sides write their word before they read the other's (seq_cst), so one of them sees the other.
  if (sleepers_.load() > 0) tokens_.notify_one();
}

bool ThreadPool::take_token() {
  while (true) {
    std::uint32_t tokens = tokens_.load();
    if (tokens > 0) {
      if (tokens_.compare_exchange_weak(tokens, tokens - 1)) return true;
      continue;
    }
    if (stopping_.load()) return false;
    sleepers_.fetch_add(1);
    tokens_.wait(0);
    sleepers_.fetch_sub(1);
  }
}

void ThreadPool::work_until_stopped() {
  while (take_token()) {
    Runnable* work = ring_.pop();
    // A token can be ahead of its cell by the few instructions in which another producer fills an older cell.
    while (work == nullptr && !(stopping_.load() && tokens_.load() == 0)) {
      std::this_thread::yield();
      work = ring_.pop();
    }
    if (work != nullptr) work->run();
  }
}

void ThreadPool::stop() {
  if (stopping_.exchange(true)) return;
  // A token for each thread ends its sleep; with nothing in the ring it finds `stopping_` and leaves.
  tokens_.fetch_add(static_cast<std::uint32_t>(threads_.size()));
  tokens_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

ThreadLane::ThreadLane(const std::string& name) {
  thread_ = start_thread(name, [this] { work_until_stopped(); });
}

ThreadLane::~ThreadLane() {
  stopping_.store(true);
  wake();
  thread_.join();
}

void ThreadLane::wake() {
  signal_.fetch_add(1);
  signal_.notify_one();
}

void ThreadLane::post(Runnable& work) {
  if (queue_.push(work)) wake();
}

void ThreadLane::work_until_stopped() {
  while (true) {
    const std::uint32_t seen = signal_.load();
    Runnable* work = queue_.take_all();
    if (work == nullptr) {
      if (stopping_.load()) return;
      signal_.wait(seen);
      continue;
    }
    while (work != nullptr) {
      Runnable* next = work->next;  // run() may end the work's life
      work->run();
      work = next;
    }
  }
}

}  // namespace postern
