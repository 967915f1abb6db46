// Mail that is sent once in a while: what counts is its commit.
#include "core/pipeline/once.h"

#include <map>

#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/trail_reader.h"
#include "postern/services.h"

namespace postern {
namespace {

/// Counts with expiries, by the world's clock.
class Store final : public KeyValueStore {
 public:
  explicit Store(Executor& executor) : executor_(executor) {}
  Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline) override {
    using Kind = KeyValueRequest::Kind;
    if (broken) return Task<Result<KeyValueReply>>::ready(fault("kv.timeout", "no answer"));
    std::erase_if(values_, [this](const auto& one) { return one.second.ends <= executor_.now(); });
    KeyValueReply reply;
    if (request.kind == Kind::kRemove) {
      reply.number = static_cast<std::int64_t>(values_.erase(request.key));
    } else {
      const bool fresh = !values_.contains(request.key);
      Value& value = values_[request.key];
      value.number = request.kind == Kind::kIncrement ? value.number + request.by : std::stoi(request.value);
      if (fresh || request.kind == Kind::kSet) value.ends = executor_.now() + request.expiry.value_or(Duration::max());
      reply.number = value.number;
    }
    return Task<Result<KeyValueReply>>::ready(std::move(reply));
  }
  bool has(const std::string& key) const { return values_.contains(key) && values_.at(key).ends > executor_.now(); }
  bool broken = false;

 private:
  struct Value {
    std::int64_t number = 0;
    Instant ends{};
  };
  Executor& executor_;
  std::map<std::string, Value> values_;
};

/// Brings in one answer, to be sent once in a week.
class Answers final : public Action {
 public:
  Task<Result<ActionResult>> run(RuleCall call) override {
    if (call.transaction.envelope.sender.is_null()) co_return ActionResult{};  // an answer itself
    auto draft = call.effects.begin_draft();
    if (!draft) co_return std::unexpected(draft.error());
    if (auto ok = co_await draft->append("Subject: away\r\n\r\naway\r\n"); !ok) co_return std::unexpected(ok.error());
    KeyValueRequest once;
    once.kind = KeyValueRequest::Kind::kIncrement;
    once.key = "answered";
    once.expiry = std::chrono::hours(24 * 7);
    BroughtMail mail{.envelope = {}, .draft = std::move(*draft), .rule = {}, .why = "vacation"};
    mail.fixed_recipients = true;
    mail.envelope.recipients.push_back({address("eve@ours.example"), "", kNotifyUnset});
    mail.once = std::make_shared<const KeyValueRequest>(std::move(once));
    call.transaction.brought.push_back(std::move(mail));
    co_return ActionResult{};
  }
};

struct OnceWorld : PolicyWorld {
  Services services;
  Store store{sim.worker(0)};
  FaultEnv broken_disk;
  std::unique_ptr<Spool> real;
  std::optional<Talk> talk;

  OnceWorld() {
    services.provide<KeyValueStore>(store, "memory");
    settings.kv = "memory";
    policy = std::make_unique<PipelinePolicy>(
        PipelinePolicy::Options{.workers = 1, .metrics = metrics, .trails = trails.get(), .services = &services});
    policy->attach(directory, &queue);
    policy->attach_spool(*spool, "mx.ours.example");
    policy->start(sim.worker(0), dns, log.log());
    rules = std::make_shared<RuleSet>();
    rules->pipelines["root"] = {
        "root",
        {},
        {make_rule("away", nullptr, {std::make_shared<Answers>()}), make_rule("rest", nullptr, {deliver_to("INBOX")})}};
    install();
  }
  ~OnceWorld() { talk.reset(); }
  Decision decide() {
    talk.emplace(*this);
    talk->connect();
    talk->from("alice@elsewhere.example");
    REQUIRE_FALSE(talk->to("bob@ours.example").decided());
    return talk->send();
  }
  Result<MessageId> commit(const Decision& decision) {
    talk->mail->draft = nullptr;
    return talk->commit(decision);
  }
  std::size_t sent() const { return queue.messages.size(); }  ///< answers and mails
};

TEST_CASE("an answer counts once it is committed, and then nobody gets another one") {
  OnceWorld world;
  const Decision first = world.decide();
  CHECK_FALSE(world.store.has("answered"));
  REQUIRE(world.commit(first));
  CHECK(world.sent() == 2);
  REQUIRE(world.commit(world.decide()));
  CHECK(world.sent() == 3);
  world.sim.run_for(24h * 6);
  CHECK(world.store.has("answered"));
  world.sim.run_for(25h);
  REQUIRE(world.commit(world.decide()));
  CHECK(world.sent() == 5);
}

TEST_CASE("a mail that comes to nothing has silenced no answer") {
  OnceWorld world;
  world.decide();  // and its client goes away
  auto opened = open_spool({.dir = "/spool", .segment_size = 1 << 20}, {.env = world.broken_disk,
                                                                        .journal = world.sim.make_lane("journal"),
                                                                        .keeper = world.sim.make_lane("keeper"),
                                                                        .report = {}});
  REQUIRE(opened);
  world.policy->attach_spool(*opened->spool, "mx.ours.example");
  const Decision decision = world.decide();
  world.broken_disk.fail_sync(EIO, 0);
  CHECK_FALSE(world.commit(decision));
  CHECK_FALSE(world.store.has("answered"));
  CHECK(world.sent() == 0);
  world.policy->attach_spool(*world.spool, "mx.ours.example");
  REQUIRE(world.commit(world.decide()));
  CHECK(world.sent() == 2);
  world.talk.reset();
}

TEST_CASE("of two mails at once one is answered, and where the store is away none is") {
  OnceWorld world;
  Talk slow(world);
  slow.connect();
  slow.from("alice@elsewhere.example");
  REQUIRE_FALSE(slow.to("bob@ours.example").decided());
  const Decision first = slow.send();
  const Decision second = world.decide();
  REQUIRE(world.commit(second));
  CHECK(world.sent() == 2);
  slow.mail->draft = nullptr;
  REQUIRE(slow.commit(first));
  CHECK(world.sent() == 3);
  world.sim.run_for(24h * 8);
  world.store.broken = true;
  REQUIRE(world.commit(world.decide()));
  CHECK(world.sent() == 4);
}

TEST_CASE("an answer that is not sent after all leaves a record, for the replay of its mail") {
  OnceWorld world;
  const Decision decision = world.decide();
  world.store.broken = true;
  REQUIRE(world.commit(decision));
  CHECK(world.sent() == 1);
  world.trails->flush(world.sim.worker(0));
  world.sim.run_until_idle();
  std::size_t answers = 0;
  for (const TrailRecord& record : find_trails(world.disk, "/trail", {}).records)
    if (record.session.starts_with("brought-")) {
      ++answers;
      CHECK_FALSE(record.accepted);
      CHECK(record.outcome.starts_with("not sent"));
    }
  CHECK(answers == 1);
}

TEST_CASE("a claim about which nothing more is heard ends by itself") {
  OnceWorld world;
  PolicyWorker worker;
  worker.executor = &world.sim.worker(0);
  worker.services = &world.services;
  auto epoch = std::make_shared<RuleEpoch>();
  epoch->kv = "memory";
  worker.epoch = epoch;
  KeyValueRequest wanted;
  wanted.key = "answered";
  wanted.expiry = std::chrono::hours(24);
  Trail trail;
  OnceClaim claim(worker, wanted, trail);
  CHECK(world.run(claim.take()));
  CHECK_FALSE(world.run(claim.take()));
  world.sim.run_for(OnceClaim::kClaim);
  CHECK(world.run(claim.take()));
}

}  // namespace
}  // namespace postern
