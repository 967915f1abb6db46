#include "store.h"

#include <algorithm>

#include "postern/sync.h"

namespace postern::memory {

MemoryStore::MemoryStore(Runtime& runtime, ShardLimits limits, std::uint64_t seed, Metrics& metrics)
    : runtime_(runtime),
      seed_(seed),
      keys_(metrics.gauge("postern_memory_keys", "Keys in the store \"memory\".")),
      octets_(metrics.gauge("postern_memory_size_bytes", "Memory that the store \"memory\" takes.")),
      evicted_(metrics.counter("postern_memory_evicted_total", "Keys that went for want of room, before their end.")) {
  const unsigned workers = runtime.workers();
  const ShardLimits each{std::max<std::size_t>(limits.keys / workers, 1), limits.octets / workers};
  for (unsigned i = 0; i < workers; ++i) shards_.push_back(std::make_unique<Shard>(each, seed));
}

Result<KeyValueReply> MemoryStore::apply(KeyValueRequest& request, Executor& owner) {
  Shard& shard = *shards_[owner.index()];
  const std::uint64_t evicted = shard.evicted();
  auto reply = shard.apply(request, owner.now());
  keys_.set(owner.index(), static_cast<std::int64_t>(shard.keys()));
  octets_.set(owner.index(), static_cast<std::int64_t>(shard.octets()));
  if (shard.evicted() != evicted) evicted_.add(owner.index(), shard.evicted() - evicted);
  return reply;
}

Task<Result<KeyValueReply>> MemoryStore::ask(KeyValueRequest request, Deadline) {
  // It waits for the owner's loop alone, which is never longer than a turn: a deadline would change nothing.
  Executor& here = co_await this_executor();
  Executor& owner = runtime_.owner_of(hash_bytes(request.key, ~seed_));
  if (&owner == &here) co_return apply(request, owner);
  co_return co_await run_on(owner, [this, &request, &owner] { return apply(request, owner); });
}

}  // namespace postern::memory
