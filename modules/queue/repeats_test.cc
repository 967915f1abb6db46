// What has been done is not done again, and what may have been done is not forgotten, however a message's turns follow
// each other. All three were found by tests/simulation.
#include "fixture_for_tests.h"

namespace postern::queue {

namespace {

struct Relaying : World {
  Relaying() {
    stop();
    World::transport = &out;
    start();
  }
  ~Relaying() { stop(); }
  FakeTransport out;
};

/// The first attempt ends without an answer, the next one with a refusal.
AttemptResult lost_then_refused(const AttemptRequest& request, std::uint32_t one) {
  if (request.attempts > 0) {
    AttemptResult refused = deferred(one, "mx.far.example", {550, "5.1.1", "gone"});
    refused.kind = AttemptResult::Kind::kRefused;
    return refused;
  }
  AttemptResult lost = deferred(one, "mx.far.example", {451, "4.4.2", "the reply did not come"});
  lost.reply_lost = true;
  return lost;
}

}  // namespace

TEST_CASE("two addresses of one mailbox get one copy, also after it could not be delivered at first") {
  World world;
  world.store.fault_now = {"store.full", "no room"};
  world.commit({"bob@x.example", "robert@x.example"}, {World::deliver({0, 1}, "bob")});
  world.sim.run_for(10s);
  world.store.fault_now = {};
  world.sim.run_for(24h);
  CHECK(world.store.count("bob") == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("a message is not read again before what was noted of it can be read") {
  Relaying world;
  world.spool.keep_lazy_back = true;
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    return one == 0 || request.attempts > 0 ? delivered(one) : deferred(one, "mx.far.example", {450, "4.2.0", "later"});
  };
  const MessageId id = world.commit({"a@far.example", "b@far.example"}, {World::step(PlanStep::Kind::kRelay, {0, 1})});
  world.sim.run_for(1s);
  REQUIRE(world.out.sent.size() == 1);
  CHECK(world.queue->shard(0).retry(id));
  world.sim.run_for(1s);
  CHECK(world.out.sent.size() == 2);  // each of them once
  CHECK(world.queued().empty());
}

TEST_CASE("a failure says that the mail may have been delivered, however long ago its answer was lost") {
  for (const bool restarts : {false, true}) {
    INFO("restarts: " << restarts);
    Relaying world;
    world.out.answer = &lost_then_refused;
    world.commit({"a@far.example"}, {World::step(PlanStep::Kind::kRelay, {0})});
    world.sim.run_for(1s);
    if (restarts) world.crash_and_restart();
    world.sim.run_for(24h);
    REQUIRE(world.teller.count(Outcome::Kind::kFailed) == 1);
    CHECK(world.teller.told.back().second.may_have_been_delivered);
  }
}

}  // namespace postern::queue
