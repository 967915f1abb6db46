// Shard: one worker's part of the queue. It owns its messages from acceptance (or recovery) to their last recipient.
//
//   arrivals -> cold (in the spool) -> in memory -> local steps: by account, in turns
//                                                -> parts of relay steps: by destination and sender, in turns
//            -> under way (bounded) -> done, told (the sender), waiting (timer), or held (spool only)
//
// Nothing is decided here that the spool does not know: a shard that is lost is rebuilt from Spool::list. A message
// whose steps all discard never becomes an item. Mail that waits or is held costs an Item or nothing at all.
//
// Local delivery is exactly once (architecture.md decision 6): stage, `placed` durable, publish, `done`. Of the
// recipients of one step, which share a mailbox, the first undone one (the lead) carries the mark; its `done` is
// written last, so that whatever of them a crash leaves, the lead's token answers for all.
//
// A recall and an attempt never pass each other: both are decided on this worker, but for the final dot, which the
// DotGate of the attempt decides.
//
// Thread: its worker; only push() may be called from others. Errors: none reach a caller; they become marks and log
// lines.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_set>
#include <vector>

#include "collected.h"
#include "destinations.h"
#include "fair_ring.h"
#include "item_table.h"
#include "postern/auth.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/mailstore.h"
#include "postern/metrics.h"
#include "postern/nursery.h"
#include "postern/pipeline.h"
#include "postern/queue_event.h"
#include "ready_ring.h"
#include "settings.h"

namespace postern::queue {

/// Declared once, shared by all shards.
struct QueueMetrics {
  explicit QueueMetrics(Metrics& metrics);
  Gauge& waiting;
  Counter& delivered;
  Counter& discarded;
  Counter& deferred;
  Counter& failed;
  Counter& held;
  Counter& recalled;
  Counter& hooks_skipped;
  Histogram& seconds;
};

struct ShardParts {
  Spool& spool;
  MailStore& store;
  Transport* transport = nullptr;  ///< none: mail for other servers waits
  Directory* directory = nullptr;  ///< for released mail; none: it stays
  Teller* teller = nullptr;        ///< none: nobody is told
  Policy* policy = nullptr;        ///< none: there are no hooks
  QueueMetrics& metrics;
  const Routes& routes;
  Collected& collected;
  QueueSettings settings;
};

/// A message that recovery or an administrator hands over.
struct Seed {
  MessageId id;
  WallTime due{};
  std::uint64_t label = 0;
  bool placed = false;     ///< a token of it may wait for its publish
  bool suspect = false;    ///< it was being handled when the process crashed
  bool forced = false;     ///< at once, whatever its schedule says
  bool held = false;       ///< until somebody releases it: only `placed` is of interest
  bool expire = false;     ///< it is to fail now
  bool unsettled = false;  ///< marks about it may still be on their way to the disk
};

/// What an attempt that did not serve a recipient came to.
struct Failure {
  Reply reply;
  std::string host;
  std::string note;  ///< for the mark and the log
  std::optional<Duration> retry_after = {};
  bool attempted = true;
  bool reply_lost = false;
  bool held = false;  ///< by a hook, whose words the note is: a mark tells of it though nothing was tried
  static Failure of(const Fault& fault);
};

class Shard final : private TimerNode {
 public:
  Shard(Executor& home, Log log, ShardParts parts);
  ~Shard();

  /// Any worker. Returns at once.
  void push(QueuedMessage message);
  void adopt(const std::vector<Seed>& seeds);

