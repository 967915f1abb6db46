// Crashes at every step: whatever was lost, each mailbox gets its mail exactly once.
#include "fixture_for_tests.h"

namespace postern::queue {

namespace {

/// Commits, lets `steps` steps of the outside world happen, crashes, and lets the next process finish.
long run_with_crash(long steps, bool lose_lazy_marks, bool hot) {
  QueueSettings settings;
  settings.hot_messages = hot ? 100 : 0;
  World world(settings);
  world.spool.keep_lazy_back = lose_lazy_marks;
  world.commit({"bob@x.example", "robert@x.example", "eve@x.example", "joe@x.example"},
               {World::deliver({0, 1}, "bob"), World::deliver({2}, "eve"), World::step(PlanStep::Kind::kDiscard, {3})});
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.fate = {.left = steps};
  world.sim.run_for(1s);
  const long taken = world.fate.taken;
  world.crash_and_restart();
  world.sim.run_for(24h);
  INFO("after " << steps << " steps, lazy marks lost: " << lose_lazy_marks);
  CHECK(world.store.count("bob") == 2);
  CHECK(world.store.count("eve") == 1);
  CHECK(world.store.count("joe") == 0);
  CHECK(world.store.staged.empty());
  CHECK(world.queued().empty());
  return taken;
}

}  // namespace

TEST_CASE("a crash after any step leaves each recipient served exactly once") {
  for (const bool hot : {true, false}) {
    for (const bool lose : {false, true}) {
      const long all = run_with_crash(1'000'000, lose, hot);
      REQUIRE(all >= 10);
      for (long steps = 0; steps <= all; ++steps) run_with_crash(steps, lose, hot);
    }
  }
}

TEST_CASE("a second crash during recovery changes nothing") {
  for (long first = 0; first < 14; ++first) {
    for (long second = 0; second < 8; ++second) {
      World world;
      world.spool.keep_lazy_back = true;
      world.commit({"bob@x.example", "eve@x.example"}, {World::deliver({0}, "bob"), World::deliver({1}, "eve")});
      world.fate = {.left = first};
      world.sim.run_for(1s);
      world.crash_and_restart();
      world.fate = {.left = second};
      world.sim.run_for(1s);
      world.crash_and_restart();
      world.sim.run_for(24h);
      INFO(first << " and " << second);
      CHECK(world.store.count("bob") == 1);
      CHECK(world.store.count("eve") == 1);
      CHECK(world.queued().empty());
    }
  }
}

TEST_CASE("mail that its reader deleted before the crash was delivered, and does not come back") {
  World world;
  world.spool.keep_lazy_back = true;
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(1s);
  REQUIRE(world.store.count("bob") == 1);
  world.store.delivered.clear();
  world.crash_and_restart();
  world.sim.run_for(1h);
  CHECK(world.store.delivered.empty());
  CHECK(world.store.stages == 1);
  CHECK(world.log.count("queue.was_delivered") == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("what was never handed over is found at the start") {
  World world;
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}, false);
  world.sim.run_for(1h);
  CHECK(world.store.delivered.empty());
  world.crash_and_restart();
  world.sim.run_for(1s);
  CHECK(world.store.count("bob") == 1);
}

}  // namespace postern::queue
