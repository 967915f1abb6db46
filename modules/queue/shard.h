// Shard: one worker's part of the queue. It owns its messages from acceptance (or recovery) to their last recipient.
//
//   arrivals -> ready (by account, in turns) -> steps under way (bounded) -> done, waiting (timer), or held (spool
//   only)
//
// Nothing is decided here that the spool does not know: a shard that is lost is rebuilt from Spool::list. A message
// whose steps all discard never becomes an item. Mail that waits or is held costs an Item or nothing at all.
//
// Local delivery is exactly once (architecture.md decision 6): stage, `placed` durable, publish, `done`. Of the
// recipients of one step, which share a mailbox, the first undone one (the lead) carries the mark; its `done` is
// written last, so that whatever of them a crash leaves, the lead's token answers for all.
//
// Thread: its worker; only push() may be called from others. Errors: none reach a caller; they become marks and log
// lines.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "item.h"
#include "postern/auth.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/mailstore.h"
#include "postern/metrics.h"
#include "postern/nursery.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/transport.h"
#include "ready_ring.h"
#include "schedule.h"
#include "settings.h"

namespace postern::queue {

/// Declared once, shared by all shards.
struct QueueMetrics {
  explicit QueueMetrics(Metrics& metrics);
  Gauge& waiting;
  Counter& delivered;
  Counter& discarded;
  Counter& deferred;
  Counter& held;
  Histogram& seconds;
};

struct ShardParts {
  Spool& spool;
  MailStore& store;
  Transport* transport = nullptr;  ///< none: mail for other servers waits
  Directory* directory = nullptr;  ///< for released mail; none: it stays
  QueueMetrics& metrics;
  QueueSettings settings;
};

/// A message that recovery or an administrator hands over.
struct Seed {
  MessageId id;
  WallTime due{};
  bool placed = false;   ///< a token of it may wait for its publish
  bool suspect = false;  ///< it was being handled when the process crashed
  bool forced = false;   ///< at once, whatever its schedule says
  bool held = false;     ///< until somebody releases it: only `placed` is of interest
};

class Shard final : private TimerNode {
 public:
  Shard(Executor& home, Log log, ShardParts parts);
  ~Shard();

  /// Any worker. Returns at once.
  void push(QueuedMessage message);
  void adopt(const std::vector<Seed>& seeds);

  /// Makes waiting messages due now: one, or all. Returns how many.
  std::size_t retry(std::optional<MessageId> id);
  enum class Known : std::uint8_t { kNo, kWaiting, kRunning };
  Known known(MessageId id) const;
  void drop(MessageId id);  ///< it was held or recalled
  bool may_sweep() const { return stuck_.empty(); }

  Task<void> drain(Deadline deadline);
  std::size_t size() const { return items_.size(); }
  Executor& executor() const { return home_; }
  const Log& log() const { return log_; }
  void set_log(Log log) { log_ = std::move(log); }  ///< before the worker has anything to do
  /// Runs a task of the queue as a whole until drain() begins (which cancels it).
  void begin(Task<void> task) { background_.spawn(std::move(task)); }

 private:
  struct Arrival;
  struct Inbox final : Runnable {
    explicit Inbox(Shard& owner) : shard(owner) {}
    void run() override { shard.take_arrivals(); }
    Shard& shard;
  };
  struct Turn final : Runnable {
    explicit Turn(Shard& owner) : shard(owner) {}
    void run() override { shard.dispatch(); }
    Shard& shard;
  };

  // shard.cc: arrivals, turns, timers
  bool may_load() const { return hot_ < parts_.settings.hot_messages + parts_.settings.local_concurrency; }
  void set_active(Item& item, std::unique_ptr<Active> active);
  void clear_active(Item& item);
  void take_arrivals();
  void take(QueuedMessage message);
  bool discard_at_once(const QueuedMessage& message);
  void make_ready(Item& item);
  void schedule_dispatch();
  void dispatch();
  Item* next_local();
  void start(Item& item);
  void start_load(Item& item);
  void wait_until(Item& item, WallTime due);
  void arm_timer();
  void fire() override;
  void erase(Item& item);

  // shard_steps.cc: what a message's turn consists of
  std::optional<std::size_t> next_step(Item& item);
  bool step_due(Item& item, std::size_t number);
  std::vector<std::uint32_t> undone(const Active& active, const PlanStep& step, bool forced, WallTime now) const;
  void settle(Item& item);
  Task<void> load(Item* item);
  Task<void> hold(Item* item, std::string why);
  Task<void> run_step(Item* item, std::size_t number);
  Task<std::optional<Fault>> carry_out(Item& item, std::size_t number, std::vector<std::uint32_t> who);
  void finish(Item& item, const std::vector<std::uint32_t>& who, std::uint32_t lead);
  void defer(Item& item, const std::vector<std::uint32_t>& who, const Fault& why, std::optional<Duration> after = {});

  // shard_deliver.cc: the ways of a step
  Task<std::optional<Fault>> deliver(Item& item, const PlanStep& step, std::string account,
                                     std::vector<std::uint32_t> who);
  Task<Result<std::string>> place(Item& item, const PlanStep& step, std::string account, std::uint32_t lead);
  Task<std::optional<Fault>> relay(Item& item, const PlanStep& step, std::vector<std::uint32_t> who);
  Task<std::optional<Fault>> release(Item& item, const PlanStep& step, std::vector<std::uint32_t> who);
  Result<DeliveryRequest> request_for(const Item& item, const PlanStep& step, std::string account, std::uint32_t lead,
                                      const MessageReader& message) const;

  Executor& home_;
  Log log_;
  ShardParts parts_;
  Schedule schedule_;
  Nursery nursery_;
  Nursery background_;
  std::unordered_map<std::uint64_t, Item> items_;
  ReadyRing ready_;         ///< local steps
  ReadyRing ready_remote_;  ///< steps for other servers
  ReadyRing cold_;          ///< messages to be read from the spool
  ReadyRing suspects_;      ///< likewise, but one at a time: what crashed the process shall not take others along
  std::priority_queue<std::pair<WallTime, std::uint64_t>, std::vector<std::pair<WallTime, std::uint64_t>>,
                      std::greater<>>
      waiting_;
  std::unordered_set<std::uint64_t> stuck_;  ///< placed and not published: their tmp files must not be swept
  std::size_t hot_ = 0;
  unsigned local_running_ = 0;
  unsigned remote_running_ = 0;
  bool suspect_running_ = false;
  bool cold_first_ = false;  ///< whose turn it is between cold_ and ready_
  bool draining_ = false;
  bool turn_posted_ = false;
  bool told_no_route_ = false;
  std::atomic<Arrival*> arrivals_{nullptr};
  Inbox inbox_{*this};
  Turn turn_{*this};
};

}  // namespace postern::queue
