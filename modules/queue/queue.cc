#include "queue.h"

#include <algorithm>

#include "postern/hash.h"
#include "postern/sync.h"

namespace postern::queue {

QueueService::QueueService(Runtime& runtime, Metrics& metrics) : runtime_(runtime), metrics_(metrics) {}
QueueService::~QueueService() = default;

void QueueService::make_shards(Spool& spool, MailStore& store, Transport* transport, Directory* directory,
                               const QueueSettings& settings) {
  spool_ = &spool;
  store_ = &store;
  for (unsigned i = 0; i < runtime_.workers(); ++i)
    shards_.push_back(std::make_unique<Shard>(runtime_.worker(i), Log(),
                                              ShardParts{.spool = spool,
                                                         .store = store,
                                                         .transport = transport,
                                                         .directory = directory,
                                                         .metrics = metrics_,
                                                         .settings = settings}));
}

void QueueService::set_log(unsigned worker, Log log) {
  shard(worker).set_log(std::move(log));
}

unsigned QueueService::owner_of(MessageId id) const {
  return static_cast<unsigned>(hash_number(id.value()) % shards_.size());
}

void QueueService::accepted(QueuedMessage message) {
  const auto local =
      std::ranges::find_if(message.plan.steps, [](const PlanStep& step) { return !step.account.empty(); });
  const unsigned owner = local == message.plan.steps.end()
                             ? owner_of(message.id)
                             : static_cast<unsigned>(hash_bytes(local->account) % shards_.size());
  shards_[owner]->push(std::move(message));
}

// --- start-up -------------------------------------------------------------------------------------------------------

std::optional<Seed> QueueService::seed_of(const MessageInfo& info, WallTime now) {
  Seed seed{.id = info.id, .due = WallTime::max()};
  seed.suspect = info.crashes > 0;
  bool undone = false;
  for (const RecipientInfo& one : info.recipients) {
    if (one.state == RecipientState::kDone) continue;
    undone = true;
    seed.placed = seed.placed || one.state == RecipientState::kPlaced;
    seed.due = std::min(seed.due, one.state == RecipientState::kWaiting ? one.next_attempt : now);
  }
  if (!undone) return std::nullopt;
  if (info.held_until && *info.held_until > now) {
    seed.held = *info.held_until == WallTime::max();
    seed.due = *info.held_until;
  }
  return seed;
}

/// New mail comes in meanwhile: its ids are greater than first_own_, and accepted() hands it to its shards. Two shards
/// must never hold one message.
Task<void> QueueService::recover() {
  Executor& executor = co_await this_executor();
  const Log& log = shard(0).log();
  std::size_t messages = 0;
  std::size_t held = 0;
  MessageId after;
  while (true) {
    auto page = co_await spool_->list(executor, after, kPage);
    if (!page) {
      log.error("queue.recover", {{"code", page.error().code}, {"why", page.error().detail}});
      co_await sleep_for(1s);
      continue;
    }
    std::erase_if(*page, [this](const MessageInfo& info) { return info.id >= first_own_; });
    if (page->empty()) break;
    after = page->back().id;
    std::vector<std::vector<Seed>> seeds(shards_.size());
    for (const MessageInfo& info : *page) {
      const auto seed = seed_of(info, executor.wall());
      if (!seed) continue;
      ++messages;
      if (seed->held) ++held;
      if (seed->held && info.crashes > 0)
        log.warn("queue.poison", {{"id", info.id.to_string()}, {"crashes", info.crashes}, {"why", info.hold_reason}});
      seeds[owner_of(info.id)].push_back(*seed);
    }
    for (unsigned i = 0; i < shards_.size(); ++i)
      if (!seeds[i].empty()) co_await run_on(runtime_.worker(i), [this, i, &seeds] { shards_[i]->adopt(seeds[i]); });
  }
  log.info("queue.recovered", {{"messages", messages}, {"held", held}});
}

Task<bool> QueueService::may_sweep() {
  bool may = true;
  for (unsigned i = 0; i < shards_.size(); ++i)
    may = co_await run_on(runtime_.worker(i), [this, i] { return shards_[i]->may_sweep(); }) && may;
  co_return may;
}

Task<void> QueueService::sweep_daily() {
  Executor& executor = co_await this_executor();
  co_await sleep_for(1h);  // start-up has other things to do
  while (true) {
    if (co_await may_sweep()) {
      const auto removed =
          co_await store_->sweep(executor.wall() - std::chrono::duration_cast<WallTime::duration>(kSweepAge));
      if (removed > 0) shard(0).log().info("queue.swept", {{"files", removed}});
    }
    co_await sleep_for(kSweepEvery);
  }
}

Task<void> QueueService::begin_on_worker() {
  co_await recover();
  co_await sweep_daily();
}

void QueueService::begin() {
  shard(0).begin(begin_on_worker());
}

Task<void> QueueService::drain(unsigned worker, Deadline deadline) {
  return shard(worker).drain(deadline);
}

// --- for commands ---------------------------------------------------------------------------------------------------

Task<std::size_t> QueueService::retry(std::optional<MessageId> id) {
  std::size_t count = 0;
  for (unsigned i = 0; i < shards_.size(); ++i)
    count += co_await run_on(runtime_.worker(i), [this, i, id] { return shards_[i]->retry(id); });
  co_return count;
}

Task<Shard::Known> QueueService::known(MessageId id) {
  Shard::Known known = Shard::Known::kNo;
  for (unsigned i = 0; i < shards_.size(); ++i)
    known = std::max(known, co_await run_on(runtime_.worker(i), [this, i, id] { return shards_[i]->known(id); }));
  co_return known;
}

Task<void> QueueService::drop(MessageId id) {
  for (unsigned i = 0; i < shards_.size(); ++i)
    co_await run_on(runtime_.worker(i), [this, i, id] { shards_[i]->drop(id); });
}

Task<void> QueueService::adopt(Seed seed) {
  const unsigned owner = owner_of(seed.id);
  const std::vector<Seed> seeds(1, seed);
  co_await run_on(runtime_.worker(owner), [this, owner, &seeds] { shards_[owner]->adopt(seeds); });
}

}  // namespace postern::queue
