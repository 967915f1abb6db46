// Return paths: what the policy does with mail that is forwarded, and with the reports that come back for it.
#include "postern/return_path.h"

#include <doctest/doctest.h>

#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/gate_proof.h"

namespace postern {
namespace {

/// Signs "local=domain" by putting "ok-" before it; "old-" is a signature that has run out.
class FakePaths final : public ReturnPaths {
 public:
  bool any_sender = false;
  bool too_long = false;
  Result<Address> forward(const Address& sender, WallTime) const override {
    if (too_long) return fault("srs.too_long", "200 octets");
    return address("ok-" + sender.local() + "=" + sender.domain().ascii() + "@ours.example");
  }
  bool is_return_path(const Address& recipient) const override {
    return recipient.domain().ascii() == "ours.example" && recipient.local().find('=') != std::string::npos;
  }
  Result<Address> reverse(const Address& recipient, WallTime) const override {
    const std::string& local = recipient.local();
    if (local.starts_with("old-")) return fault("srs.expired", "");
    if (!local.starts_with("ok-")) return fault("srs.hash", "");
    const std::size_t at = local.find('=');
    return address(local.substr(3, at - 3) + "@" + local.substr(at + 1));
  }
  bool takes_from(const Address& sender) const override { return any_sender || sender.is_null(); }
  std::string terms() const override { return "ours.example, in a test"; }
};

struct ForwardWorld : PolicyWorld {
  FakePaths paths;
  ForwardWorld() {
    policy->attach(directory, &queue, &paths);
    directory.aliases = {{"away@ours.example", {"ann@far.example"}},
                         {"both@ours.example", {"bob@ours.example", "ann@far.example", "joe@relayed.example"}}};
    gate.forward_aliases = true;
    gate.return_paths = paths.terms();
    install();
  }
  /// The sender that each recipient of the committed plan would see; "-" is the envelope's.
  std::map<std::string, std::string> senders(Talk& talk) {
    const Decision decision = talk.send();
    REQUIRE_FALSE(decision.refuses_some());
    REQUIRE(talk.commit(decision));
    std::map<std::string, std::string> out;
    const QueuedMessage& message = queue.messages.back();
    for (const PlanStep& step : message.plan.steps)
      for (const std::uint32_t one : step.recipients) {
        const auto found = step.options.find(std::string(kSenderOption));
        CHECK(out.emplace(message.envelope.recipients.at(one).address.to_string(),
                          found == step.options.end() ? "-" : found->second)
                  .second);
      }
    return out;
  }
  std::string trail(Talk& talk) const {
    std::string out;
    for (const TrailEntry& entry : *Trail::decode(talk.mail->trail.bytes()))
      if (entry.name == "return-path") out += entry.answer + "\n";
    return out;
  }
};

TEST_CASE("mail from elsewhere that an alias sends on leaves with a sender of ours") {
  ForwardWorld world;
  Talk talk(world);
  talk.from("sue@else.example");
  CHECK_FALSE(talk.to("away@ours.example").refuses());
  CHECK(world.senders(talk) ==
        std::map<std::string, std::string>{{"ann@far.example", "ok-sue=else.example@ours.example"}});
  CHECK(world.trail(talk) == "sue@else.example -> ok-sue=else.example@ours.example [0]\n");
}

TEST_CASE("forwarded mail that waits in quarantine has the sender that it will leave with") {
  ForwardWorld world;
  Verdict verdict;
  verdict.kind = Verdict::Kind::kQuarantine;
  world.rules = std::make_shared<RuleSet>();
  world.rules->pipelines["root"].rules.push_back(make_rule("root#1", nullptr, {say(verdict)}));
  world.install();
  Talk talk(world);
  talk.from("sue@else.example");
  CHECK_FALSE(talk.to("away@ours.example").refuses());
  CHECK(world.senders(talk) ==
        std::map<std::string, std::string>{{"ann@far.example", "ok-sue=else.example@ours.example"}});
  CHECK(world.queue.messages.back().plan.steps.front().kind == PlanStep::Kind::kQuarantine);
}

TEST_CASE("of an alias's targets only those elsewhere get it: mailboxes and relay domains know us") {
  ForwardWorld world;
  Talk talk(world);
  talk.from("sue@else.example");
  CHECK_FALSE(talk.to("both@ours.example").refuses());
  CHECK(world.senders(talk) ==
        std::map<std::string, std::string>{{"ann@far.example", "ok-sue=else.example@ours.example"},
                                           {"bob@ours.example", "-"},
                                           {"joe@relayed.example", "-"}});
}

TEST_CASE("the null sender, senders of ours and users' own mail stay as they are") {
  ForwardWorld world;
  for (const char* sender : {"", "bob@ours.example", "joe@relayed.example"}) {
    Talk talk(world);
    talk.from(sender);
    CHECK_FALSE(talk.to("away@ours.example").refuses());
    CHECK(world.senders(talk) == std::map<std::string, std::string>{{"ann@far.example", "-"}});
  }
  Talk user(world, "203.0.113.9", SessionRole::kSubmission);
  user.session.client.auth_user = "bob";
  user.from("sue@else.example");
  CHECK_FALSE(user.to("away@ours.example").refuses());
  CHECK(world.senders(user) == std::map<std::string, std::string>{{"ann@far.example", "-"}});
}

TEST_CASE("what a relay network sends through is on its way, not forwarded; what an alias of ours sends on is") {
  ForwardWorld world;
  world.gate.networks = {{*IpNetwork::parse("192.0.2.0/24"), "office", {}}};
  world.install();
  Talk talk(world, "192.0.2.7");
  talk.from("sue@else.example");
  CHECK_FALSE(talk.to("tom@far.example").refuses());
  CHECK_FALSE(talk.to("away@ours.example").refuses());
  CHECK(world.senders(talk) == std::map<std::string, std::string>{
                                   {"tom@far.example", "-"}, {"ann@far.example", "ok-sue=else.example@ours.example"}});
}

TEST_CASE("a sender that does not fit into a return path goes on as it is, and the log says so") {
  ForwardWorld world;
  world.paths.too_long = true;
  Talk talk(world);
  talk.from("sue@else.example");
  CHECK_FALSE(talk.to("away@ours.example").refuses());
  CHECK(world.senders(talk) == std::map<std::string, std::string>{{"ann@far.example", "-"}});
  CHECK(world.log.last("message.return-path"));
}

TEST_CASE("a report to a signed return path goes back to the true sender, through a gate that is closed") {
  ForwardWorld world;
  world.gate.forward_aliases = false;
  world.install();
  Talk talk(world);
  talk.from("");
  CHECK_FALSE(talk.to("ok-sue=else.example@ours.example").refuses());
  CHECK(world.senders(talk) == std::map<std::string, std::string>{{"sue@else.example", "-"}});
  CHECK(world.queue.messages.back().envelope.recipients.front().orcpt == "rfc822;ok-sue+3Delse.example@ours.example");
  CHECK(world.trail(talk) == "ok-sue=else.example@ours.example -> sue@else.example\n");
}

TEST_CASE("a return path that was not signed here, or has run out, is nobody") {
  ForwardWorld world;
  Talk talk(world);
  talk.from("");
  const Verdict forged = talk.to("x-sue=else.example@ours.example");
  CHECK(forged.reply.code == 550);
  CHECK(forged.reply.enhanced == "5.1.1");
  CHECK(forged.reply.text == "this return path was not made by this server");
  CHECK(talk.to("old-sue=else.example@ours.example").reply.text == "this return path has expired");
  CHECK(talk.mail->envelope.recipients.empty());
}

TEST_CASE("mail that is no report does not pass by a return path, unless the service takes it or the client relays") {
  ForwardWorld world;
  Talk stranger(world);
  stranger.from("eve@evil.example");
  const Verdict refused = stranger.to("ok-sue=else.example@ours.example");
  CHECK(refused.reply.enhanced == "5.7.1");
  CHECK(refused.reply.text == "only reports about mail are taken for this address");
  world.paths.any_sender = true;
  CHECK_FALSE(stranger.to("ok-sue=else.example@ours.example").refuses());
  world.paths.any_sender = false;
  Talk user(world, "203.0.113.9", SessionRole::kSubmission);
  user.session.client.auth_user = "bob";
  user.from("bob@ours.example");
  CHECK_FALSE(user.to("ok-sue=else.example@ours.example").refuses());
}

TEST_CASE("a return path behind which is somebody of ours by now is delivered here, and nobody is nobody") {
  ForwardWorld world;
  Talk talk(world);
  talk.from("");
  CHECK_FALSE(talk.to("ok-bob=ours.example@ours.example").refuses());
  CHECK(talk.to("ok-nobody=ours.example@ours.example").reply.enhanced == "5.1.1");
  CHECK(talk.to("ok-ok-x=ours.example@ours.example").reply.enhanced == "5.1.1");
  const Decision decision = talk.send();
  REQUIRE(decision.plan.steps.size() == 1);
  CHECK(decision.plan.steps.front().account == "bob");
}

TEST_CASE("proof: return paths change the gate's answers about reports to them, and about nothing else") {
  GateConfig without;
  without.networks = {{*IpNetwork::parse("192.0.2.0/24"), "office", {}}};
  without.proxies = {{*IpNetwork::parse("198.51.100.7"), "balancer", {}}};
  GateConfig with = without;
  with.return_paths = "ours.example, in a test";
  const GateReport closed = prove_gate(without, {});
  const GateReport report = prove_gate(with, {});
  CHECK_FALSE(report.open());
  CHECK(report.render().find("ours.example, in a test") != std::string::npos);
  REQUIRE(report.cells.size() == closed.cells.size());
  std::size_t changed = 0;
  for (std::size_t i = 0; i < report.cells.size(); ++i) {
    const GateCell& cell = report.cells[i];
    if (cell.answer == closed.cells[i].answer) continue;
    ++changed;
    CHECK(cell.recipient == RecipientClass::kReturnPath);
    CHECK(cell.answer == GateAnswer::kRelay);
    CHECK(closed.cells[i].answer == GateAnswer::kRefuse);
  }
  CHECK(changed > 0);
  for (const GateCell& cell : closed.cells)
    if (cell.client == "stranger" && !cell.authenticated)
      CHECK_FALSE((cell.recipient == RecipientClass::kReturnPath && cell.answer == GateAnswer::kRelay));
}

}  // namespace
}  // namespace postern
