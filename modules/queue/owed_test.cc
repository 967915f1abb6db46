// Reports that cannot be made at once: nobody's end is forgotten before its sender has been told, and nobody is told
// twice.
#include "fixture_for_tests.h"

namespace postern::queue {

namespace {

using Kind = Outcome::Kind;

struct Relaying : World {
  explicit Relaying(QueueSettings the_settings = {}) : World(std::move(the_settings)) {
    stop();
    World::transport = &out;
    start();
  }
  ~Relaying() { stop(); }
  MessageId send(std::vector<std::string> to) {
    std::vector<std::uint32_t> all;
    for (std::uint32_t one = 0; one < to.size(); ++one) all.push_back(one);
    return commit(std::move(to), {step(PlanStep::Kind::kRelay, all)});
  }
  FakeTransport out;
};

AttemptResult refused(const AttemptRequest&, std::uint32_t one) {
  AttemptResult result = deferred(one, "mx.far.example", {550, "5.1.1", "no such user"});
  result.kind = AttemptResult::Kind::kRefused;
  return result;
}

}  // namespace

TEST_CASE("a delivery that could not be told of is told of later, and not made again") {
  for (const bool crashes : {false, true}) {
    INFO("crashes: " << crashes);
    Relaying world;
    world.notify = kNotifySuccess;
    world.teller.failing = true;
    world.commit({"bob@x.example", "robert@x.example", "a@far.example"},
                 {World::deliver({0, 1}, "bob"), World::step(PlanStep::Kind::kRelay, {2})});
    world.sim.run_for(10s);
    CHECK(world.teller.calls == 1);
    if (crashes) world.crash_and_restart();
    world.teller.failing = false;
    world.sim.run_for(2min);
    CHECK(world.store.count("bob") == 1);
    CHECK(world.out.sent.size() == 1);
    CHECK(world.teller.count(Kind::kDelivered) == 2);
    CHECK(world.teller.count(Kind::kRelayed) == 1);
    CHECK(world.queued().empty());
  }
}

TEST_CASE("what ends while the server stops is told of by the next one") {
  Relaying world;
  world.notify = kNotifySuccess | kNotifyFailure;
  world.out.before_dot = 500ms;
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    return one == 0 ? delivered(one) : refused(request, one);
  };
  world.send({"a@far.example", "b@far.example"});
  world.sim.run_for(100ms);
  world.stop();
  CHECK(world.out.attempts == 1);
  CHECK(world.teller.calls == 0);
  world.start();
  world.sim.run_for(1min);
  CHECK(world.out.attempts == 1);
  CHECK(world.teller.count(Kind::kRelayed) == 1);
  REQUIRE(world.teller.count(Kind::kFailed) == 1);
  CHECK(world.teller.told.back().second.reply == Reply{550, "5.1.1", "no such user"});
  CHECK(world.teller.told.back().second.host == "mx.far.example");
  CHECK(world.queued().empty());
}

TEST_CASE("who was refused is not tried again while there is no room for the report, and is told of once there is") {
  Relaying world;
  world.out.answer = &refused;
  world.teller.failing = true;
  world.send({"a@far.example"});
  world.sim.run_for(10min);
  CHECK(world.out.attempts == 1);
  CHECK(world.teller.calls > 5);
  CHECK(world.queued().size() == 1);
  const long marks = world.fate.taken;
  world.sim.run_for(10min);
  CHECK(world.fate.taken <= marks + 1);  // a disk that is full is not filled with notes
  world.crash_and_restart();
  world.teller.failing = false;
  world.sim.run_for(2min);
  CHECK(world.out.attempts == 1);
  CHECK(world.teller.count(Kind::kFailed) == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("a warning that could not be sent at its time is sent later, and once") {
  for (const bool crashes : {false, true}) {
    INFO("crashes: " << crashes);
    QueueSettings settings;
    settings.retry = "1h";
    settings.warn_after = 30min;
    Relaying world(settings);
    world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
      return deferred(one, "mx.far.example", {450, "4.2.0", "later"});
    };
    world.teller.failing = true;
    world.send({"a@far.example"});
    world.sim.run_for(35min);
    CHECK(world.teller.told.empty());
    if (crashes) world.crash_and_restart();
    const int attempts = world.out.attempts;
    world.teller.failing = false;
    world.sim.run_for(2min);
    CHECK(world.teller.count(Kind::kDelayed) == 1);
    CHECK(world.out.attempts == attempts);
    world.crash_and_restart();
    world.sim.run_for(3h);
    CHECK(world.teller.count(Kind::kDelayed) == 1);
  }
}

TEST_CASE("a report that was committed before a crash is not sent again, also when it goes out before its original") {
  Relaying world;
  world.out.slow = [](const std::string& hop) { return hop == "slow.example" ? 20s : 0s; };
  const auto hand_over = false;
  const MessageId original =
      world.commit(Envelope{.sender = address("ann@elsewhere.example"), .recipients = {}},
                   {"a@far.example", "b@slow.example"}, {World::step(PlanStep::Kind::kRelay, {0, 1})}, hand_over);
  const MessageId report = world.commit({"ann@x.example"}, {World::deliver({0}, "ann")}, hand_over);
  const Outcome failed{.recipient = 0, .reply = {550, "5.1.1", "no such user"}, .host = "mx.far.example"};
  world.spool.change_lazily(world.sim.worker(0),
                            world.spool.attempted(original, 0, 1, WallTime{}, Reporter::note_of(failed, report)));
  world.crash_and_restart();
  world.sim.run_for(1s);
  CHECK(world.store.count("ann") == 1);
  CHECK(world.log.count("queue.was_told") == 1);
  world.sim.run_for(1min);
  CHECK(world.teller.told.empty());
  CHECK(world.out.sent == std::vector<std::string>{"slow.example"});
  CHECK(world.queued().empty());
}

TEST_CASE("a recall leaves those alone whose mail was delivered and whose sender is still to be told") {
  Relaying world;
  world.notify = kNotifySuccess;
  world.out.slow = [](const std::string& hop) { return hop == "slow.example" ? 1s : 0s; };
  const MessageId id = world.send({"a@far.example", "b@slow.example"});
  world.sim.run_for(100ms);
  REQUIRE(world.out.sent.size() == 1);
  const Shard::Recall answer = world.queue->shard(0).recall(id);
  CHECK(answer.late == std::vector<std::uint32_t>{0});
  CHECK(answer.taken == std::vector<std::uint32_t>{1});
  world.spool.change_lazily(world.sim.worker(0), {.id = id, .mark = Mark::kRecall, .recipient = 1});
  world.sim.run_for(1min);
  CHECK(world.out.sent.size() == 1);
  CHECK(world.teller.count(Kind::kRelayed) == 1);
  CHECK(world.queued().empty());
}

}  // namespace postern::queue
