// Recipients on the suppression list, between queue and transport.
#include "screened_transport.h"

#include "fixture_for_tests.h"
#include "postern/env.h"
#include "suppress_feedback.h"

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

namespace {

/// x.example is ours.
class OneDomain final : public Directory {
 public:
  DomainKind domain_kind(std::string_view domain) const override {
    return domain == "x.example" ? DomainKind::kLocal : DomainKind::kForeign;
  }
  std::string default_domain() const override { return "x.example"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address) override { return Task<AddressLookup>::ready({}); }
};

}  // namespace

TEST_CASE("mail of ours to one recipient carries its proof; shared copies, reports and mail of others carry none") {
  World world;
  world.stop();
  FaultEnv env{4};
  FakeTransport out;
  std::map<std::string, std::string> proofs;
  const FeedbackProof proof({"a secret of sixteen letters"});
  out.answer = [&](const AttemptRequest& request, std::uint32_t one) {
    std::string& text = proofs[request.envelope.recipients.at(one).address.to_string()];
    text = "-";
    if (const auto edits = HeaderEdits::decode(request.step.header_edits); edits && !edits->empty())
      text = edits->describe().front();
    return delivered(one);
  };
  SuppressionList list(env, "/state", world.sim.worker(0), {});
  OneDomain directory;
  ScreenedTransport screened(out, list);
  screened.prove_with(proof, directory);
  world.transport = &screened;
  world.start();
  const auto send = [&](std::string_view sender, const std::vector<std::string>& to) {
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t i = 0; i < to.size(); ++i) numbers.push_back(i);
    Envelope envelope;
    if (!sender.empty()) envelope.sender = address(sender);
    world.commit(std::move(envelope), to, {World::step(PlanStep::Kind::kRelay, numbers)});
    world.sim.run_for(1s);
  };
  send("ann@x.example", {"bob@far.example"});
  send("ann@x.example", {"eve@far.example", "joe@far.example"});
  send("sue@else.example", {"tom@far.example"});
  send("", {"tim@far.example"});
  const std::string right =
      proof.make(address("ann@x.example"), address("bob@far.example"), world.sim.worker(0).wall());
  CHECK(proofs["bob@far.example"].contains("Postern-Feedback: " + right));
  for (const char* none : {"eve@far.example", "joe@far.example", "tom@far.example", "tim@far.example"})
    CHECK(proofs[none] == "-");
  world.stop();
}

TEST_CASE("results are handed on at once, though what the list writes stands still") {
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
  std::vector<Task<void>> never;
  list.set_background([&](Task<void> task) { never.push_back(std::move(task)); });
  ScreenedTransport screened(out, list);
  world.transport = &screened;
  world.start();
  world.commit({"gone@far.example"}, {World::step(PlanStep::Kind::kRelay, {0})});
  world.sim.run_for(5s);
  CHECK(world.teller.told.size() == 1);
  CHECK(never.size() == 1);
  CHECK(list.size() == 1);
  world.stop();
}

TEST_CASE("mail for the feedback address is read on its way, and delivered whatever is in it") {
  World world;
  FaultEnv env{4};
  SuppressionSettings settings;
  settings.feedback_address = "fbl@x.example";
  SuppressionList list(env, "/state", world.sim.worker(0), settings);
  const FeedbackProof proof({"a secret of sixteen letters"});
  FeedbackIntake intake(*world.queue, list);
  const Log log = world.log.log();
  Nursery nursery(world.sim.worker(0));
  intake.begin({.spool = world.spool,
                .home = world.sim.worker(0),
                .proof = proof,
                .spawn = [&](Task<void> task) { nursery.spawn(std::move(task)); },
                .log = [&]() -> const Log& { return log; }});
  const auto deliver = [&](std::string recipient, std::string orcpt) {
    QueuedMessage message;
    message.id = world.commit({recipient}, {World::deliver({0}, "fbl")}, false);
    message.envelope.sender = address("fbl@provider.example");
    message.envelope.recipients.push_back({.address = address(recipient), .orcpt = std::move(orcpt)});
    message.plan.steps = {World::deliver({0}, "fbl")};
    message.accepted = world.sim.worker(0).wall();
    intake.accepted(std::move(message));
    world.sim.run_for(1s);
  };
  deliver("fbl@x.example", "");
  CHECK(world.store.count("fbl") == 1);
  CHECK(world.log.count("suppress.feedback") == 1);
  deliver("ann@x.example", "rfc822;fbl@x.example");  // an alias led to it
  CHECK(world.store.count("fbl") == 2);
  CHECK(world.log.count("suppress.feedback") == 2);
  deliver("bob@x.example", "");
  CHECK(world.store.count("fbl") == 3);
  CHECK(world.log.count("suppress.feedback") == 2);
  world.stop();
}

}  // namespace postern::queue
