#include <doctest/doctest.h>

#include "core/pipeline/default_rules.h"
#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/trail_reader.h"

namespace postern {
namespace {

TEST_CASE("without scripts: local mail is delivered, committed and handed to the queue") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  CHECK_FALSE(talk.connect().decided());
  CHECK_FALSE(talk.from("alice@elsewhere.example").decided());
  CHECK_FALSE(talk.to("bob@ours.example").decided());
  const Decision decision = talk.send();
  CHECK(decision.reply().code == 250);
  const auto id = talk.commit(decision);
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 1);
  const QueuedMessage& queued = world.queue.messages[0];
  CHECK(queued.id == *id);
  REQUIRE(queued.plan.steps.size() == 1);
  CHECK(queued.plan.steps[0].kind == PlanStep::Kind::kDeliver);
  CHECK(queued.plan.steps[0].account == "bob");
  CHECK(queued.plan.steps[0].folder == "INBOX");
  CHECK(queued.envelope.recipients[0].address == address("bob@ours.example"));
  CHECK(world.log.count("message.accepted") == 1);
}

TEST_CASE("what is in the spool is the envelope, the client, the plan and the trail of this message") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  const auto id = talk.commit(talk.send());
  REQUIRE(id);
  struct Open {
    static Task<bool> check(PolicyWorld* world, MessageId id) {
      auto reader = co_await world->spool->open(world->sim.worker(0), id);
      REQUIRE(reader);
      CHECK(Envelope::decode(reader->envelope())->sender == address("alice@elsewhere.example"));
      CHECK(ClientInfo::decode(reader->client())->ip == *IpAddress::parse("203.0.113.9"));
      CHECK(Plan::decode(reader->plan())->steps.size() == 1);
      const auto trail = Trail::decode(reader->trail());
      REQUIRE(trail);
      CHECK(trail->back().kind == TrailEntry::Kind::kReply);
      co_return true;
    }
  };
  CHECK(world.run(Open::check(&world, *id)));
}

TEST_CASE("the gate answers at RCPT, finally") {
  PolicyWorld world;
  world.directory.temporary = "slow@ours.example";
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK(talk.to("victim@foreign.example").reply == Reply{550, "5.7.1", "relaying denied"});
  CHECK(talk.to("victim@[198.51.100.1]").reply.code == 550);
  CHECK(talk.to("nobody@ours.example").reply.enhanced == "5.1.1");
  CHECK(talk.to("victim%foreign.example@ours.example").reply.code == 550);
  CHECK(talk.to("\"victim@foreign.example\"@ours.example").reply.code == 550);
  CHECK(talk.to("victim%foreign.example@relayed.example").reply.enhanced == "5.7.1");
  CHECK(talk.to("slow@ours.example").reply ==
        Reply{451, "4.4.3", "the recipient cannot be checked now, try again later"});
  CHECK(talk.mail->envelope.recipients.empty());
  CHECK_FALSE(talk.to("anybody@relayed.example").decided());
  CHECK(talk.mail->relay == std::vector<bool>{true});
  CHECK(world.log.count("rcpt.refused") == 7);
}

TEST_CASE("postmaster is always heard, and kept for the operator when it has no mailbox") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK_FALSE(talk.to("PostMaster").decided());
  CHECK(talk.mail->envelope.recipients[0].address.domain().ascii() == "ours.example");
  const Decision decision = talk.send();
  CHECK(decision.reply().code == 250);
  REQUIRE(decision.plan.steps.size() == 1);
  CHECK(decision.plan.steps[0].kind == PlanStep::Kind::kQuarantine);
}

TEST_CASE("[pipeline] postmaster names who reads it") {
  PolicyWorld world;
  world.settings.postmaster = "bob@ours.example";
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("");
  talk.to("postmaster@ours.example");
  const Decision decision = talk.send();
  REQUIRE(decision.plan.steps.size() == 1);
  CHECK(decision.plan.steps[0].account == "bob");
}

