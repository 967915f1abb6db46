// Waiting on a worker for something that a lane does: run_blocking() for a Lane in place of a pool.
//
//   const auto erased = co_await on_lane(lane, [&files] { return files.erase(...); });
//
// What `fn` refers to must outlive the wait, which cancellation does not shorten. What it throws is thrown here. A lane
// runs all that it was given, so the answer comes.
#pragma once

#include <coroutine>
#include <utility>

#include "postern/executor.h"
#include "postern/sync.h"

namespace postern {

template <class F>
class [[nodiscard]] OnLane final : public detail::RemoteCall<F> {
 public:
  OnLane(Lane& lane, F fn) : detail::RemoteCall<F>(std::move(fn)), lane_(lane) {}
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    lane_.post(this->prepare(handle));
  }

 private:
  Lane& lane_;
};
template <class F>
OnLane<F> on_lane(Lane& lane, F fn) {
  return OnLane<F>(lane, std::move(fn));
}

}  // namespace postern
