// A queue with a spool in memory and a store that a test can fill up, break, or crash at any step. For the tests here.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/nursery.h"
#include "postern/sim.h"
#include "queue.h"

namespace postern::queue {

inline Address address(std::string_view text) {
  auto parsed = text.empty() ? Parsed<Address>(Address()) : Address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

/// How many more steps of the outside world take effect; after them the process is as good as dead.
struct Fate {
  long left = 1'000'000'000;
  long taken = 0;
  bool step() {
    if (left <= 0) return false;
    --left;
    ++taken;
    return true;
  }
};

template <class T>
class Refused final : public SpoolOp<T> {
 public:
  explicit Refused(Fault why) : why_(std::move(why)) {}
  bool ready() override {
    this->result = std::unexpected(why_);
    return true;
  }
  void start() override {}
  void run() override {}

 private:
  Fault why_;
};

/// The memory spool, with a fate, and with lazy marks that a crash can lose as long as nothing durable followed them.
class FatedSpool final : public Spool {
 public:
  explicit FatedSpool(Fate& the_fate) : fate(the_fate) {}
  Draft begin(Executor& home, std::uint64_t hint) override { return real->begin(home, hint); }
  SpoolWait<MessageReader> open(Executor& home, MessageId id) override {
    ++opened;
    if (fate.left <= 0) return SpoolWait<MessageReader>(new Refused<MessageReader>({"spool.latched", "dead"}));
    return real->open(home, id);
  }
  SpoolWait<void> change(Executor& home, Change change) override {
    if (!fate.step()) return SpoolWait<void>(new Refused<void>({"spool.latched", "dead"}));
    flush(home);
    return real->change(home, std::move(change));
  }
  void change_lazily(Executor& home, Change change) override {
    if (!fate.step()) return;
    lazy.push_back(std::move(change));
    if (!keep_lazy_back) flush(home);
  }
  SpoolWait<std::vector<MessageInfo>> list(Executor& home, MessageId after, std::size_t limit) override {
    return real->list(home, after, limit);
  }
  SpoolWait<SpoolStats> stats(Executor& home) override { return real->stats(home); }
  Handling handling(Executor&, MessageId, bool alone) override {
    for (auto& slot : slots) {
      if (slot != 0) {
        company_of_alone += alone ? 1 : 0;
        continue;
      }
      handled_alone += alone ? 1 : 0;
      return Handling(&slot, 1);
    }
    return {};
  }

  void flush(Executor& home) {
    for (Change& one : lazy) real->change_lazily(home, std::move(one));
    lazy.clear();
  }
  void crash() { lazy.clear(); }

  Fate& fate;
  std::unique_ptr<Spool> real = make_memory_spool();
  std::vector<Change> lazy;
  bool keep_lazy_back = false;
  std::array<std::uint64_t, 64> slots{};
  int handled_alone = 0;
  int company_of_alone = 0;  ///< what else was under way then
  int opened = 0;
};

/// Mailboxes in memory. Tokens are "account/unique".
class FakeStore final : public MailStore {
 public:
  explicit FakeStore(Fate& the_fate) : fate(the_fate) {}
  struct Mail {
    std::string account, folder, text;
  };
  Task<Result<std::string>> stage(DeliveryRequest request, MessageReader& message) override {
    ++stages;
    tried.push_back((co_await this_executor()).wall());
    if (!fault_now.code.empty()) co_return std::unexpected(fault_now);
    std::string text = request.prefix;
    if (request.header) {
      text += *request.header;
      message.rewind_to_body();
    }
    while (true) {
      auto piece = co_await message.next();
      if (!piece) co_return std::unexpected(piece.error());
      if (piece->empty()) break;
      text += *piece;
    }
    if (!fate.step()) co_return fault("store.io", "dead");
    std::string token = request.account + "/" + request.unique;
    staged.insert_or_assign(token, Mail{request.account, request.folder, std::move(text)});
    co_await sleep_for(1ms);
    co_return token;
  }
  Task<Result<void>> publish(std::string token) override {
    if (!fate.step()) co_return fault("store.io", "dead");
    if (publish_fails > 0 && publish_fails--) co_return fault("store.io", "a bad disk");
    auto found = staged.find(token);
    if (found == staged.end()) co_return fault("store.gone", token);
    delivered.push_back(std::move(found->second));
    staged.erase(found);
    co_await sleep_for(1ms);
    co_return Result<void>();
  }
  Task<Result<bool>> is_staged(std::string token) override {
    if (fate.left <= 0) co_return fault("store.io", "dead");
    co_return staged.contains(token);
  }
  Task<void> discard(std::string token) override {
    if (fate.step()) staged.erase(token);
    co_return;
  }
  Task<std::size_t> sweep(WallTime) override {
    ++sweeps;
    co_return 0;
  }
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string, std::string) override { co_return fault("store.no_folder"); }

  std::size_t count(std::string_view account) const {
    return static_cast<std::size_t>(std::ranges::count(delivered, account, &Mail::account));
  }
  Fate& fate;
  std::map<std::string, Mail> staged;
  std::vector<Mail> delivered;
  std::vector<WallTime> tried;
  Fault fault_now;
  int publish_fails = 0;
  int stages = 0;
  int sweeps = 0;
};

class FakeDirectory final : public Directory {
 public:
  DomainKind domain_kind(std::string_view) const override { return DomainKind::kLocal; }
  std::string default_domain() const override { return "x.example"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address asked) override {
    if (const auto own = known.find(asked.to_string()); own != known.end())
      return Task<AddressLookup>::ready(AddressLookup(own->second));
    AddressLookup out;
    out.kind = AddressLookup::Kind::kAccount;
    out.account = asked.local();
    return Task<AddressLookup>::ready(std::move(out));
  }
  void alias(std::string_view from, const std::vector<std::string>& to) {
    AddressLookup& out = known[std::string(from)];
    out.kind = AddressLookup::Kind::kAlias;
    for (const std::string& one : to) out.targets.push_back(address(one));
  }
  std::map<std::string, AddressLookup> known;  ///< what is not a mailbox with the name of the local part
};

/// Keeps what senders would be told.
class FakeTeller final : public Teller {
 public:
  Task<Result<std::size_t>> report(MessageId id, const Envelope&, std::vector<Outcome> outcomes, Log) override {
    ++calls;
    co_await sleep_for(1ms);
    if (failing) co_return fault("spool.full", "no room for reports");
    for (Outcome& one : outcomes) told.emplace_back(id, std::move(one));
    co_return 1;
  }
  bool wanted(const Envelope& envelope, const Outcome& outcome) const override {
    using Kind = Outcome::Kind;
    const Recipient& recipient = envelope.recipients.at(outcome.recipient);
    return recipient.wants(outcome.kind == Kind::kFailed    ? kNotifyFailure
                           : outcome.kind == Kind::kDelayed ? kNotifyDelay
                                                            : kNotifySuccess);
  }
  std::optional<Outcome> half_told(std::uint32_t recipient, const RecipientInfo& info) const override {
    if (auto read = Reporter::from_note(recipient, info)) return read;
    if (!info.note.starts_with("report:")) return std::nullopt;
    Outcome outcome;
    outcome.recipient = recipient;
    outcome.reply = {550, "5.1.1", "told before"};
    return outcome;
  }
  std::size_t count(Outcome::Kind kind) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(told, [kind](const auto& one) { return one.second.kind == kind; }));
  }
  std::vector<std::pair<MessageId, Outcome>> told;
  int calls = 0;
  bool failing = false;
};

