// Work that a worker gives to the disk pool and whose end it hears of.
#pragma once

#include "postern/executor.h"

namespace postern::spool {

/// Thread: work() runs on a pool thread, done() afterwards on the worker, where the job may be destroyed.
class DiskJob {
 public:
  DiskJob() = default;
  DiskJob(const DiskJob&) = delete;
  DiskJob& operator=(const DiskJob&) = delete;

  /// False when the pool's queue is full; nothing happens then.
  bool submit(Executor& home) {
    home_ = &home;
    try {
      home.submit(Pool::kDisk, out_);
    } catch (const Overloaded&) {
      return false;
    }
    return true;
  }

 protected:
  ~DiskJob() = default;
  virtual void work() = 0;
  virtual void done() = 0;

 private:
  struct Out final : Runnable {
    explicit Out(DiskJob& owner) : job(owner) {}
    void run() override {
      job.work();
      job.home_->post_remote(job.back_);
    }
    DiskJob& job;
  };
  struct Back final : Runnable {
    explicit Back(DiskJob& owner) : job(owner) {}
    void run() override { job.done(); }
    DiskJob& job;
  };
  Executor* home_ = nullptr;
  Out out_{*this};
  Back back_{*this};
};

}  // namespace postern::spool
