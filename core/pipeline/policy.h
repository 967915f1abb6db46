// The policy of one process: hooks, the gate, "root", and the commit of what they decided (service "policy").
//
// For:    protocols that take mail in. They ask at each stage, and carry the verdict to their peer.
// Owner:  main makes it before the modules are prepared, since they need it; attach() gives it the services that
// modules
//         provide, start() each worker's resolver and log, install() an epoch of rules.
// Thread: the calls of Policy on the worker of their session. State is per worker, so that nothing is locked.
// Errors: verdicts are values; Cancelled is thrown through. What goes wrong inside becomes 451.
// RFC:    5321 (§4.2.5: who answers for what after 250), 3464 (what split decisions become), 6409.
//
// The promise (architecture.md decision 6): commit() returns a message's id only after Draft::commit said that it is on
// disk, with its plan and trail; the queue hears of it after that.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/pipeline/alias.h"
#include "core/pipeline/effects.h"
#include "core/pipeline/epoch.h"
#include "core/pipeline/trail_log.h"
#include "postern/pipeline.h"
#include "postern/return_path.h"

namespace postern {

/// A reply as the trail keeps it: the text behind its enhanced code.
inline std::string said(const Reply& reply) {
  return reply.enhanced.empty() ? reply.text : reply.enhanced + " " + reply.text;
}

class Archive;

class PipelinePolicy final : public Policy {
 public:
  struct Options {
    unsigned workers = 1;
    Metrics& metrics;
    TrailLog* trails = nullptr;            ///< nothing: trails of refused mail are not kept
    bool keep_accepted = true;             ///< [trail] accepted
    bool keep_silent = false;              ///< [trail] silent
    const Services* services = nullptr;    ///< of databases, kv stores and the spool, for rules that ask
    Archive* archive = nullptr;            ///< nothing: no copies of messages are kept
    Instant (*precise_clock)() = nullptr;  ///< `std::chrono::steady_clock::now` in a server; see PolicyWorker
  };
  explicit PipelinePolicy(Options options);
  ~PipelinePolicy() override;

  /// Before start: the services that modules provide. Without a queue, nobody is told of accepted mail (tests,
  /// `explain`); without return paths, forwarded mail keeps its sender.
  void attach(Directory& directory, Queue* queue, const ReturnPaths* return_paths = nullptr);
  /// Also before start: where the mails that rules write are begun, and the name in their trace fields. Without it no
  /// rule can write any.
  void attach_spool(Spool& spool, std::string hostname);
  /// On each worker's thread, or before the loops run.
  void start(Executor& executor, Resolver& resolver, Log log, HttpClient* http = nullptr);
  /// From now on rules on this worker are answered from `recorded`, which outlives them, instead of by the world; null
  /// ends that. For replay, explain and specs.
  void answer_from(Executor& executor, RecordedAnswers* recorded);
  /// From now on rules on this worker may look at the world and not change it; `pretence` outlives them, null ends it.
  void pretend(Executor& executor, Pretence* pretence);
  /// `trail` gets what the queue's hooks on this worker leave, event by event; null ends it. For specs.
  void watch_events(Executor& executor, Trail* trail);
  /// Puts an epoch in force on one worker; on its thread, or before the loops run. Cannot fail.
  void install(Executor& executor, const PreparedRules& prepared);

  bool trusts_proxy(const IpAddress& peer) const override;
  /// Ends and delays of mail under way are told even without hooks: trails keep them.
  static constexpr std::uint32_t kQueueEnds = 1U << static_cast<unsigned>(Stage::kDelivered) |
                                              1U << static_cast<unsigned>(Stage::kDeferred) |
                                              1U << static_cast<unsigned>(Stage::kBounced);
  bool has_hooks(Stage stage) const override {
    std::uint32_t kept = options_.trails && options_.keep_accepted ? kQueueEnds : 0;
    if (options_.trails && options_.keep_silent) kept |= 1U << static_cast<unsigned>(Stage::kDisconnect);
    return ((hooked_.load(std::memory_order_relaxed) | kept) >> static_cast<unsigned>(stage)) & 1;
  }
  void reverse_answered(SessionState& session, Transaction* transaction) override;
  Task<Verdict> connect(SessionState& session) override;
  Task<Verdict> ehlo(SessionState& session) override;
  Task<Verdict> starttls(SessionState& session) override;
  Task<Verdict> auth(SessionState& session) override;
  Task<Verdict> mail(Transaction& transaction) override;
  Task<Verdict> rcpt(Transaction& transaction, Recipient recipient) override;
  Task<Verdict> data(Transaction& transaction) override;
  Task<Decision> message(Transaction& transaction) override;
  Task<void> disconnect(SessionState& session) override;
  Task<Result<MessageId>> commit(Transaction& transaction, Draft draft, const Decision& decision) override;
  Task<Verdict> queue_event(QueueEvent& event) override;
  void refused(SessionState& session, Transaction* transaction, std::string_view why) override;

