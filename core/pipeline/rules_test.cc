// Order, splits, `go`, failures and hooks.
#include <doctest/doctest.h>

#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/rule_checks.h"

namespace postern {
namespace {

using Rules = std::vector<Rule>;

std::shared_ptr<RuleSet> set_of(std::map<std::string, Rules> pipelines) {
  auto set = std::make_shared<RuleSet>();
  for (auto& [name, rules] : pipelines) set->pipelines[name] = {name, {}, std::move(rules)};
  return set;
}

/// Three recipients (bob, eve, one of a relay domain) before the rules.
Decision decide_with(PolicyWorld& world, std::map<std::string, Rules> pipelines, std::optional<Talk>& talk) {
  world.rules = set_of(std::move(pipelines));
  world.install();
  talk.emplace(world);
  talk->connect();
  talk->from("alice@elsewhere.example");
  for (const char* to : {"bob@ours.example", "eve@ours.example", "x@relayed.example"})
    REQUIRE_FALSE(talk->to(to).decided());
  return talk->send();
}

const PlanStep* step_of(const Decision& decision, std::uint32_t recipient) {
  for (const PlanStep& step : decision.plan.steps)
    if (std::find(step.recipients.begin(), step.recipients.end(), recipient) != step.recipients.end()) return &step;
  return nullptr;
}

TEST_CASE("recipients split at matchers and each meets the first rule that takes it") {
  PolicyWorld world;
  std::optional<Talk> talk;
  const Decision decision = decide_with(
      world,
      {{"root",
        {make_rule("root#1", only({0}), {deliver_to("Archive")}), make_rule("root#2", only({0, 1}), {go_to("local")}),
         make_rule("root#3", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})}},
       {"local", {make_rule("local#1", nullptr, {deliver_to("INBOX")})}}},
      talk);
  REQUIRE(decision.outcomes.size() == 3);
  CHECK(step_of(decision, 0)->folder == "Archive");
  CHECK(step_of(decision, 1)->folder == "INBOX");
  CHECK(decision.outcomes[1].rule == "local#1");
  CHECK(decision.outcomes[2].reply.code == 550);
  CHECK(decision.reply().code == 250);
  // The client cannot be told of one recipient alone: the sender gets a report.
  REQUIRE(step_of(decision, 2));
  CHECK(step_of(decision, 2)->kind == PlanStep::Kind::kBounce);
  CHECK(step_of(decision, 2)->options.at("code") == "550");
}

TEST_CASE("a client that hears of each recipient gets no report as well, and the refused one leaves the envelope") {
  PolicyWorld world;
  world.rules = set_of({{"root",
                         {make_rule("root#1", only({1}), {say(Verdict::reject(550, "5.7.1", "no"))}),
                          make_rule("root#2", nullptr, {deliver_to("INBOX")})}}});
  world.install();
  Talk talk(world, "203.0.113.9", SessionRole::kLmtp);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.mail->answers_each = true;
  for (const char* to : {"bob@ours.example", "eve@ours.example"}) talk.to(to);
  talk.mail->envelope.recipients.push_back({address("bob@ours.example"), "", kNotifyUnset});
  talk.mail->lookups.push_back(talk.mail->lookups[0]);
  talk.mail->relay.push_back(false);
  const Decision decision = talk.send();
  CHECK(decision.outcomes[0].reply.code == 250);
  CHECK(decision.outcomes[1].reply.code == 550);
  CHECK(step_of(decision, 1) == nullptr);
  REQUIRE(talk.commit(decision));
  const QueuedMessage& queued = world.queue.messages.at(0);
  CHECK(queued.envelope.recipients.size() == 2);
  CHECK(queued.plan.steps.at(0).recipients == std::vector<std::uint32_t>{0});
  CHECK(queued.plan.steps.at(1).recipients == std::vector<std::uint32_t>{1});  // bob again: one copy is enough
  CHECK(queued.plan.steps.at(1).kind == PlanStep::Kind::kDiscard);
}

TEST_CASE("running off a pipeline's end defers and names it") {
  PolicyWorld world;
  std::optional<Talk> talk;
  const Decision decision =
      decide_with(world, {{"root", {make_rule("root#1", only({0}), {deliver_to("INBOX")})}}}, talk);
  CHECK(decision.outcomes[0].reply.code == 250);
  CHECK(decision.outcomes[1].reply == Reply{451, "4.3.0", "temporary local problem, try again later"});
  CHECK(decision.outcomes[1].rule == "root#end");
  REQUIRE(world.log.last("rule.failed"));
  CHECK(world.log.last("rule.failed")->field("code") == "pipeline.end");
}

TEST_CASE("a rule that fails does what its on_error says, and names itself in log and trail") {
  struct Case {
    OnError on_error;
    int code;
    std::string_view rule;
  };
  for (const bool throws : {false, true}) {
    for (const Case& c : {Case{OnError::kDefer, 451, "root#1"}, Case{OnError::kReject, 554, "root#1"},
                          Case{OnError::kQuarantine, 250, "root#1"}, Case{OnError::kSkip, 250, "root#2"}}) {
      PolicyWorld world;
      std::optional<Talk> talk;
      Rule broken = make_rule("root#1", std::make_shared<FnMatcher>([throws](const RuleCall&) -> Result<RecipientSet> {
                                if (throws) throw std::runtime_error("oops");
                                return fault("test.broken", "oops");
                              }),
                              {deliver_to("Wrong")});
      broken.on_error = c.on_error;
      const Decision decision =
          decide_with(world,
                      {{"root",
                        {broken, make_rule("root#2", only({0, 1}), {deliver_to("INBOX")}),
                         make_rule("root#3", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})}}},
                      talk);
      CHECK(decision.outcomes[0].reply.code == c.code);
      CHECK(decision.outcomes[0].rule == c.rule);
      CHECK(world.log.last("rule.failed")->field("rule") == "root#1");
      const auto trail = Trail::decode(talk->mail->trail.bytes());
      CHECK(std::any_of(trail->begin(), trail->end(), [](const TrailEntry& e) {
        return e.kind == TrailEntry::Kind::kError && e.name == "root#1" && e.answer.find("oops") != std::string::npos;
      }));
      if (c.on_error == OnError::kQuarantine) CHECK(step_of(decision, 0)->kind == PlanStep::Kind::kQuarantine);
    }
  }
}

