// Wait: the base of every leaf that suspends a coroutine. It ends exactly once: by settle(), by its deadline, or by
// cancellation; the coroutine is resumed through the executor's queue, never from inside the code that settled it, so
// no caller is re-entered.
//
// Thread: one worker.
#pragma once

#include <coroutine>
#include <exception>

#include "postern/cancel.h"
#include "postern/executor.h"
#include "postern/task.h"

namespace postern {

class Wait : protected TimerNode, protected CancelNode, private Runnable {
 public:
  Wait() = default;
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  enum class Outcome : unsigned char { kPending, kDone, kTimedOut, kCancelled };

 protected:
  ~Wait() = default;

  /// Begins the wait of the coroutine `handle`; false when it is cancelled already (await_resume then throws).
  template <class Promise>
  bool begin(std::coroutine_handle<Promise> handle, Deadline deadline) {
    return begin(handle, *handle.promise().context, deadline);
  }
  bool begin(std::coroutine_handle<> handle, Context& context, Deadline deadline);

  /// Ends the wait well and lets the coroutine go on. Nothing happens when it has ended already.
  void settle() { end(Outcome::kDone); }
  bool waiting() const { return outcome_ == Outcome::kPending && handle_; }
  Executor& executor() const { return *executor_; }
  /// Throws TimedOut or Cancelled when the wait ended that way.
  void check() const;
  Outcome outcome() const { return outcome_; }

  /// Called when deadline or cancellation ended the wait, so that it can leave the queue it stands in.
  virtual void on_abandoned() {}

 private:
  void end(Outcome outcome);
  void fire() override;
  void on_cancel() override;
  void run() override { handle_.resume(); }

  std::coroutine_handle<> handle_;
  Executor* executor_ = nullptr;
  Outcome outcome_ = Outcome::kPending;
};

/// `co_await sleep_for(5s);` Throws Cancelled.
class SleepWait final : public Wait {
 public:
  explicit SleepWait(Deadline deadline) : deadline_(deadline) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    return begin(handle, deadline_);
  }
  void await_resume() const {
    if (outcome() == Outcome::kCancelled) check();
  }

 private:
  Deadline deadline_;
};
inline SleepWait sleep_for(Duration duration) {
  return SleepWait(Deadline::after(duration));
}
inline SleepWait sleep_until(Instant when) {
  return SleepWait(Deadline::at(when));
}

/// Lets everything else that is ready on this loop run first. `co_await yield_now();`
class YieldWait final : private Runnable {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    handle_ = handle;
    handle.promise().context->executor->post_later(*this);
  }
  void await_resume() const noexcept {}

 private:
  void run() override { handle_.resume(); }
  std::coroutine_handle<> handle_;
};
inline YieldWait yield_now() {
  return {};
}

}  // namespace postern