TEST_CASE("a submission port wants a login at MAIL, and then relays") {
  PolicyWorld world;
  world.install();
  Talk talk(world, "203.0.113.9", SessionRole::kSubmission);
  talk.connect();
  CHECK(talk.from("bob@ours.example").reply.code == 530);
  CHECK(talk.to("bob@ours.example").reply.code == 530);
  talk.session.client.auth_user = "bob";
  CHECK_FALSE(talk.from("bob@ours.example").decided());
  CHECK_FALSE(talk.to("friend@foreign.example").decided());
  const Decision decision = talk.send();
  REQUIRE(decision.plan.steps.size() == 1);
  CHECK(decision.plan.steps[0].kind == PlanStep::Kind::kRelay);
}

TEST_CASE("a mail loop is refused as a whole") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  talk.mail->received_count = 100;
  const Decision decision = talk.send();
  CHECK(decision.reply().enhanced == "5.4.6");
  CHECK(decision.whole.refuses());
  CHECK(decision.plan.steps.empty());
}

TEST_CASE("an alias becomes its targets, the first in its place, the others behind all") {
  PolicyWorld world;
  world.directory.aliases = {{"team@ours.example", {"bob@ours.example", "more@ours.example"}},
                             {"more@ours.example", {"eve@ours.example", "x@relayed.example"}}};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK_FALSE(talk.to("team@ours.example").decided());
  const Decision decision = talk.send();
  CHECK(decision.outcomes.size() == 1);
  CHECK(decision.reply().code == 250);
  const auto id = talk.commit(decision);
  REQUIRE(id);
  const QueuedMessage& queued = world.queue.messages.at(0);
  REQUIRE(queued.envelope.recipients.size() == 3);
  CHECK(queued.envelope.recipients[0].address == address("bob@ours.example"));
  CHECK(queued.envelope.recipients[1].address == address("eve@ours.example"));
  CHECK(queued.envelope.recipients[2].address == address("x@relayed.example"));
  CHECK(queued.envelope.recipients[2].orcpt == "rfc822;team@ours.example");
  CHECK(queued.plan.steps.size() == 3);
}

TEST_CASE("a target that is a recipient already gets the mail once") {
  PolicyWorld world;
  world.directory.aliases = {{"robert@ours.example", {"bob@ours.example"}}};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("robert@ours.example");
  talk.to("bob@ours.example");
  const Decision decision = talk.send();
  CHECK(decision.outcomes.size() == 2);
  CHECK_FALSE(decision.refuses_some());
  int delivered = 0, discarded = 0;
  for (const PlanStep& step : decision.plan.steps) {
    delivered += step.kind == PlanStep::Kind::kDeliver;
    discarded += step.kind == PlanStep::Kind::kDiscard;
  }
  CHECK(delivered == 1);
  CHECK(discarded == 1);
}

TEST_CASE("an alias that loops or leads to nobody is deferred at RCPT, with its name in the log") {
  PolicyWorld world;
  world.directory.aliases = {{"a@ours.example", {"b@ours.example"}},
                             {"b@ours.example", {"a@ours.example"}},
                             {"c@ours.example", {"gone@ours.example"}}};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK(talk.to("a@ours.example").reply.code == 451);
  CHECK(talk.to("c@ours.example").reply.code == 451);
  REQUIRE(world.log.last("rcpt.alias"));
  CHECK(world.log.last("rcpt.alias")->field("why")->find("gone@ours.example") != std::string::npos);
}

TEST_CASE(
    "an alias to a foreign address is relayed for strangers only with forward_aliases, and never when it is wild") {
  for (const bool allowed : {false, true}) {
    PolicyWorld world;
    world.directory.aliases = {{"away@ours.example", {"bob@foreign.example"}},
                               {"any@ours.example", {"any@foreign.example"}}};
    world.directory.wild = "any@ours.example";
    world.gate.forward_aliases = allowed;
    world.install();
    Talk talk(world);
    talk.connect();
    talk.from("alice@elsewhere.example");
    CHECK(talk.to("any@ours.example").reply.code == 550);
    CHECK(talk.to("away@ours.example").refuses() == !allowed);
    if (!allowed) continue;
    const Decision decision = talk.send();
    REQUIRE(decision.plan.steps.size() == 1);
    CHECK(decision.plan.steps[0].kind == PlanStep::Kind::kRelay);
    CHECK(talk.mail->envelope.recipients[0].address == address("bob@foreign.example"));
  }
}