TEST_CASE("pipelines that lead into each other without end are deferred") {
  PolicyWorld world;
  std::optional<Talk> talk;
  const Decision decision = decide_with(
      world,
      {{"root", {make_rule("root#1", nullptr, {go_to("a")})}}, {"a", {make_rule("a#1", nullptr, {go_to("root")})}}},
      talk);
  CHECK(decision.reply().code == 451);
  CHECK(world.log.last("rule.failed")->field("code") == "pipeline.depth");
}

TEST_CASE("a script cannot relay what the gate did not let out") {
  PolicyWorld world;
  auto relay = std::make_shared<FnAction>(
      [](const RuleCall& call) {
        call.transaction.envelope.recipients[0].address = address("victim@foreign.example");
        ActionResult result;
        result.kind = ActionResult::Kind::kFinal;
        result.step.kind = PlanStep::Kind::kRelay;
        return Result<ActionResult>(result);
      },
      true);
  std::optional<Talk> talk;
  const Decision decision = decide_with(world, {{"root", {make_rule("root#1", nullptr, {relay})}}}, talk);
  CHECK(decision.refuses_all());
  CHECK(world.log.last("rule.failed")->field("code") == "relay.denied");
}

TEST_CASE("header edits for all go into the message, those for some into their steps") {
  PolicyWorld world;
  std::optional<Talk> talk;
  const Decision decision =
      decide_with(world,
                  {{"root",
                    {make_rule("root#1", nullptr, {set_field("X-All", "1")}),
                     make_rule("root#2", only({1}), {set_field("X-Eve", "1")}),
                     make_rule("root#3", only({0, 1}), {set_field("X-Local", "1"), deliver_to("INBOX")}),
                     make_rule("root#4", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})}}},
                  talk);
  CHECK(talk->mail->edits.size() == 1);
  const auto edits = [&](std::uint32_t who) { return *HeaderEdits::decode(step_of(decision, who)->header_edits); };
  CHECK(edits(0).size() == 1);
  CHECK(edits(1).size() == 2);
  REQUIRE(talk->commit(decision));
  CHECK(step_of(decision, 0) != step_of(decision, 1));
}

