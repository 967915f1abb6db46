// The store "memory": keys spread over the workers by their hash, each reached on its owner's loop (architecture.md
// decision 3), so that nothing is locked and an increment is whole.
//
// Owner:  the module; outlives all who ask. Thread: any worker.
#pragma once

#include <memory>
#include <vector>

#include "postern/executor.h"
#include "postern/key_value.h"
#include "postern/metrics.h"
#include "shard.h"

namespace postern::memory {

class MemoryStore final : public KeyValueStore {
 public:
  /// The limits are those of all shards together.
  MemoryStore(Runtime& runtime, ShardLimits limits, std::uint64_t seed, Metrics& metrics);
  Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline deadline) override;

 private:
  Result<KeyValueReply> apply(KeyValueRequest& request, Executor& owner);

  Runtime& runtime_;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Gauge& keys_;
  Gauge& octets_;
  Counter& evicted_;
};

}  // namespace postern::memory
