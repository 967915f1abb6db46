// One worker on libuv that runs one coroutine to its end. For the tests of this area; no part of the server.
#pragma once

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <utility>

#include "postern/executor.h"
#include "postern/nursery.h"
#include "postern/task.h"

namespace postern::dns {

class TestLoop {
 public:
  TestLoop() : runtime_(make_uv_runtime(one_worker())) {}
  Executor& executor() { return runtime_->worker(0); }

  /// Runs `task` and ends the loop; once per TestLoop. What the task throws is thrown here.
  void run(Task<void> task) {
    std::exception_ptr error;
    {
      Nursery nursery(executor());
      nursery.on_error = [&error](std::exception_ptr thrown) { error = thrown; };
      nursery.spawn(then_stop(std::move(task), runtime_.get()));
      runtime_->run();
      REQUIRE(nursery.size() == 0);
    }
    if (error) std::rethrow_exception(error);
  }

 private:
  struct Stop {
    Runtime* runtime;
    ~Stop() { runtime->stop(); }
  };
  static Task<void> then_stop(Task<void> task, Runtime* runtime) {
    Stop stop{runtime};
    co_await std::move(task);
  }
  static RuntimeOptions one_worker() {
    RuntimeOptions options;
    options.workers = 1;
    options.disk_threads = 1;
    options.cpu_threads = 1;
    return options;
  }
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace postern::dns
