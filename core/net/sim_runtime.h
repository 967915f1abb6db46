// A lane in the simulation. The runtime itself is in the SDK (postern/sim.h), since modules' tests stand on it.
#pragma once

#include "core/net/sim_world.h"

namespace postern {

/// Runs what was posted after a seeded delay: all that waits at once, in order, as the thread's lane does.
class SimLane final : public Lane {
 public:
  explicit SimLane(SimWorld& world) : world_(world) {}
  ~SimLane() override {
    *alive_ = false;
    run_waiting();  // what was queued before the end is run
  }

  void post(Runnable& work) override {
    const bool first = waiting_.empty();
    waiting_.push(work);
    if (first)
      world_.schedule_after(world_.job_time(), [this, alive = alive_] {
        if (*alive) run_waiting();
      });
  }

 private:
  void run_waiting() {
    RunQueue round;
    round.take(waiting_);
    while (Runnable* work = round.pop()) work->run();
  }

  SimWorld& world_;
  RunQueue waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern
