#include "directory.h"

#include "postern/sync.h"

namespace postern::auth {

Task<void> SnapshotDirectory::publish(std::shared_ptr<const Snapshot> next, Runtime& runtime) {
  kept_.push_back(std::move(next));
  current_.store(kept_.back().get(), std::memory_order_release);
  for (unsigned i = 0; i < runtime.workers(); ++i) co_await run_on(runtime.worker(i), [] {});
  if (kept_.size() > 2) kept_.erase(kept_.begin(), kept_.end() - 2);
}

}  // namespace postern::auth
