// QueueService: the shards of all workers behind the service "queue", what happens at start-up, and the rounds of the
// day.
//
// A message belongs to the worker that its first mailbox hashes to (so that an account's mail keeps its order), or its
// id when it has none; mail for a destination that collects goes by that destination, so that its count is one.
// Messages found at start-up go by their id. Commands ask all shards: a message is in one of them or, when it is held,
// in none.
//
// Nothing is begun before the start has listed the spool and tried the suspects, one at a time and alone, so that a
// crash tells which of them is its cause (core/spool/README.md, Poison). A suspect that takes longer than kAloneFor
// ends that: waiting for a slow host must not keep all other mail.
//
// Owner: the module. Thread: accepted() and before_commit() any; the rest as said.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "postern/module.h"
#include "shard.h"

namespace postern::queue {

class QueueService final : public Queue {
 public:
  static constexpr Duration kSweepAge = 36h;  ///< of files in tmp, as Maildir has it
  static constexpr Duration kSweepEvery = 24h;
  static constexpr Duration kAloneFor = 1s;
  static constexpr Duration kAlonePoll = 2ms;
  static constexpr std::size_t kPage = 1000;       ///< messages of one look into the spool
  static constexpr std::uint32_t kSlice = 10'000;  ///< messages that one turn of a worker looks at

  QueueService(Runtime& runtime, Metrics& metrics);
  ~QueueService() override;

  /// One shard per worker, before any of them runs.
  void make_shards(Spool& spool, MailStore& store, Transport* transport, Directory* directory, Teller* teller,
                   const QueueSettings& settings, const SubmissionSettings& submission = {}, Policy* policy = nullptr);
  /// Marks what is in the spool now as what recovery has to bring back. Before anything is accepted; on `here`'s
  /// thread.
  void mark_own(Executor& here) { first_own_ = spool_->begin(here).id(); }
  void set_log(unsigned worker, Log log);
  /// On worker 0: gives what the spool holds to the shards, then sweeps every day.
  void begin();

  void before_commit(Envelope& envelope, const ClientInfo& client, WallTime now) override;
  void accepted(QueuedMessage message) override;

  Task<void> drain(unsigned worker, Deadline deadline);
  void clear() { shards_.clear(); }  ///< after all have drained
  Shard& shard(unsigned worker) { return *shards_.at(worker); }
  unsigned shards() const { return static_cast<unsigned>(shards_.size()); }
  Spool& spool() { return *spool_; }
  QueueMetrics& metrics() { return metrics_; }

  // For commands, on worker 0.
  Task<bool> retry(MessageId id);
  Task<std::size_t> retry_all();
  Task<Shard::Known> known(MessageId id);
  Task<void> drop(MessageId id);
  /// A change of what the spool knows of a message (a route, a release) is to be acted on.
  Task<void> renew(Seed seed);
  Task<Shard::Recall> recall(MessageId id);
  /// `destination`: a domain, or the name of a route or gateway. Also of `postern queue retry --destination`.
  Task<std::size_t> request(std::string destination) override;

  /// What the shards must know of a message in the spool; nothing when it has no undone recipient.
  static std::optional<Seed> seed_of(const MessageInfo& info, WallTime now);

 private:
  Task<void> retry_slices(unsigned shard, std::optional<std::uint32_t> destination, std::size_t* count);
  Task<void> recover(std::vector<Seed>* suspects);
  struct HalfTold {
    MessageId message;
    std::uint32_t recipient = 0;
  };
  using HalfToldBy = std::multimap<MessageId, HalfTold>;  ///< the report that an intent names
  Task<void> end_told(const std::vector<MessageInfo>* page, HalfToldBy* half_told);
  Task<void> give(std::vector<std::vector<Seed>> seeds);
  Task<void> try_suspects(std::vector<Seed> suspects);
  Task<bool> try_alone(Seed seed);
  Task<void> end_quiet();
  Task<void> sweep_daily();
  Task<void> begin_on_worker();
  Task<bool> may_sweep();
  Task<void> release_others(unsigned but, std::uint32_t hash);
  std::string hop_of(const std::string& domain) const;
  unsigned owner_of(MessageId id) const;
  unsigned owner_of(const Seed& seed) const;

  Runtime& runtime_;
  QueueMetrics metrics_;
  Spool* spool_ = nullptr;
  MailStore* store_ = nullptr;
  Transport* transport_ = nullptr;
  Teller* teller_ = nullptr;
  std::unique_ptr<Routes> routes_;
  Collected collected_;
  SubmissionSettings submission_;
  MessageId first_own_{~0ULL};  ///< ids from here on were given by this process: accepted(), not recovery, brings them
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace postern::queue