inline AttemptResult delivered(std::uint32_t one) {
  AttemptResult result;
  result.recipient = one;
  result.kind = AttemptResult::Kind::kDelivered;
  result.host = "mx.far.example";
  result.reply = {250, "2.0.0", "ok"};
  return result;
}
inline AttemptResult deferred(std::uint32_t one, std::string host, Reply reply) {
  AttemptResult result;
  result.recipient = one;
  result.host = std::move(host);
  result.reply = std::move(reply);
  return result;
}

/// A transport that takes as long as the test says, passes the gate, and answers what the test wants.
class FakeTransport final : public Transport {
 public:
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override {
    ++attempts;
    const std::string hop = next_hop(request.envelope, request.step, request.recipients.front());
    tried.push_back(hop);
    most = std::max(most, ++under_way[hop]);
    most_in_all = std::max(most_in_all, ++in_all);
    co_await sleep_for(before_dot + (slow ? slow(hop) : Duration(0)));
    const bool may = request.gate == nullptr || request.gate->pass();
    if (may) co_await sleep_for(after_dot);
    --under_way[hop];
    --in_all;
    std::vector<AttemptResult> results;
    for (const std::uint32_t one : request.recipients) {
      results.push_back(may ? answer(request, one) : deferred(one, "", {451, "4.3.0", "taken back"}));
      if (results.back().kind == AttemptResult::Kind::kDelivered) sent.push_back(hop);
    }
    co_return results;
  }
  std::function<AttemptResult(const AttemptRequest&, std::uint32_t)> answer =
      [](const AttemptRequest&, std::uint32_t one) { return delivered(one); };
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override {
    return gateway.empty() ? Transport::next_hop(envelope, step, recipient) : gateway;
  }
  std::string gateway;                               ///< of all mail
  std::function<Duration(const std::string&)> slow;  ///< longer before the dot, for a next hop
  Duration before_dot = 1ms;
  Duration after_dot{};
  int attempts = 0;
  int most = 0;  ///< at one time, to one next hop
  unsigned in_all = 0, most_in_all = 0;
  std::map<std::string, int> under_way;
  std::vector<std::string> tried, sent;  ///< next hops, in order
};

