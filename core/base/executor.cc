// Key functions of the Executor's family, and the closures that it posts for what is not hot. Both implementations
// (core/net/uv_*, core/net/sim_*) stand above; this file is below them so that core/runtime needs neither.
#include "postern/executor.h"

namespace postern {

Socket::~Socket() = default;
DetachedSocket::~DetachedSocket() = default;
BoundEndpoint::~BoundEndpoint() = default;
Acceptor::~Acceptor() = default;
Connecting::~Connecting() = default;
FdWatch::~FdWatch() = default;
Lane::~Lane() = default;
Executor::~Executor() = default;
Runtime::~Runtime() = default;

void Runtime::on_signal(int, std::function<void()>) {}

namespace {

/// Deletes itself when it runs; one that never runs belongs to a loop that was stopped first.
class Closure final : public Runnable {
 public:
  explicit Closure(std::function<void()> fn) : fn_(std::move(fn)) {}
  void run() override {
    std::function<void()> fn = std::move(fn_);
    delete this;
    fn();
  }

 private:
  std::function<void()> fn_;
};

}  // namespace

void Executor::post_fn(std::function<void()> fn) {
  post(*new Closure(std::move(fn)));
}

void Executor::post_remote_fn(std::function<void()> fn) {
  post_remote(*new Closure(std::move(fn)));
}

}  // namespace postern