 private:
  /// A recipient as the gate sees it.
  struct Classified {
    RecipientClass kind = RecipientClass::kForeign;
    AddressLookup lookup;
    std::string problem;  ///< for the log, when an alias is broken
    std::string words;    ///< of the refusal, when there are better ones than the gate's
  };
  /// What following aliases did to the recipients of a message.
  struct Expansion {
    std::vector<std::uint32_t> named_by;                          ///< the recipient that the client named, by number
    std::vector<bool> by_alias;                                   ///< it is another address than the client named
    std::vector<std::pair<std::uint32_t, std::string>> failed{};  ///< recipients, with what is wrong with their alias
  };
  /// A mail that rules bring in, before it goes through "root".
  using Settled = std::shared_ptr<SettledMail>;
  /// What a mail has in common with all that it brings in.
  struct MessageRun {
    std::shared_ptr<const RuleEpoch> epoch;  ///< whatever a reload installs meanwhile
    Instant until;                           ///< the end of all their waits
    std::size_t brought = 0;                 ///< how many were brought in so far
  };
  PolicyWorker& here(Executor& executor) { return *workers_[executor.index()]; }
  void begin_trail(SessionState& session);
  Task<Verdict> session_stage(SessionState& session, Stage stage);
  Task<Verdict> run_hooks(PolicyWorker& worker, std::shared_ptr<const RuleEpoch> epoch, Stage stage,
                          SessionState& session, Transaction* transaction, const Recipient* recipient,
                          QueueEvent* event = nullptr, std::optional<Instant> until = {});
  Task<Verdict> run_queue_hooks(QueueEvent& event);
  void keep_event(Executor& executor, const QueueEvent& event, const Trail& trail);
  void hook_failed(PolicyWorker& worker, const CompiledHook& hook, Stage stage, SessionState& session, Trail& trail,
                   const Fault& fault);
  /// `mail` and `address` outlive the task: the latter is the recipient's in rcpt(). Behind `until` nobody is waited
  /// for.
  Task<Classified> classify_recipient(PolicyWorker& worker, const RuleEpoch& epoch, Transaction& mail,
                                      const Address& address, Instant until = Instant::max());
  Task<Classified> classify_return_path(PolicyWorker& worker, const RuleEpoch& epoch, Transaction& mail,
                                        const Address& address, Instant until);
  Task<Classified> classify_local(PolicyWorker& worker, const RuleEpoch& epoch, Transaction& mail,
                                  const Address& address, Instant until);
  Task<void> expand_aliases(PolicyWorker& worker, Transaction& transaction, Expansion& expansion, Instant until);
  void rewrite_sender(PolicyWorker& worker, Transaction& mail, const std::vector<bool>& by_alias, Plan& plan) const;
  /// `run` outlives the task, here and below: it is of the frame of message().
  Task<Decision> decide_message(PolicyWorker& worker, MessageRun& run, Transaction& transaction);
  /// Settles the mails that rules brought in (brought.cc). A verdict that refuses is the answer to all.
  Task<Verdict> bring_in(PolicyWorker& worker, MessageRun& run, Transaction& parent);
  Task<Verdict> bring_one(PolicyWorker& worker, MessageRun& run, Transaction& parent, BroughtMail& mail);
  void drop_settled(Transaction& parent, std::string_view why);
  void drop_one(SettledMail& one, std::string_view why);
  Settled make_settled(PolicyWorker& worker, const RuleEpoch& epoch, const Transaction& parent, BroughtMail& mail);
  /// Whether the recipient may have it; its place beside the others is then set up. Errors: "brought.*".
  Task<Result<void>> address_one(PolicyWorker& worker, const MessageRun& run, const Transaction& parent,
                                 const BroughtMail& mail, Transaction& child, Recipient recipient);
  void log_refusal(PolicyWorker& worker, Transaction& transaction, const Recipient& recipient, const Verdict& verdict,
                   std::string_view cell);
  void accepted(PolicyWorker& worker, MessageId id, const Transaction& transaction, Envelope envelope, Plan plan,
                std::uint64_t size);

  Options options_;
  Directory* directory_ = nullptr;
  Queue* queue_ = nullptr;
  const ReturnPaths* return_paths_ = nullptr;
  Spool* spool_ = nullptr;
  std::string hostname_;
  std::vector<std::unique_ptr<PolicyWorker>> workers_;
  /// Stages that have a hook on some worker in the present epoch: a stage without any costs no coroutine.
  std::atomic<std::uint32_t> hooked_{0};
  /// The newest gate. Older ones stay until the end, for those who read them meanwhile; a reload is rare.
  std::atomic<const GateConfig*> gate_{nullptr};
  struct GateList;
  std::unique_ptr<GateList> gates_;
  Counter& accepted_;
  Counter& brought_;
  Counter& accepted_recipients_;
  Counter& refused_recipients_;
  Counter& refused_messages_;
  Counter& commit_faults_;
  Histogram& root_seconds_;
};

/// Turns a decision into what is committed: refused recipients leave the envelope, and the plan's numbers follow.
void compact(Envelope& envelope, Plan& plan);

}  // namespace postern
