// Mails that rules bring in, and bodies for some recipients: what is committed, in which order, and what is not.
#include <doctest/doctest.h>

#include <cerrno>

#include "core/pipeline/brought_for_tests.h"
#include "core/pipeline/gate_proof.h"
#include "core/pipeline/root_run.h"
#include "core/pipeline/trail_reader.h"
#include "postern/return_path.h"

namespace postern {
namespace {

TEST_CASE("a copy is committed before the mail that brought it, and their trails name each other") {
  BroughtWorld world;
  world.set(
      {make_rule("archive", nullptr, {brings("eve@ours.example")}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const Decision decision = world.decide();
  CHECK(decision.reply().code == 250);
  CHECK(world.queue.messages.empty());
  const auto id = world.commit(decision);
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  const QueuedMessage& copy = world.queue.messages[0];
  CHECK(world.queue.messages[1].id == *id);
  CHECK(copy.envelope.recipients[0].address == address("eve@ours.example"));
  CHECK(copy.plan.steps[0].account == "eve");
  const std::string text = world.text(copy.id);
  CHECK(text.starts_with("Received: by mx.ours.example (Postern, copy_to) id " + copy.id.to_string() + ";\r\n\t"));
  CHECK(text.ends_with(kCopy));
  CHECK(world.facts(copy.id).contains("brought-by: " + id->to_string() + " copy_to eve@ours.example: archive\n"));
  CHECK(world.facts(*id).contains("brought: " + copy.id.to_string() + " copy_to eve@ours.example to eve@ours.example"));
}

TEST_CASE("a refused mail commits nothing that it brought in") {
  BroughtWorld world;
  world.set({make_rule("archive", nullptr, {brings("eve@ours.example")}),
             make_rule("rest", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})});
  CHECK(world.decide().reply().code == 550);
  CHECK(world.talk->mail->settled.empty());
  CHECK(world.talk->mail->brought.empty());
  CHECK(world.queue.messages.empty());
}

TEST_CASE("what a brought-in mail is refused with is the answer to the mail that brought it") {
  BroughtWorld world;
  const auto made_here = std::make_shared<FnMatcher>([](const RuleCall& call) {
    return Result<RecipientSet>(call.transaction.session.made_here ? call.recipients
                                                                   : RecipientSet::none(call.recipients.size()));
  });
  world.set({make_rule("big", made_here, {say(Verdict::reject(552, "5.3.4", "too big"))}),
             make_rule("archive", nullptr, {brings("eve@ours.example")}),
             make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const Decision decision = world.decide();
  CHECK(decision.refuses_all());
  CHECK(decision.reply() == Reply{552, "5.3.4", "too big"});
  CHECK(decision.whole.rule == "archive");
  CHECK(world.talk->mail->settled.empty());
}

TEST_CASE("a notice that cannot be delivered is dropped, and the mail goes on") {
  BroughtWorld world;
  auto notice = brings("nobody@ours.example");
  notice->from.clear();
  world.set({make_rule("tell", nullptr, {notice}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const Decision decision = world.decide();
  CHECK(decision.reply().code == 250);
  const auto id = world.commit(decision);
  REQUIRE(id);
  CHECK(world.queue.messages.size() == 1);
  CHECK(world.facts(*id).contains("dropped, nobody@ours.example does not exist"));
  // What it asked stands in a record of its own: a replay of the main mail asks it again.
  world.trails->flush(world.sim.worker(0));
  world.sim.run_until_idle();
  std::string asked;
  for (const TrailRecord& record : find_trails(world.disk, "/trail", {}).records)
    if (record.session.starts_with("brought-"))
      for (const TrailEntry& entry : *Trail::decode(record.trail)) {
        if (entry.kind == TrailEntry::Kind::kEffect) asked += entry.name + " " + entry.question + "\n";
        if (entry.name == "brought-by") asked += entry.answer.substr(0, entry.answer.find(' ')) + "\n";
      }
  CHECK(asked == id->to_string() + "\ndirectory.find nobody@ours.example\n");
}

TEST_CASE("a copy to somebody of ours who does not exist defers the mail: the script is wrong") {
  BroughtWorld world;
  world.set({make_rule("archive", nullptr, {brings("nobody@ours.example")}),
             make_rule("rest", nullptr, {deliver_to("INBOX")})});
  CHECK(world.decide().reply().code == 451);
  CHECK(world.log.count("brought.refused") == 1);
}

TEST_CASE("a script's address elsewhere is open only where aliases may lead elsewhere, and to notices") {
  for (const bool forwards : {false, true})
    for (const bool fixed : {false, true})
      for (const bool notice : {false, true}) {
        BroughtWorld world;
        world.gate.forward_aliases = forwards;
        auto copy = brings("x@foreign.example");
        copy->fixed = fixed;
        if (notice) copy->from.clear();
        const auto local = std::make_shared<FnMatcher>([](const RuleCall& call) {
          RecipientSet out = RecipientSet::none(call.recipients.size());
          for (std::size_t i = 0; i < call.recipients.size(); ++i)
            if (call.transaction.lookups[i].kind == AddressLookup::Kind::kAccount) out.insert(i);
          return Result<RecipientSet>(out);
        });
        world.set({make_rule("archive", local, {copy, deliver_to("INBOX")}), make_rule("out", nullptr, {relay_on()})});
        const Decision decision = world.decide();
        const bool open = fixed && (forwards || notice);
        CAPTURE(forwards);
        CAPTURE(fixed);
        CAPTURE(notice);
        CHECK(decision.reply().code == (open || notice ? 250 : 451));
        CHECK(world.talk->mail->settled.size() == (open ? 1 : 0));
      }
}

TEST_CASE("what a rule sends on to elsewhere leaves with a sender of ours") {
  class Paths final : public ReturnPaths {
   public:
    Result<Address> forward(const Address& sender, WallTime) const override {
      return address("ok-" + sender.local() + "@ours.example");
    }
    bool is_return_path(const Address&) const override { return false; }
    Result<Address> reverse(const Address&, WallTime) const override { return fault("srs.hash", ""); }
    bool takes_from(const Address&) const override { return false; }
    std::string terms() const override { return {}; }
  } paths;
  BroughtWorld world;
  world.policy->attach(world.directory, &world.queue, &paths);
  world.gate.forward_aliases = true;
  world.set({make_rule("copy", only({0}), {brings("x@foreign.example"), brings("eve@ours.example")}),
             make_rule("out", nullptr, {relay_on()})});
  world.directory.domains["ours.example"] = DomainKind::kLocal;
  world.directory.accounts["bob@ours.example"] = "bob";
  static_cast<void>(world.decide({"joe@relayed.example"}));
  std::map<std::string, std::string> senders;
  for (const auto& one : world.talk->mail->settled)
    for (const PlanStep& step : one->decision.plan.steps) {
      const auto found = step.options.find(std::string(kSenderOption));
      senders[one->transaction->envelope.recipients.at(0).address.to_string()] =
          found == step.options.end() ? "-" : found->second;
    }
  CHECK(senders ==
        std::map<std::string, std::string>{{"x@foreign.example", "ok-alice@ours.example"}, {"eve@ours.example", "-"}});
}

TEST_CASE("the proof of the gate names a script's addresses elsewhere") {
  BroughtWorld world;
  RuleSet rules;
  rules.pipelines["root"] = {"root", {}, {make_rule("archive", nullptr, {brings("eve@ours.example")})}};
  GateReport closed;
  note_script_targets(closed, world.gate, rules, world.directory);
  CHECK(closed.notes.empty());
  rules.pipelines["out"] = {"out", {}, {make_rule("out", nullptr, {brings("x@foreign.example")})}};
  note_script_targets(closed, world.gate, rules, world.directory);
  REQUIRE(closed.notes.size() == 1);
  CHECK(closed.notes[0].starts_with("1 addresses of scripts lie elsewhere and get notices alone"));
  CHECK(closed.notes[0].ends_with("x@foreign.example"));
  world.gate.forward_aliases = true;
  note_script_targets(closed, world.gate, rules, world.directory);
  CHECK(closed.notes[1].contains("get mail from everybody"));
}

TEST_CASE("a rule that gives two recipients one address leaves one copy") {
  BroughtWorld world;
  const auto same = std::make_shared<FnAction>(
      [](const RuleCall& call) {
        call.transaction.envelope.recipients[1].address = call.transaction.envelope.recipients[0].address;
        call.transaction.lookups[1] = call.transaction.lookups[0];
        return Result<ActionResult>(ActionResult{});
      },
      false);
  world.set({make_rule("rewrite", nullptr, {same, deliver_to("INBOX")})});
  const Decision decision = world.decide({"bob@ours.example", "eve@ours.example"});
  REQUIRE(decision.plan.steps.size() == 2);
  CHECK(decision.plan.steps[0].recipients == std::vector<std::uint32_t>{0});
  CHECK(decision.plan.steps[1].kind == PlanStep::Kind::kDiscard);
  CHECK(decision.outcomes[1].reply.code == 250);
}

TEST_CASE("a notice reaches the sender of the mail that it is about, wherever that is") {
  BroughtWorld world;
  auto notice = brings("alice@elsewhere.example");
  notice->from.clear();
  notice->fixed = false;
  const auto relay = std::make_shared<FnAction>(
      [](const RuleCall& call) {
        ActionResult result;
        result.kind = ActionResult::Kind::kFinal;
        if (call.transaction.session.made_here) result.step.kind = PlanStep::Kind::kRelay;
        return Result<ActionResult>(result);
      },
      true);
  world.set({make_rule("tell", nullptr, {notice}), make_rule("rest", nullptr, {relay})});
  const auto id = world.commit(world.decide());
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  CHECK(world.queue.messages[0].plan.steps[0].kind == PlanStep::Kind::kRelay);
  CHECK(world.queue.messages[0].envelope.sender.is_null());
}

TEST_CASE("a notice to a name that hides a route does not reach a relay domain, which would follow it") {
  for (const bool fixed : {false, true}) {
    BroughtWorld world;
    auto notice = brings("victim%abroad.example@relayed.example");
    notice->from.clear();
    notice->fixed = fixed;
    const auto made_here = std::make_shared<FnMatcher>([](const RuleCall& call) {
      return Result<RecipientSet>(call.transaction.session.made_here ? call.recipients
                                                                     : RecipientSet::none(call.recipients.size()));
    });
    world.set({make_rule("tell", nullptr, {notice}), make_rule("out", made_here, {relay_on()}),
               make_rule("rest", nullptr, {deliver_to("INBOX")})});
    world.talk.emplace(world);
    world.talk->connect();
    world.talk->from("victim%abroad.example@relayed.example");
    world.talk->to("bob@ours.example");
    const auto id = world.commit(world.talk->send());
    REQUIRE(id);
    CAPTURE(fixed);
    CHECK(world.queue.messages.size() == (fixed ? 2 : 1));
    CHECK(world.facts(*id).contains("dropped, ") == !fixed);
  }
}

TEST_CASE("what a mail brings in is led by the rules of that mail, whatever a reload installs meanwhile") {
  BroughtWorld world;
  auto next = std::make_shared<RuleSet>();
  next->pipelines["root"] = {"root", {}, {make_rule("closed", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})}};
  const auto reload = std::make_shared<FnAction>(
      [&](const RuleCall& call) {
        if (!call.transaction.session.made_here) {
          world.rules = next;
          world.install();
        }
        return Result<ActionResult>(ActionResult{});
      },
      false);
  world.set({make_rule("archive", nullptr, {brings("eve@ours.example"), reload}),
             make_rule("rest", nullptr, {deliver_to("INBOX")})});
  CHECK(world.decide().reply().code == 250);
  CHECK(world.talk->mail->settled.size() == 1);
  CHECK(world.decide().reply().code == 550);
}

TEST_CASE("an action whose body is one too many brings in nothing") {
  class Both final : public Action {
   public:
    Task<Result<ActionResult>> run(RuleCall call) override {
      if (auto copy = co_await copy_->run(call); !copy) co_return std::unexpected(copy.error());
      co_return co_await body_.run(call);
    }

   private:
    std::shared_ptr<Brings> copy_ = brings("eve@ours.example");
    Writes body_{"another\r\n"};
  };
  BroughtWorld world;
  std::vector<std::string> recipients;
  std::vector<Rule> root;
  const auto here = [](std::size_t number) {
    return std::make_shared<FnMatcher>([number](const RuleCall& call) {
      RecipientSet out = RecipientSet::none(call.recipients.size());
      if (!call.transaction.session.made_here) out.insert(number);
      return Result<RecipientSet>(out);
    });
  };
  for (std::size_t i = 0; i < RootRun::kMaxBodies + 2; ++i) {
    recipients.push_back("u" + std::to_string(i) + "@ours.example");
    world.directory.accounts[recipients.back()] = "u" + std::to_string(i);
    if (i > 0) root.push_back(make_rule("own", here(i), {std::make_shared<Both>()}));
  }
  root.push_back(make_rule("rest", nullptr, {deliver_to("INBOX")}));
  world.set(std::move(root));
  const Decision decision = world.decide(recipients);
  CHECK(decision.outcomes.back().reply.code == 451);
  std::map<std::string, std::size_t> settled;
  for (const auto& one : world.talk->mail->settled) ++settled[one->why];
  CHECK(settled == std::map<std::string, std::size_t>{{"another body", std::size_t{RootRun::kMaxBodies}},
                                                      {"copy_to eve@ours.example", std::size_t{RootRun::kMaxBodies}}});
}

TEST_CASE("a bounce that is sent on is no notice: it goes elsewhere only where aliases may") {
  BroughtWorld world;
  auto copy = brings("x@foreign.example");
  copy->from.clear();
  world.set({make_rule("archive", nullptr, {copy}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  world.talk.emplace(world);
  world.talk->connect();
  world.talk->from("");
  world.talk->to("bob@ours.example");
  CHECK(world.talk->send().reply().code == 451);
  CHECK(world.talk->mail->settled.empty());
}

TEST_CASE("mails that bring in mails end: by depth, and by number") {
  BroughtWorld deep;
  auto endless = brings("eve@ours.example");
  endless->guarded = false;
  deep.set({make_rule("loop", nullptr, {endless}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  CHECK(deep.decide().reply().code == 451);
  CHECK(deep.log.count("rule.failed") == 1);

  BroughtWorld many;
  auto few = brings("eve@ours.example");
  few->guarded = false;
  few->times = 5;  // 5 + 25 + 125 + 625: the number of all counts, not of each
  many.set({make_rule("loop", nullptr, {few}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  CHECK(many.decide().refuses_all());
  CHECK(many.talk->mail->settled.empty());

  BroughtWorld flood;
  auto too_many = brings("eve@ours.example");
  too_many->times = static_cast<int>(Transaction::kMaxBrought) + 1;
  flood.set({make_rule("loop", nullptr, {too_many}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  CHECK(flood.decide().reply().code == 451);
}

TEST_CASE("a copy that its own rule leaves alone is delivered once") {
  BroughtWorld world;
  world.set(
      {make_rule("archive", nullptr, {brings("eve@ours.example")}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  REQUIRE(world.commit(world.decide({"eve@ours.example"})));
  CHECK(world.queue.messages.size() == 2);
}

TEST_CASE("when the spool fails for a brought-in mail the main mail is not written") {
  BroughtWorld world;
  FaultEnv broken;
  auto opened = open_spool({.dir = "/spool", .segment_size = 1 << 20}, {.env = broken,
                                                                        .journal = world.sim.make_lane("journal"),
                                                                        .keeper = world.sim.make_lane("keeper"),
                                                                        .report = {}});
  REQUIRE(opened);
  world.policy->attach_spool(*opened->spool, "mx.ours.example");  // the session's own draft is elsewhere
  world.set(
      {make_rule("archive", nullptr, {brings("eve@ours.example")}), make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const Decision decision = world.decide();
  CHECK(decision.reply().code == 250);
  broken.fail_sync(EIO, 0);
  const auto id = world.commit(decision);
  REQUIRE_FALSE(id);
  CHECK(id.error().code == "spool.latched");
  CHECK(world.queue.messages.empty());
  CHECK(world.log.count("message.commit") == 1);
  world.policy->refused(world.talk->session, &*world.talk->mail, "451");  // as the protocol does
  world.trails->flush(world.sim.worker(0));
  world.sim.run_until_idle();
  // Both are found by the name of the mail that came to nothing.
  const std::string draft = [&] {
    for (const TrailRecord& record : find_trails(world.disk, "/trail", {}).records)
      for (const TrailEntry& entry : *Trail::decode(record.trail))
        if (entry.name == "brought-by") return entry.answer.substr(0, entry.answer.find(' '));
    return std::string("no record of the copy");
  }();
  const auto found = find_trails(world.disk, "/trail", {.text = draft});
  REQUIRE(found.records.size() == 1);
  CHECK(found.records[0].session == "s1");
  CHECK_FALSE(found.records[0].accepted);
  world.talk.reset();
}

TEST_CASE("a body for all takes the place of the one that came") {
  BroughtWorld world;
  world.set({make_rule("edit", nullptr, {std::make_shared<Writes>("changed\r\n")}),
             make_rule("rest", nullptr, {set_field("X-After", "yes"), deliver_to("INBOX")})});
  const Decision decision = world.decide({"bob@ours.example", "eve@ours.example"});
  const auto id = world.commit(decision);
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 1);
  CHECK(world.text(*id) == "Subject: hi\r\nX-After: yes\r\n\r\nchanged\r\n");
  CHECK(world.queue.messages[0].plan.steps.size() == 2);
}

TEST_CASE("a body for some recipients makes a mail beside the other, with the same envelope for them") {
  BroughtWorld world;
  const auto seen = std::make_shared<std::string>();
  const auto look = std::make_shared<FnMatcher>([seen](const RuleCall& call) {
    *seen += call.recipients.to_string() + "=" + std::to_string(call.transaction.size) + " ";
    return Result<RecipientSet>(call.recipients);
  });
  world.set({make_rule("early", only({2}), {deliver_to("Early")}),
             make_rule("edit", only({1}), {set_field("X-Eve", "1"), std::make_shared<Writes>("for eve\r\n")}),
             make_rule("rest", look, {set_field("X-All", "1"), deliver_to("INBOX")})});
  world.directory.accounts["dan@ours.example"] = "dan";
  const Decision decision = world.decide({"bob@ours.example", "eve@ours.example", "dan@ours.example"});
  CHECK(*seen == "0=22 1=24 ");
  CHECK(decision.outcomes.size() == 3);
  const auto id = world.commit(decision);
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  const QueuedMessage& eve = world.queue.messages[0];
  const QueuedMessage& rest = world.queue.messages[1];
  REQUIRE(eve.envelope.recipients.size() == 1);
  CHECK(eve.envelope.recipients[0].address == address("eve@ours.example"));
  CHECK(eve.envelope.sender == address("alice@elsewhere.example"));
  CHECK(eve.plan.steps[0].recipients == std::vector<std::uint32_t>{0});
  CHECK(HeaderEdits::decode(eve.plan.steps[0].header_edits)->size() == 2);
  CHECK(rest.id == *id);
  CHECK(rest.envelope.recipients.size() == 2);
  CHECK(world.text(eve.id).ends_with("\r\n\r\nfor eve\r\n"));
  CHECK(world.text(*id).ends_with("\r\n\r\nhello\r\n"));
  CHECK(world.facts(eve.id).contains("beside: " + id->to_string()));
  CHECK(world.facts(*id).contains("beside: " + eve.id.to_string()));
}

TEST_CASE("the last who have the body that came have it changed in its place") {
  BroughtWorld world;
  world.set({make_rule("one", only({0}), {std::make_shared<Writes>("one\r\n")}),
             make_rule("two", only({1}), {std::make_shared<Writes>("two\r\n")}),
             make_rule("rest", nullptr, {deliver_to("INBOX")})});
  const auto id = world.commit(world.decide({"bob@ours.example", "eve@ours.example"}));
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  CHECK(world.text(world.queue.messages[0].id).ends_with("one\r\n"));
  CHECK(world.queue.messages[0].envelope.recipients[0].address == address("bob@ours.example"));
  CHECK(world.text(*id).ends_with("two\r\n"));
  CHECK(world.queue.messages[1].envelope.recipients[0].address == address("eve@ours.example"));
}

TEST_CASE("when nobody is left for the body that came, no mail without recipients is written") {
  BroughtWorld world;
  world.set({make_rule("one", only({0}), {std::make_shared<Writes>("one\r\n"), deliver_to("INBOX")}),
             make_rule("rest", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})});
  world.talk.emplace(world);
  world.talk->connect();
  world.talk->from("alice@elsewhere.example");
  world.talk->to("bob@ours.example");
  world.talk->to("eve@ours.example");
  world.talk->mail->answers_each = true;
  const Decision decision = world.talk->send();
  CHECK(decision.outcomes[1].reply.code == 550);
  const auto id = world.commit(decision);
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 1);
  CHECK(world.queue.messages[0].id == *id);
  CHECK(world.queue.messages[0].envelope.recipients.size() == 1);
  CHECK(world.text(*id).ends_with("one\r\n"));
}

TEST_CASE("recipients with different bodies may go to different pipelines by one rule") {
  BroughtWorld world;
  const auto two = std::make_shared<FnAction>(
      [](const RuleCall& call) {
        ActionResult result;
        result.kind = ActionResult::Kind::kGo;
        result.pipeline = call.recipients.contains(0) ? "a" : "b";
        return Result<ActionResult>(result);
      },
      true, "a", "go");
  world.rules = std::make_shared<RuleSet>();
  world.rules->pipelines["root"] = {
      "root",
      {},
      {make_rule("one", only({0}), {std::make_shared<Writes>("one\r\n")}), make_rule("go", nullptr, {two})}};
  world.rules->pipelines["a"] = {"a", {}, {make_rule("a1", nullptr, {deliver_to("A")})}};
  world.rules->pipelines["b"] = {"b", {}, {make_rule("b1", nullptr, {deliver_to("B")})}};
  world.install();
  const auto id = world.commit(world.decide({"bob@ours.example", "eve@ours.example"}));
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  CHECK(world.queue.messages[0].plan.steps[0].folder == "A");
  CHECK(world.queue.messages[1].plan.steps[0].folder == "B");
}

TEST_CASE("a body that some had already been given stays theirs when the others get another") {
  BroughtWorld world;
  world.set({make_rule("all", nullptr, {std::make_shared<Writes>("first\r\n")}),
             make_rule("early", only({0}), {deliver_to("INBOX")}),
             make_rule("late", nullptr, {std::make_shared<Writes>("second\r\n"), deliver_to("INBOX")})});
  const auto id = world.commit(world.decide({"bob@ours.example", "eve@ours.example"}));
  REQUIRE(id);
  REQUIRE(world.queue.messages.size() == 2);
  CHECK(world.text(world.queue.messages[0].id).ends_with("second\r\n"));
  CHECK(world.text(*id).ends_with("first\r\n"));
}

}  // namespace
}  // namespace postern
