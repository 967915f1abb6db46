#include "directory.h"

#include "postern/sync.h"

namespace postern::auth {

bool SnapshotDirectory::publish() {
  if (!staged_) return false;
  kept_.push_back(std::move(staged_));
  current_.store(kept_.back().get(), std::memory_order_release);
  return true;
}

Task<void> SnapshotDirectory::retire(Runtime& runtime) {
  const Snapshot* newest = kept_.back().get();
  for (unsigned i = 0; i < runtime.workers(); ++i) co_await run_on(runtime.worker(i), [] {});
  // What a later publish() put in force meanwhile has its own round to wait for.
  while (kept_.size() > 2 && kept_[1].get() != newest) kept_.erase(kept_.begin());
}

}  // namespace postern::auth
