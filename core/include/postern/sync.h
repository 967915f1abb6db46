// What coroutines of one worker wait on: Semaphore, Event, Channel; and how workers and threads are reached: run_on
// (another worker), run_blocking (a pool). All but run_on's target are confined to one worker and take no locks.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "postern/wait.h"

namespace postern {

namespace detail {
/// A coroutine that stands in a queue, first come first served.
class QueuedWait : public Wait {
 public:
  explicit QueuedWait(Deadline deadline) : deadline_(deadline) {}
  class Queue {
   public:
    ~Queue();
    bool empty() const { return !first_; }
    void push(QueuedWait& wait);
    /// Settles the first; false when there is none.
    bool wake_one();
    void wake_all() {
      while (wake_one()) {
      }
    }

   private:
    friend class QueuedWait;
    void remove(QueuedWait& wait);
    QueuedWait* first_ = nullptr;
    QueuedWait* last_ = nullptr;
  };

 protected:
  ~QueuedWait() = default;
  template <class Promise>
  bool stand_in(Queue& queue, std::coroutine_handle<Promise> handle) {
    if (!begin(handle, deadline_)) return false;
    queue.push(*this);
    return true;
  }
  void on_abandoned() override;

 private:
  Deadline deadline_;
  Queue* queue_ = nullptr;
  QueuedWait* next_ = nullptr;
  QueuedWait* prev_ = nullptr;
};
}  // namespace detail

/// Counts permits. `co_await semaphore.acquire(deadline)`; throws TimedOut, Cancelled.
class Semaphore {
 public:
  explicit Semaphore(std::size_t permits) : permits_(permits) {}
  bool try_acquire() {
    if (!permits_) return false;
    --permits_;
    return true;
  }
  /// Hands the permit to the longest waiting, if any.
  void release() {
    if (!queue_.wake_one()) ++permits_;
  }
  std::size_t available() const { return permits_; }

  class Acquire final : public detail::QueuedWait {
   public:
    Acquire(Semaphore& semaphore, Deadline deadline) : QueuedWait(deadline), semaphore_(semaphore) {}
    bool await_ready() { return ready_ = semaphore_.try_acquire(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) {
      return stand_in(semaphore_.queue_, handle);
    }
    void await_resume() const {
      if (!ready_) check();
    }

   private:
    Semaphore& semaphore_;
    bool ready_ = false;
  };
  Acquire acquire(Deadline deadline) { return Acquire(*this, deadline); }

 private:
  detail::QueuedWait::Queue queue_;
  std::size_t permits_;
};

/// Set once (or set and reset); wakes all who wait.
class Event {
 public:
  bool is_set() const { return set_; }
  void set() {
    set_ = true;
    queue_.wake_all();
  }
  void reset() { set_ = false; }

  class Waiter final : public detail::QueuedWait {
   public:
    Waiter(Event& event, Deadline deadline) : QueuedWait(deadline), event_(event) {}
    bool await_ready() { return ready_ = event_.set_; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) {
      return stand_in(event_.queue_, handle);
    }
    void await_resume() const {
      if (!ready_) check();
    }

   private:
    Event& event_;
    bool ready_ = false;
  };
  Waiter wait(Deadline deadline) { return Waiter(*this, deadline); }

 private:
  detail::QueuedWait::Queue queue_;
  bool set_ = false;
};

/// A bounded queue between coroutines of one worker. pop() throws TimedOut, Cancelled, and Closed when it was closed
/// and is empty.
template <class T>
class Channel {
 public:
  explicit Channel(std::size_t limit) : space_(limit) {}
  /// False when it is full or closed.
  bool try_push(T value) {
    if (closed_ || !space_.try_acquire()) return false;
    put(std::move(value));
    return true;
  }
  Task<void> push(T value, Deadline deadline) {
    co_await space_.acquire(deadline);
    if (closed_) throw Closed("channel closed");
    put(std::move(value));
  }
  Task<T> pop(Deadline deadline) {
    while (items_.empty()) {
      if (closed_) throw Closed("channel closed");
      filled_.reset();
      co_await filled_.wait(deadline);
    }
    T value = std::move(items_.front());
    items_.pop_front();
    space_.release();
    co_return value;
  }
  void close() {
    closed_ = true;
    filled_.set();
  }
  std::size_t size() const { return items_.size(); }

 private:
  void put(T value) {
    items_.push_back(std::move(value));
    filled_.set();
  }
  std::deque<T> items_;
  Semaphore space_;
  Event filled_;
  bool closed_ = false;
};

namespace detail {
/// A function that runs elsewhere while the coroutine waits; it cannot be abandoned, so it has no deadline of its own.
template <class F>
class RemoteCall : private Runnable {
 public:
  using R = std::invoke_result_t<F&>;
  explicit RemoteCall(F fn) : fn_(std::move(fn)) {}
  RemoteCall(RemoteCall&&) = delete;
  bool await_ready() const noexcept { return false; }
  R await_resume() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<R>) return std::move(*value_);
  }

 protected:
  ~RemoteCall() = default;
  template <class Promise>
  Runnable& prepare(std::coroutine_handle<Promise> handle) {
    handle_ = handle;
    home_ = handle.promise().context->executor;
    return *this;
  }

 private:
  void run() override {
    if (back_) return handle_.resume();
    back_ = true;
    try {
      if constexpr (std::is_void_v<R>)
        fn_();
      else
        value_.emplace(fn_());
    } catch (...) {
      error_ = std::current_exception();
    }
    home_->post_remote(*this);
  }

  F fn_;
  std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> value_;
  std::exception_ptr error_;
  std::coroutine_handle<> handle_;
  Executor* home_ = nullptr;
  bool back_ = false;
};
}  // namespace detail

/// Runs `fn` on a pool's thread and returns what it returns (or throws what it throws). Its captures must outlive the
/// wait, which cancellation does not shorten. Throws Overloaded when the pool's queue is full.
template <class F>
class RunBlocking final : public detail::RemoteCall<F> {
 public:
  RunBlocking(Pool pool, F fn) : detail::RemoteCall<F>(std::move(fn)), pool_(pool) {}
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    Runnable& work = this->prepare(handle);
    handle.promise().context->executor->submit(pool_, work);
  }

 private:
  Pool pool_;
};
template <class F>
RunBlocking<F> run_blocking(Pool pool, F fn) {
  return RunBlocking<F>(pool, std::move(fn));
}

/// Runs `fn` (an ordinary function, not a coroutine) on another worker's loop and returns its result here. This is the
/// Inbox of an owner: state kept by that worker is touched by nobody else.
template <class F>
class RunOn final : public detail::RemoteCall<F> {
 public:
  RunOn(Executor& target, F fn) : detail::RemoteCall<F>(std::move(fn)), target_(target) {}
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    target_.post_remote(this->prepare(handle));
  }

 private:
  Executor& target_;
};
template <class F>
RunOn<F> run_on(Executor& target, F fn) {
  return RunOn<F>(target, std::move(fn));
}

}  // namespace postern
