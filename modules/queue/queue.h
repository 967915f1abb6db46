// QueueService: the shards of all workers behind the service "queue", what happens at start-up, and the rounds of the
// day.
//
// A message belongs to the worker that its first mailbox hashes to (so that an account's mail keeps its order), or its
// id when it has none; messages found at start-up go by their id. Commands ask all shards: a message is in one of them
// or, when it is held, in none.
//
// Owner: the module. Thread: accepted() any; the rest as said.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "postern/module.h"
#include "shard.h"

namespace postern::queue {

class QueueService final : public Queue {
 public:
  static constexpr Duration kSweepAge = 36h;  ///< of files in tmp, as Maildir has it
  static constexpr Duration kSweepEvery = 24h;
  static constexpr std::size_t kPage = 1000;  ///< messages of one look into the spool

  QueueService(Runtime& runtime, Metrics& metrics);
  ~QueueService() override;

  /// One shard per worker, before any of them runs.
  void make_shards(Spool& spool, MailStore& store, Transport* transport, Directory* directory,
                   const QueueSettings& settings);
  /// Marks what is in the spool now as what recovery has to bring back. Before anything is accepted; on `here`'s
  /// thread.
  void mark_own(Executor& here) { first_own_ = spool_->begin(here).id(); }
  void set_log(unsigned worker, Log log);
  /// On worker 0: gives what the spool holds to the shards, then sweeps every day.
  void begin();

  void accepted(QueuedMessage message) override;

  Task<void> drain(unsigned worker, Deadline deadline);
  void clear() { shards_.clear(); }  ///< after all have drained
  Shard& shard(unsigned worker) { return *shards_.at(worker); }
  Spool& spool() { return *spool_; }

  // For commands, on worker 0.
  Task<std::size_t> retry(std::optional<MessageId> id);
  Task<Shard::Known> known(MessageId id);
  Task<void> drop(MessageId id);
  Task<void> adopt(Seed seed);

  /// What the shards must know of a message in the spool; nothing when it has no undone recipient.
  static std::optional<Seed> seed_of(const MessageInfo& info, WallTime now);

 private:
  Task<void> recover();
  Task<void> sweep_daily();
  Task<void> begin_on_worker();
  Task<bool> may_sweep();
  unsigned owner_of(MessageId id) const;

  Runtime& runtime_;
  QueueMetrics metrics_;
  Spool* spool_ = nullptr;
  MailStore* store_ = nullptr;
  MessageId first_own_{~0ULL};  ///< ids from here on were given by this process: accepted(), not recovery, brings them
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace postern::queue