  /// Makes a waiting message due now; false when there is no such one.
  bool retry(MessageId id);
  /// Makes at most `limit` waiting messages due now, from the one with number `*from` on, which it moves on; true at
  /// their end. `count` is increased. All of them are done in slices, so that other work goes on.
  bool retry_some(std::uint32_t* from, std::uint32_t limit, std::optional<std::uint32_t> destination,
                  std::size_t* count);
  enum class Known : std::uint8_t { kNo, kWaiting, kRunning };
  Known known(MessageId id);
  void drop(MessageId id);  ///< it was held
  /// What is known of it is out of date (a route, a release, an end): it is read again, and tried at once. False when
  /// it is not here.
  bool renew(const Seed& seed);
  struct Recall {
    Known known = Known::kNo;
    bool whole = true;                       ///< nothing of it is beyond recall
    std::vector<std::uint32_t> taken, late;  ///< when not: what was taken back, what could not be
  };
  /// Takes a message back as far as that goes: nothing of what is `taken` will happen. The caller writes the mark.
  Recall recall(MessageId id);
  /// Releases what was collected for a destination, and adds how many messages that are. Returns its number, for
  /// retry_some(); nothing when there is no mail for it.
  std::optional<std::uint32_t> request(std::string_view destination, std::size_t* count);
  /// Another shard has released what is collected for a destination.
  void release_too(std::uint32_t hash);
  bool may_sweep() const { return stuck_.empty(); }

  /// While it is quiet, nothing is begun but the suspect that was adopted last.
  void set_quiet(bool quiet);
  /// Whether a suspect is still being tried. `end`: it is no longer alone from now on.
  bool trying(bool end);

  Task<void> drain(Deadline deadline);
  std::size_t size() const { return items_.size(); }
  std::size_t weight() const { return hot_; }  ///< of what is in memory, in messages of few recipients
  Destinations& destinations() { return destinations_; }
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
  using Recipients = std::vector<std::uint32_t>;

  // shard.cc: arrivals, turns
  bool may_load() const { return hot_ < parts_.settings.hot_messages + parts_.settings.local_concurrency; }
  void set_active(Item& item, std::unique_ptr<Active> active);
  void clear_active(Item& item);
  void take_arrivals();
  void take(QueuedMessage message);
  std::string first_hop(const Envelope& envelope, const Plan& plan) const;
  bool discard_at_once(const QueuedMessage& message);
  void adopt_one(const Seed& seed);
  void make_ready(Item& item);
  void schedule_dispatch();
  void dispatch();
  Item* next_local();
  Item* next_cold();
  Item* next_asking();
  void start(Item& item);
  void start_load(Item& item);
  void start_part(Part& part);
  void begin_running(Item& item);
  void erase(Item& item);

  // shard_wait.cc: timers, closed and collecting destinations, and what others ask for
  void wait_until(Item& item, WallTime due);
  void arm_timer();
  void fire() override;
  void fire_releases(WallTime now);
  bool may_start(std::uint32_t destination);
  bool may_read(std::uint32_t destination);
  bool skip_closed(Item& item);
  void queued(std::uint32_t destination);
  void release_collected(std::uint32_t destination);
  void release_everywhere(std::uint32_t destination);
  void collected_out(std::uint32_t destination);
  void unpark_cold(std::uint32_t destination);
  void unpark_unproven();

  // shard_steps.cc: what a message's turn consists of
  void expand(Item& item);
  void add_parts(Item& item, std::size_t number, const Recipients& who);
  bool enter_step(Item& item, std::size_t number);
  Recipients due_of(Item& item, const PlanStep& step);
  std::optional<std::size_t> next_step(Item& item);
  Recipients undone(const Active& active, const PlanStep& step, bool forced, WallTime now) const;
  WallTime next_turn(const Active& active) const;
  void settle(Item& item);
  Task<bool> settled(Item* item);
  class Loading;
  unsigned& place_of(const Item& item);
  bool needs_route(const Active& active) const;
  Task<void> load(Item* item);
  void begin_again(Item& item);
  Task<void> hold(Item* item, std::string why);
  Task<void> run_step(Item* item, std::size_t number);
  Task<void> run_part(Part* part);
  void end_part(Part& part);
  void end_running(Item& item);
  Task<std::optional<Fault>> carry_out(Item& item, std::size_t number, Recipients who);

  // shard_end.cc: what becomes of a recipient
  void finish(Item& item, const Recipients& who, std::uint32_t lead, const std::optional<Outcome>& success);
  void end_served(Item& item, std::uint32_t one, const std::optional<Outcome>& success);
  void defer(Item& item, const Recipients& who, const Failure& failure, const Route& route);
  void defer(Item& item, const Recipients& who, const AttemptResult& result, std::uint32_t destination);
  void owe(Item& item, const Outcome& outcome);
  void owe_failures(Item& item);
  void owed_warnings(Item& item, const MessageReader& reader);
  void warn_of_delay(Item& item, std::uint32_t one, const Failure& failure, const Milestones& milestones);
  Milestones milestones(const Active& active, const Route& route) const;
  Task<void> tell(Item* item);
  void end_told(Item& item, const Outcome& outcome);
  void end_recalled(Item& item);