TEST_CASE("a hold delays and lets the other rules go on") {
  PolicyWorld world;
  Verdict hold;
  hold.kind = Verdict::Kind::kHold;
  hold.hold = 10min;
  std::optional<Talk> talk;
  const Decision decision = decide_with(
      world,
      {{"root",
        {make_rule("root#1", only({0}), {say(hold)}), make_rule("root#2", only({0, 1}), {deliver_to("INBOX")}),
         make_rule("root#3", nullptr, {say(Verdict::reject(550, "5.7.1", "no"))})}}},
      talk);
  CHECK(step_of(decision, 0)->not_before == world.sim.worker(0).wall() + 10min);
  CHECK(step_of(decision, 1)->not_before == WallTime{});
}

// --- hooks ---

Hook hook(Stage stage, FnHook::Fn fn, std::optional<SessionRole> role = {}) {
  Hook out;
  out.stage = stage;
  out.name = "test.lua:1";
  out.role = role;
  out.handler = std::make_shared<FnHook>(std::move(fn));
  return out;
}
std::shared_ptr<RuleSet> deliver_all() {
  return set_of({{"root", {make_rule("root#1", nullptr, {deliver_to("INBOX")})}}});
}

TEST_CASE("hooks run in order, by role, until one decides") {
  PolicyWorld world;
  world.rules = deliver_all();
  std::string order;
  const auto note = [&](char c, Verdict verdict) {
    return [&order, c, verdict](const HookCall&) {
      order += c;
      return Result<Verdict>(verdict);
    };
  };
  world.rules->hooks = {hook(Stage::kMail, note('a', {})), hook(Stage::kMail, note('b', {}), SessionRole::kLmtp),
                        hook(Stage::kRcpt, note('r', {})),
                        hook(Stage::kMail, note('c', Verdict::reject(550, "5.1.8", "bad sender"))),
                        hook(Stage::kMail, note('d', {}))};
  world.install();
  Talk talk(world);
  talk.connect();
  const Verdict verdict = talk.from("alice@elsewhere.example");
  CHECK(verdict.reply.text == "bad sender");
  CHECK(verdict.rule == "test.lua:1");
  CHECK(order == "ac");
}

TEST_CASE("an accepting hook ends its stage, and cannot widen the gate") {
  PolicyWorld world;
  world.rules = deliver_all();
  Verdict accept;
  accept.kind = Verdict::Kind::kAccept;
  bool later = false;
  world.rules->hooks = {hook(Stage::kRcpt, [&](const HookCall&) { return Result<Verdict>(accept); }),
                        hook(Stage::kRcpt, [&](const HookCall&) {
                          later = true;
                          return Result<Verdict>(Verdict{});
                        })};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK(talk.to("victim@foreign.example").reply.code == 550);
  CHECK_FALSE(talk.to("bob@ours.example").decided());
  CHECK_FALSE(later);
}

TEST_CASE("a refusing hook at RCPT leaves the recipient out") {
  PolicyWorld world;
  world.rules = deliver_all();
  world.rules->hooks = {hook(Stage::kRcpt, [](const HookCall& call) {
    if (call.recipient->address.local() == "eve") return Result<Verdict>(Verdict::reject(550, "5.2.1", "gone"));
    return Result<Verdict>(Verdict{});
  })};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK(talk.to("eve@ours.example").reply.enhanced == "5.2.1");
  CHECK_FALSE(talk.to("bob@ours.example").decided());
  CHECK(talk.mail->envelope.recipients.size() == 1);
}

TEST_CASE("a hook's discard of one recipient answers 250 and delivers to nobody") {
  PolicyWorld world;
  world.rules = deliver_all();
  Verdict discard;
  discard.kind = Verdict::Kind::kDiscard;
  discard.reason = "trap";
  world.rules->hooks = {hook(Stage::kRcpt, [&](const HookCall& call) {
    return Result<Verdict>(call.recipient->address.local() == "eve" ? discard : Verdict{});
  })};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  CHECK_FALSE(talk.to("bob@ours.example").decided());
  CHECK_FALSE(talk.to("eve@ours.example").decided());
  const Decision decision = talk.send();
  CHECK(decision.reply().code == 250);
  CHECK(step_of(decision, 0)->kind == PlanStep::Kind::kDeliver);
  CHECK(step_of(decision, 1)->kind == PlanStep::Kind::kDiscard);
  CHECK(step_of(decision, 1)->reason == "trap");
}

