// Taking back, holding, rerouting and ending mail at every moment of its way; the undo window; suspects.
#include "fixture_for_tests.h"

namespace postern::queue {

namespace {

using Kind = PlanStep::Kind;

struct Relaying : World {
  Relaying() {
    stop();
    World::transport = &out;
    start();
  }
  ~Relaying() { stop(); }
  MessageId send(std::vector<std::string> to) {
    std::vector<std::uint32_t> who;
    for (std::uint32_t i = 0; i < to.size(); ++i) who.push_back(i);
    return commit(std::move(to), {step(Kind::kRelay, who)});
  }
  Task<void> ask(MessageId id, Shard::Recall* answer) { *answer = co_await queue->recall(id); }
  Shard::Recall recall(MessageId id) {
    Shard::Recall answer;
    Nursery nursery(sim.worker(0));
    nursery.spawn(ask(id, &answer));
    sim.run_until([&] { return nursery.size() == 0; }, 1s);
    return answer;
  }
  FakeTransport out;
};

}  // namespace

TEST_CASE("mail under way can be taken back until its final dot") {
  Relaying world;
  world.out.before_dot = 10s;
  const MessageId id = world.send({"a@far.example", "b@far.example"});
  world.sim.run_for(5s);
  CHECK(world.out.attempts == 1);
  const auto answer = world.recall(id);
  CHECK(answer.known == Shard::Known::kRunning);
  CHECK(answer.whole);
  CHECK(answer.taken.size() == 2);
  world.sim.run_for(24h);
  CHECK(world.out.sent.empty());
  CHECK(world.out.attempts == 1);
  CHECK(world.teller.told.empty());
  CHECK(world.queue->shard(0).size() == 0);
}

TEST_CASE("what has had its final dot cannot be taken back, the rest of the message can") {
  Relaying world;
  world.out.before_dot = 1s;
  world.out.after_dot = 10s;
  world.out.slow = [](const std::string& hop) { return hop == "slow.example" ? Duration(1h) : Duration(0); };
  const MessageId id = world.send({"a@far.example", "b@slow.example"});
  world.sim.run_for(5s);
  const auto answer = world.recall(id);
  CHECK_FALSE(answer.whole);
  CHECK(answer.late == std::vector<std::uint32_t>{0});
  CHECK(answer.taken == std::vector<std::uint32_t>{1});
  world.spool.recall(world.sim.worker(0), id, 1).then([](auto) {});
  world.sim.run_for(24h);
  CHECK(world.out.sent == std::vector<std::string>{"far.example"});
  CHECK(world.queued().empty());
}

TEST_CASE("a dot that came to nothing is not sent again after a recall") {
  Relaying world;
  world.out.before_dot = 1s;
  world.out.after_dot = 10s;
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
    return deferred(one, "mx.far.example", {451, "4.3.0", "later"});
  };
  const MessageId id = world.send({"a@far.example"});
  world.sim.run_for(5s);
  CHECK_FALSE(world.recall(id).whole);
  world.sim.run_for(24h);
  CHECK(world.out.attempts == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("a local delivery is taken back before it is placed, and not after") {
  bool before = false;
  bool after = false;
  for (int steps = 0; steps < 40; ++steps) {
    Relaying world;
    const MessageId id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
    world.sim.run_for(steps * 200us);
    const auto answer = world.recall(id);
    const bool taken = answer.known != Shard::Known::kNo && answer.whole;
    if (taken) world.spool.recall(world.sim.worker(0), id).then([](auto) {});
    world.sim.run_for(24h);
    INFO(steps);
    CHECK(world.store.count("bob") == (taken ? 0 : 1));
    CHECK(world.queued().empty());
    CHECK(world.queue->shard(0).size() == 0);
    (taken ? before : after) = true;
  }
  CHECK(before);
  CHECK(after);
}

TEST_CASE("held and released before its turn came, a message goes on") {
  World world;
  world.store.fault_now = {"store.full", "no room"};
  const MessageId id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  Shard& shard = world.queue->shard(0);
  shard.drop(id);  // it stands in line
  shard.adopt({{.id = id, .forced = true}});
  world.store.fault_now = {};
  world.sim.run_for(1s);
  CHECK(world.store.count("bob") == 1);
  CHECK(shard.size() == 0);
}

TEST_CASE("held and released while it was under way, a message goes on when that has ended") {
  Relaying world;
  world.out.before_dot = 10s;
  int asked = 0;
  world.out.answer = [&](const AttemptRequest&, std::uint32_t one) {
    return ++asked == 1 ? deferred(one, "mx.far.example", {451, "4.3.0", "later"}) : delivered(one);
  };
  const MessageId id = world.send({"a@far.example"});
  world.sim.run_for(5s);
  world.queue->shard(0).drop(id);
  world.queue->shard(0).adopt({{.id = id, .forced = true}});
  world.sim.run_for(25s);
  CHECK(world.out.sent.size() == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("mail that an administrator ends is told to its sender") {
  Relaying world;
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) { return deferred(one, "", {451, "4.4.1", "no"}); };
  const MessageId id = world.send({"a@far.example"});
  world.sim.run_for(10s);
  world.queue->shard(0).adopt({{.id = id, .forced = true, .expire = true}});
  world.sim.run_for(1s);
  CHECK(world.queued().empty());
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told[0].second.reply.enhanced == "5.4.7");
  CHECK(world.out.attempts == 1);
}

TEST_CASE("rerouted mail goes by the gateway that was chosen") {
  Relaying world;
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    return request.step.options.contains("gateway") ? delivered(one) : deferred(one, "", {451, "4.4.1", "no"});
  };
  const MessageId id = world.send({"a@far.example", "b@far.example"});
  world.sim.run_for(10s);
  world.spool.route(world.sim.worker(0), id, 1, "gateway backup.example:2525").then([](auto) {});
  world.sim.run_for(10ms);
  world.queue->shard(0).adopt({{.id = id, .forced = true}});
  world.sim.run_for(1s);
  CHECK(world.out.sent == std::vector<std::string>{"backup.example:2525"});
  REQUIRE(world.queued().size() == 1);
  CHECK(world.queued()[0].recipients[0].state == RecipientState::kWaiting);
  CHECK(world.queued()[0].recipients[1].state == RecipientState::kDone);
}

TEST_CASE("submitted mail can be taken back for as long as the setting says, for accounts by themselves") {
  World world;
  world.stop();
  world.submission.hold = 20s;
  world.submission.hold_of = {{"robot", Duration(0)}, {"slow", 1min}};
  world.start();
  const WallTime now = world.sim.worker(0).wall();
  const auto held = [&](std::string user, SessionRole role) {
    Envelope envelope;
    ClientInfo client;
    client.role = role;
    client.auth_user = std::move(user);
    world.queue->before_commit(envelope, client, now);
    return envelope.hold_until.value_or(now) - now;
  };
  CHECK(held("ann", SessionRole::kSubmission) == 20s);
  CHECK(held("slow", SessionRole::kSubmissions) == 1min);
  CHECK(held("robot", SessionRole::kSubmission) == 0s);
  CHECK(held("ann", SessionRole::kMx) == 0s);
  CHECK(held("", SessionRole::kSubmission) == 0s);

  Envelope envelope{.sender = address("ann@x.example"), .recipients = {}};
  envelope.hold_until = now + 20s;
  world.commit(envelope, {"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(19s);
  CHECK(world.store.stages == 0);
  world.sim.run_for(2s);
  CHECK(world.store.count("bob") == 1);
}

TEST_CASE("suspects are tried one after the other with nothing else under way, then all goes on") {
  World world;
  std::vector<MessageId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}, false));
  for (int i = 0; i < 3; ++i) world.commit({"eve@x.example"}, {World::deliver({0}, "eve")}, false);
  for (int i = 0; i < 2; ++i)
    world.spool.change_lazily(world.sim.worker(0),
                              {.id = ids[static_cast<std::size_t>(i)], .mark = Mark::kHandling, .count = 1});
  world.crash_and_restart();
  world.sim.run_for(1s);
  CHECK(world.store.delivered.size() == 6);
  CHECK(world.spool.handled_alone == 2);
  CHECK(world.spool.company_of_alone == 0);
  CHECK(world.log.count("queue.suspect") == 2);
}

TEST_CASE("a suspect that takes long does not keep other mail waiting") {
  Relaying world;
  world.out.before_dot = 5min;
  const MessageId id = world.commit({"a@far.example"}, {World::step(Kind::kRelay, {0})}, false);
  world.commit({"eve@x.example"}, {World::deliver({0}, "eve")}, false);
  world.spool.change_lazily(world.sim.worker(0), {.id = id, .mark = Mark::kHandling, .count = 1});
  world.crash_and_restart();
  world.sim.run_for(2s);
  CHECK(world.store.count("eve") == 1);
  world.sim.run_for(10min);
  CHECK(world.out.sent.size() == 1);
}

}  // namespace postern::queue
