// How long a mail and all that it brings in may wait.
#include "core/pipeline/brought_for_tests.h"
#include "postern/wait.h"

namespace postern {
namespace {

TEST_CASE("a mail and all that it brings in have one time limit for their waits") {
  struct Slow final : Action {
    static Task<Result<ActionResult>> ask(RuleCall call) {
      static_cast<void>(co_await call.effects.dns("slow.example", RecordType::kA));
      co_return ActionResult{};
    }
    Task<Result<ActionResult>> run(RuleCall call) override { return ask(call); }
  };
  struct Patient final : HookHandler {
    static Task<Result<Verdict>> ask(HookCall call) {
      static_cast<void>(co_await call.effects.dns("slow.example", RecordType::kA));
      co_return Verdict{};
    }
    Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }
  };
  BroughtWorld world;
  world.dns.delay("slow.example", 12s);
  auto few = brings("eve@ours.example");
  few->times = 5;
  world.set({make_rule("slow", nullptr, {std::make_shared<Slow>()}), make_rule("copies", nullptr, {few}),
             make_rule("rest", nullptr, {deliver_to("INBOX")})});
  world.rules->hooks.push_back({Stage::kMessage, "patient", {}, {}, std::make_shared<Patient>()});
  world.settings.time_limit = 30s;
  world.install();
  const Instant before = world.sim.worker(0).now();
  const Decision decision = world.decide();
  CHECK(world.sim.worker(0).now() - before == 30s);
  CHECK(decision.reply().code == 250);  // what was not answered in time is an answer, too
  CHECK(world.talk->mail->settled.size() == 5);
}

TEST_CASE("behind the time limit no directory is waited for: the mail is deferred") {
  struct SlowDirectory final : FakeDirectory {
    Task<AddressLookup> find(Address asked) override {
      return asked.local() == "eve" ? later(FakeDirectory::find(asked)) : FakeDirectory::find(asked);
    }
    static Task<AddressLookup> later(Task<AddressLookup> answer) {
      co_await sleep_for(20s);
      co_return co_await std::move(answer);
    }
  } directory;
  BroughtWorld world;
  world.policy->attach(directory, &world.queue);
  auto few = brings("eve@ours.example");
  few->times = 5;
  world.set({make_rule("copies", nullptr, {few}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const Instant before = world.sim.worker(0).now();
  CHECK(world.decide().reply().code == 451);
  CHECK(world.sim.worker(0).now() - before == 40s);  // the second began in time
}

}  // namespace
}  // namespace postern
