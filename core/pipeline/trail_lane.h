// Waiting on a worker for something that a lane does: the question goes to the lane, the answer comes back.
//
//   const auto erased = co_await on_lane(lane, executor, [&files] { return files.erase(...); });
//
// Owner:  the coroutine that awaits. What `fn` refers to must outlive the lane's run.
// Thread: made and resumed on `home`; `fn` runs on the lane. A lane runs all that it was given, so the answer comes.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "postern/executor.h"

namespace postern {

template <class F>
class [[nodiscard]] LaneCall final : private Runnable {
 public:
  using Answer = std::invoke_result_t<F&>;
  LaneCall(Lane& lane, Executor& home, F fn) : lane_(lane), home_(home), fn_(std::move(fn)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    lane_.post(*this);
  }
  Answer await_resume() { return std::move(*answer_); }

 private:
  void run() override {
    if (answer_) return waiter_.resume();  // the second time, at home
    answer_.emplace(fn_());
    home_.post_remote(*this);  // the last look at this object: home may resume and end it at once
  }
  Lane& lane_;
  Executor& home_;
  F fn_;
  std::coroutine_handle<> waiter_;
  std::optional<Answer> answer_;
};

template <class F>
LaneCall<F> on_lane(Lane& lane, Executor& home, F fn) {
  return LaneCall<F>(lane, home, std::move(fn));
}

}  // namespace postern