TEST_CASE("a failing hook defers, with 421 where a greeting would stand") {
  for (const Stage stage : {Stage::kConnect, Stage::kMail}) {
    PolicyWorld world;
    world.rules = deliver_all();
    world.rules->hooks = {hook(stage, [](const HookCall&) -> Result<Verdict> { return fault("test.broken"); })};
    world.install();
    Talk talk(world);
    const Verdict first = talk.connect();
    CHECK((stage == Stage::kConnect ? first : talk.from("a@b.example")).reply.code ==
          (stage == Stage::kConnect ? 421 : 451));
    CHECK(world.log.count("hook.failed") == 1);
  }
}

TEST_CASE("a message hook that refuses answers for all") {
  PolicyWorld world;
  world.rules = deliver_all();
  world.rules->hooks = {hook(Stage::kMessage, [](const HookCall& call) {
    CHECK(call.transaction->headers().find("Subject: hi") != std::string_view::npos);
    return Result<Verdict>(Verdict::reject(554, "5.7.1", "spam"));
  })};
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  const Decision decision = talk.send();
  CHECK(decision.whole.reply.code == 554);
  CHECK(decision.reply().code == 554);
}

// --- load checks ---

std::string complaints(const RuleSet& rules) {
  Diagnostics diagnostics;
  check_rules(rules, diagnostics);
  return diagnostics.render();
}
bool complains(const std::shared_ptr<RuleSet>& rules, std::string_view about) {
  return complaints(*rules).find(about) != std::string::npos;
}

TEST_CASE("the checks find what cannot work, all at once") {
  CHECK(
      complains(set_of({{"rot", {make_rule("rot#1", nullptr, {deliver_to("x")})}}}), "there is no pipeline \"root\""));
  CHECK(complains(set_of({{"root", {make_rule("root#1", nullptr, {go_to("locl")})}},
                          {"local", {make_rule("local#1", nullptr, {deliver_to("x")})}}}),
                  "did you mean \"local\""));
  CHECK(complains(set_of({{"root", {make_rule("root#1", nullptr, {go_to("a")})}},
                          {"a", {make_rule("a#1", nullptr, {go_to("root")})}}}),
                  "root -> a -> root"));
  CHECK(complains(set_of({{"root", {make_rule("root#1", only({0}), {deliver_to("x")})}}}), "does not end"));
  CHECK(complains(set_of({{"root", {make_rule("root#1", nullptr, {set_field("a", "b")})}}}), "does not end"));
  CHECK(complains(
      set_of({{"root",
               {make_rule("root#1", nullptr, {deliver_to("x")}), make_rule("root#2", nullptr, {deliver_to("y")})}}}),
      "rule \"root#2\" is never reached"));
  CHECK(complains(set_of({{"root", {make_rule("root#1", nullptr, {deliver_to("x"), deliver_to("y")})}}}),
                  "action 2 of rule \"root#1\" is never reached"));
  CHECK(complains(set_of({{"root", {make_rule("root#1", nullptr, {})}}}), "has no action"));
}

TEST_CASE("lints have codes and can be waived") {
  auto rules = set_of({{"root",
                        {make_rule("root#1", only({0}, "recipient_is"), {say(Verdict::reject(550, "5.1.1", "no"))}),
                         make_rule("root#2", nullptr, {deliver_to("x")})}},
                       {"idle", {make_rule("idle#1", nullptr, {deliver_to("x")})}}});
  CHECK(complains(rules, "lint.no_loop_guard"));
  CHECK(complains(rules, "lint.denial_after_acceptance"));
  CHECK(complains(rules, "lint.unused_pipeline"));
  rules->waivers = {
      {"lint.no_loop_guard", "a test"}, {"lint.denial_after_acceptance", "a test"}, {"lint.unused_pipeline", "a test"}};
  CHECK(complaints(*rules).empty());
  CHECK_FALSE(complains(set_of({{"root",
                                 {make_rule("root#1", only({0}, "all_of(relay_limit, all)"), {deliver_to("y")}),
                                  make_rule("root#2", nullptr, {deliver_to("x")})}}}),
                        "no_loop_guard"));
}

}  // namespace
}  // namespace postern