struct World {
  explicit World(QueueSettings the_settings = {}, unsigned workers = 1)
      : settings(std::move(the_settings)), sim({.seed = 5, .workers = workers}), metrics(workers) {
    start();
  }
  ~World() { stop(); }

  void start() {
    queue = std::make_unique<QueueService>(sim, metrics);
    queue->make_shards(spool, store, transport, &directory, &teller, settings, submission, policy);
    for (unsigned i = 0; i < sim.workers(); ++i) queue->set_log(i, log.log());
    queue->begin();
    sim.run_for(50ms);  // whatever was being handled when the last one crashed is tried by itself first
  }
  /// Ends the queue in good order.
  void stop() {
    if (!queue) return;
    {
      Nursery nursery(sim.worker(0));
      nursery.spawn(queue->drain(0, Deadline::after(1s)));
      std::vector<std::unique_ptr<Nursery>> others;
      for (unsigned i = 1; i < sim.workers(); ++i)
        others.emplace_back(std::make_unique<Nursery>(sim.worker(i)))->spawn(queue->drain(i, Deadline::after(1s)));
      sim.run_for(2s);
    }
    queue.reset();
  }
  /// What a crash leaves: the spool's durable marks and the store's files.
  void crash_and_restart() {
    fate.left = 0;
    sim.run_for(100ms);
    stop();
    spool.crash();
    fate = {};
    start();
  }

  static PlanStep step(PlanStep::Kind kind, std::vector<std::uint32_t> recipients, std::string account = {}) {
    PlanStep out;
    out.kind = kind;
    out.recipients = std::move(recipients);
    out.account = std::move(account);
    return out;
  }
  static PlanStep deliver(std::vector<std::uint32_t> recipients, std::string account) {
    return step(PlanStep::Kind::kDeliver, std::move(recipients), std::move(account));
  }

  MessageId commit(std::vector<std::string> recipients, std::vector<PlanStep> steps, bool hand_over = true) {
    return commit(Envelope{.sender = address("ann@elsewhere.example"), .recipients = {}}, std::move(recipients),
                  std::move(steps), hand_over);
  }
  /// With wishes of the sender.
  MessageId commit(Envelope envelope, std::vector<std::string> recipients, std::vector<PlanStep> steps,
                   bool hand_over = true) {
    QueuedMessage message;
    message.envelope = std::move(envelope);
    for (const std::string& one : recipients)
      message.envelope.recipients.push_back({.address = address(one), .notify = notify});
    message.plan.steps = std::move(steps);
    Nursery nursery(sim.worker(0));
    nursery.spawn(write(&message));
    sim.run_until([&] { return nursery.size() == 0; }, 1s);
    REQUIRE(message.id);
    message.accepted = sim.worker(0).wall();
    const MessageId id = message.id;
    if (hand_over) queue->accepted(std::move(message));
    return id;
  }
  Task<void> write(QueuedMessage* message) {
    Draft draft = spool.begin(sim.worker(0), 0);
    REQUIRE(co_await draft.append("Subject: hello\r\nX-Old: yes\r\n\r\nHi.\r\n"));
    draft.prepend("Received: by us\r\n");
    AcceptMeta meta;
    message->envelope.encode(meta.envelope);
    message->plan.encode(meta.plan);
    meta.recipients = static_cast<std::uint32_t>(message->envelope.recipients.size());
    message->size = draft.size();
    auto id = co_await draft.commit(std::move(meta));
    REQUIRE(id);
    message->id = *id;
  }
  std::vector<MessageInfo> queued() {
    spool.flush(sim.worker(0));
    std::vector<MessageInfo> out;
    spool.real->list(sim.worker(0), MessageId(), 1000).then([&](auto page) { out = std::move(*page); });
    sim.run_until_idle();
    return out;
  }
  std::vector<std::string> accounts() const {
    std::vector<std::string> out;
    for (const auto& mail : store.delivered) out.push_back(mail.account);
    return out;
  }

  QueueSettings settings;
  SubmissionSettings submission;
  SimRuntime sim;
  Metrics metrics;
  CaptureLog log;
  Fate fate;
  FatedSpool spool{fate};
  FakeStore store{fate};
  FakeDirectory directory;
  FakeTeller teller;
  std::uint8_t notify = kNotifyUnset;  ///< of all recipients
  Transport* transport = nullptr;
  Policy* policy = nullptr;
  std::unique_ptr<QueueService> queue;
};

}  // namespace postern::queue
