// A question that a disk thread answers, because the answer is guarded by a mutex that workers do not take.
#pragma once

#include <functional>
#include <utility>

#include "core/spool/disk_job.h"
#include "postern/spool.h"

namespace postern::spool {

template <class T>
class Query final : public SpoolOp<T>, private DiskJob {
 public:
  Query(Executor& home, std::function<T()> ask) : home_(home), ask_(std::move(ask)) {}
  void start() override {
    if (submit(home_)) return;
    this->result = fault("spool.busy", "the disk pool's queue is full");
    home_.post(*this);
  }
  void run() override { this->finish(); }

 private:
  void work() override { this->result = ask_(); }
  void done() override { this->finish(); }
  Executor& home_;
  std::function<T()> ask_;
};

template <class T>
SpoolWait<T> query(Executor& home, std::function<T()> ask) {
  return SpoolWait<T>(new Query<T>(home, std::move(ask)));
}

}  // namespace postern::spool