TEST_CASE("a full spool refuses the message with its fault, and the queue hears nothing") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  Decision decision = talk.send();
  decision.plan.steps.clear();
  const auto id = talk.commit(decision);
  REQUIRE_FALSE(id);
  CHECK(id.error().code == "pipeline.nothing");
  CHECK(world.queue.messages.empty());
}

TEST_CASE("the trail of a refused transaction is kept, and that of an accepted one") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("victim@foreign.example");
  world.policy->refused(talk.session, &*talk.mail, "no recipient was accepted");
  Talk other(world);
  other.connect();
  other.from("alice@elsewhere.example");
  other.to("bob@ours.example");
  REQUIRE(other.commit(other.send()));
  world.sim.run_for(1s);
  const auto found = find_trails(world.disk, "/trail", {.text = "alice@elsewhere.example"});
  REQUIRE(found.records.size() == 2);
  const auto refused = found.records[0].accepted ? found.records[1] : found.records[0];
  CHECK_FALSE(refused.accepted);
  const std::string story = render_story(refused);
  CHECK(story.find("gate: victim@foreign.example is stranger/anonymous/foreign -> 550 refused") != std::string::npos);
  CHECK(story.find("550 5.7.1 ") != std::string::npos);  // the enhanced code, too
}

TEST_CASE("the trail of a plain delivery, word for word") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  REQUIRE(talk.commit(talk.send()));
  const std::string story = render_story(*Trail::decode(talk.mail->trail.bytes()));
  const std::string expected =
      "  connect\n"
      "    client: 203.0.113.9\n"
      "STARTED\n"
      "  mail\n"
      "    sender: <alice@elsewhere.example>\n"
      "  rcpt\n"
      "    asked directory.find bob@ours.example -> account bob\n"
      "    gate: bob@ours.example is stranger/anonymous/account -> deliver\n"
      "  message\n"
      "    rule root#1 at built in looked at [0] and selected nobody\n"
      "    rule root#2 at built in looked at [0] and selected [0]\n"
      "    plan: deliver to bob folder INBOX [0]\n"
      "    answered 250 accepted\n";
  const auto second = story.find("\n2026-");
  const auto end = story.find('\n', second + 1);
  const std::string shown =
      story.substr(story.find('\n') + 1, second - story.find('\n')) + "STARTED" + story.substr(end);
  CHECK(shown == expected);
}

Task<Verdict> say_goodbye(PipelinePolicy* policy, SessionState* session) {
  co_await policy->disconnect(*session);
  co_return Verdict{};
}

TEST_CASE("disconnect hooks all run, whatever they say, and no refusal is counted") {
  PolicyWorld world;
  world.rules = make_default_rules();
  int calls = 0;
  for (const char* name : {"first", "second"}) {
    Hook hook{Stage::kDisconnect, name, {}, {}, {}, OnError::kDefer};
    hook.handler = std::make_shared<FnHook>([&calls](const HookCall& call) {
      CHECK(call.session.client.ehlo == "client.example");
      ++calls;
      return Result<Verdict>(Verdict::reject(550, "5.7.1", "too late"));
    });
    world.rules->hooks.push_back(hook);
  }
  Hook failing{Stage::kDisconnect, "third", {}, {}, {}, OnError::kReject};
  failing.handler = std::make_shared<FnHook>([&calls](const HookCall&) {
    ++calls;
    return Result<Verdict>(fault("test.broken"));
  });
  world.rules->hooks.push_back(failing);
  world.install();
  CHECK(world.policy->has_hooks(Stage::kDisconnect));
  CHECK_FALSE(world.policy->has_hooks(Stage::kConnect));
  Talk talk(world);
  talk.connect();
  world.run(say_goodbye(world.policy.get(), &talk.session));
  CHECK(calls == 3);
  CHECK(world.log.count("hook.failed") == 1);
  CHECK(world.metrics.render().find("postern_pipeline_hook_refusals_total{hook=\"first\"} 1") == std::string::npos);
}

