// Batch: one worker's disk work, gathered, done in one pool job and made durable by one sync.
//
// A flush of a disk's cache takes milliseconds whatever it flushes, so the store never syncs for one mail: while one
// job runs, further work gathers, and the next job takes all of it (up to kMaxOps). Files written and names changed by
// a job are made durable together: by syncfs(2) once per file system (the default), or file by file and folder by
// folder (for stores that share their file system with heavy writers).
//
// Thread: one Batch per worker; work() and the syncs run on a disk thread, one job at a time.
#pragma once

#include <atomic>
#include <coroutine>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "files.h"
#include "postern/executor.h"
#include "postern/task.h"

namespace postern::maildir {

enum class SyncMode : std::uint8_t { kFileSystem, kFile };

/// A piece of disk work; lives in the coroutine that awaits it.
class DiskWork {
 public:
  /// On a disk thread. Sets `error` (an errno) when it fails; names in `dirs` what must be durable before it is done.
  virtual void work() noexcept = 0;

  int error = 0;
  std::vector<std::string> dirs;  ///< folders whose names changed, or that hold a written file
  Descriptor file;                ///< written, not yet synced; closed by the batch

 protected:
  ~DiskWork() = default;

 private:
  friend class Batch;
  std::coroutine_handle<> waiter_;
};

class Batch final : private Runnable {
 public:
  static constexpr std::size_t kMaxOps = 512;  ///< of one job: bounds its time and its open files

  Batch(Executor& home, SyncMode mode, const std::string& root);

  /// `co_await batch.run(work)`: returns when the work is done and durable; then look at work.error.
  class Run {
   public:
    Run(Batch& batch, DiskWork& work) : batch_(batch), work_(work) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
      work_.waiter_ = waiter;
      batch_.add(work_);
    }
    void await_resume() const noexcept {}

   private:
    Batch& batch_;
    DiskWork& work_;
  };
  Run run(DiskWork& work) { return {*this, work}; }

  /// Memory for octets on their way to the disk: false when the worker's budget is spent.
  bool reserve(std::size_t octets);
  void release(std::size_t octets) { reserved_ -= octets; }

 private:
  enum class Step : std::uint8_t { kIdle, kGathering, kOnDisk, kBack };
  void add(DiskWork& work);
  void submit();
  void run() override;
  void finish();
  void do_all() noexcept;
  void sync_file_systems() noexcept;
  void sync_each() noexcept;
  int sync_one_file_system(dev_t device, const std::string& dir);

  Executor& home_;
  SyncMode mode_;
  std::atomic<Step> step_ = Step::kIdle;  ///< the disk thread sets it, too
  std::vector<DiskWork*> gathering_;
  std::vector<DiskWork*> running_;
  std::map<dev_t, Descriptor> file_systems_;  ///< disk thread; kept open so that an error between syncs is not missed
  std::size_t reserved_ = 0;
};

}  // namespace postern::maildir
