// Recipients on the suppression list, between queue and transport.
#include "screened_transport.h"

#include "fixture_for_tests.h"
#include "postern/env.h"

namespace postern::queue {

TEST_CASE("suppressed recipients are refused here, and what a server refuses for good is suppressed from then on") {
  World world;
  world.stop();
  FaultEnv env{4};
  FakeTransport out;
  out.answer = [](const AttemptRequest&, std::uint32_t one) {
    AttemptResult result = deferred(one, "mx.far.example", {550, "5.1.1", "no such user"});
    result.kind = AttemptResult::Kind::kRefused;
    return result;
  };
  SuppressionList list(env, "/state", world.sim.worker(0), {});
  ScreenedTransport screened(out, list);
  world.transport = &screened;
  world.start();
  for (int i = 0; i < 2; ++i) {
    world.commit({"gone@far.example", "gone@far.example"}, {World::step(PlanStep::Kind::kRelay, {0, 1})});
    world.sim.run_for(5s);
    CHECK(world.queued().empty());
  }
  CHECK(out.attempts == 1);
  REQUIRE(world.teller.told.size() == 4);
  CHECK(world.teller.told[0].second.reply.enhanced == "5.1.1");
  CHECK(world.teller.told[3].second.reply.enhanced == "5.7.1");
  CHECK(world.teller.told[3].second.host.empty());
  world.stop();
}

}  // namespace postern::queue