TEST_CASE("a session that came to no mail leaves a trail when it was refused, and a silent one when that is wanted") {
  for (const bool wanted : {false, true}) {
    CAPTURE(wanted);
    PolicyWorld world;
    world.policy = std::make_unique<PipelinePolicy>(PipelinePolicy::Options{
        .workers = 1, .metrics = world.metrics, .trails = world.trails.get(), .keep_silent = wanted});
    world.policy->attach(world.directory, &world.queue);
    world.policy->start(world.sim.worker(0), world.dns, world.log.log());
    world.install();
    CHECK(world.policy->has_hooks(Stage::kDisconnect) == wanted);
    Talk silent(world, "203.0.113.1");
    silent.connect();
    world.run(say_goodbye(world.policy.get(), &silent.session));
    Talk early(world, "203.0.113.2");  // refused before anybody was asked
    early.session.executor = &world.sim.worker(0);
    world.policy->refused(early.session, nullptr, "You spoke before the greeting");
    world.run(say_goodbye(world.policy.get(), &early.session));
    Talk mails(world, "203.0.113.3");
    mails.connect();
    mails.from("alice@elsewhere.example");
    world.run(say_goodbye(world.policy.get(), &mails.session));
    world.sim.run_for(1s);
    const auto of = [&world](const char* ip) { return find_trails(world.disk, "/trail", {.text = ip}).records; };
    CHECK(of("203.0.113.1").size() == (wanted ? 1 : 0));
    REQUIRE(of("203.0.113.2").size() == 1);
    CHECK(of("203.0.113.2")[0].outcome == "You spoke before the greeting");
    CHECK(render_story(of("203.0.113.2")[0]).find("client: 203.0.113.2") != std::string::npos);
    CHECK(of("203.0.113.3").empty());  // its mail's trail comes with the mail's end
  }
}

TEST_CASE("the name of a client is an answered question of the trail, at connect or when it came") {
  PolicyWorld world;
  world.install();
  const auto effects = [](const Trail& trail) {
    std::vector<std::string> out;
    for (const TrailEntry& entry : *Trail::decode(trail.bytes()))
      if (entry.kind == TrailEntry::Kind::kEffect)
        out.push_back(entry.name + " " + entry.question + " = " + entry.answer + " " + std::to_string(entry.micros));
    return out;
  };
  Talk early(world);
  early.session.client.reverse_name = "mx.example";
  early.session.client.reverse_verified = true;
  early.session.reverse = SessionState::Reverse{ReverseName::Status::kConfirmed, 2ms};
  early.connect();
  early.from("a@b.example");
  const std::vector<std::string> expected{"dns.reverse 203.0.113.9 = confirmed mx.example 2000"};
  CHECK(effects(early.mail->trail) == expected);
  Talk late(world);
  late.connect();
  late.from("a@b.example");
  late.session.reverse = SessionState::Reverse{ReverseName::Status::kNone, 1ms};
  world.policy->reverse_answered(late.session, &*late.mail);
  CHECK(effects(late.session.trail) == std::vector<std::string>{"dns.reverse 203.0.113.9 = none 1000"});
  CHECK(effects(late.mail->trail) == effects(late.session.trail));
}

TEST_CASE("proxies are those of [[relay.proxy]]") {
  PolicyWorld world;
  world.gate.proxies = {{*IpNetwork::parse("10.0.0.0/24"), "balancer", {}}};
  world.install();
  CHECK(world.policy->trusts_proxy(*IpAddress::parse("10.0.0.7")));
  CHECK_FALSE(world.policy->trusts_proxy(*IpAddress::parse("10.0.1.7")));
  Talk talk(world, "10.0.0.7");
  talk.connect();
  talk.from("a@b.example");
  CHECK(talk.to("victim@foreign.example").reply.code == 550);
}

}  // namespace
}  // namespace postern