  // shard_hooks.cc: what rules are asked and told
  static constexpr unsigned kMaxNotices = 1000;  ///< that hooks are busy with; they are not told of more
  struct Notice {
    Notice(Stage stage, MessageId id, const Active& active, const Recipients& who);
    Envelope envelope;
    QueueEvent event;
  };
  using PutOff = std::vector<std::pair<std::size_t, Verdict>>;  ///< steps of a plan
  bool hooked(Stage stage) const { return parts_.policy != nullptr && parts_.policy->has_hooks(stage); }
  Task<PutOff> ask_route(MessageId id, Active* active);
  void put_off_step(Item& item, std::size_t number, const Verdict& verdict);
  Task<Recipients> may_attempt(Item& item, Recipients who, std::uint32_t destination);
  void obey(Item& item, const Recipients& who, const Verdict& verdict, const Route& route);
  void tell_hooks(std::unique_ptr<Notice> notice);
  Task<void> run_notice(std::unique_ptr<Notice> notice);
  void tell_queued(const QueuedMessage& message);
  void tell_end(Stage stage, const Item& item, const Recipients& who, const Reply& reply, std::string_view host = {},
                std::string_view destination = {}, WallTime next = {});

  // shard_deliver.cc and shard_relay.cc: the ways of a step
  Task<std::optional<Fault>> deliver(Item& item, const PlanStep& step, std::string account, Recipients who);
  Task<Result<std::string>> place(Item& item, const PlanStep& step, std::string account, std::uint32_t lead,
                                  const Recipients& who);
  Task<std::optional<Fault>> relay(Item& item, const PlanStep& step, Recipients who, std::uint32_t destination);
  void take_result(Item& item, const AttemptResult& result, std::uint32_t destination);
  Task<AddressLookup> look_up(Address* address);
  Task<std::optional<Fault>> release(Item& item, const PlanStep& step, Recipients who);
  Result<DeliveryRequest> request_for(const Item& item, const PlanStep& step, std::string account, std::uint32_t lead,
                                      const MessageReader& message) const;

  Executor& home_;
  Log log_;
  ShardParts parts_;
  Nursery nursery_;
  Nursery background_;
  ItemTable items_;
  Destinations destinations_;
  ReadyRing ready_;        ///< local steps
  FairRing<Part> remote_;  ///< parts of relay steps
  FairRing<Item> cold_;    ///< messages to be read from the spool
  FairRing<Item> asking_;  ///< of them: those for which hooks will be asked
  ReadyRing suspects_;     ///< likewise, but one at a time: what crashed the process shall not take others along
  std::priority_queue<std::pair<WallTime, std::uint64_t>, std::vector<std::pair<WallTime, std::uint64_t>>,
                      std::greater<>>
      waiting_;
  std::vector<std::pair<WallTime, std::uint32_t>> releases_;  ///< of collecting destinations
  std::deque<std::uint32_t> unproven_parked_;
  std::unordered_set<std::uint64_t> stuck_;  ///< placed and not published: their tmp files must not be swept
  std::size_t hot_ = 0;                      ///< weight of what is in memory
  unsigned local_running_ = 0;
  unsigned hooks_running_ = 0;  ///< messages that are read, and whose route hooks are asked for
  unsigned remote_running_ = 0;
  unsigned unproven_running_ = 0;
  Item* suspect_ = nullptr;  ///< that is being tried
  bool quiet_ = true;        ///< until the queue as a whole has begun
  bool cold_first_ = false;  ///< whose turn it is between cold_ and ready_
  bool draining_ = false;
  bool turn_posted_ = false;
  bool told_no_route_ = false;
  unsigned notices_ = 0;  ///< under way
  std::atomic<Arrival*> arrivals_{nullptr};
  Inbox inbox_{*this};
  Turn turn_{*this};
};

}  // namespace postern::queue
