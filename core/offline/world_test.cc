#include "core/offline/world.h"

#include <doctest/doctest.h>

#include "core/pipeline/default_rules.h"

namespace postern {
namespace {

/// A configuration without scripts: the built-in rules.
struct Setup {
  std::unique_ptr<RuleRegistry> registry = make_rule_registry();
  OfflineSetup setup{*registry, nullptr, {}, {}};
};

SpecMail mail_to(std::vector<std::string> recipients, std::string sender = "alice@elsewhere.example") {
  SpecMail mail;
  mail.client.ip = *IpAddress::parse("203.0.113.9");
  mail.client.ehlo = "client.example";
  mail.client.esmtp = true;
  mail.sender = std::move(sender);
  mail.recipients = std::move(recipients);
  mail.text = "Subject: hi\n\nhello\n";
  return mail;
}

AddressLookup account(std::string name) {
  AddressLookup lookup;
  lookup.kind = AddressLookup::Kind::kAccount;
  lookup.account = std::move(name);
  return lookup;
}

TEST_CASE("a mail is taken through the gate and the rules, and each recipient has its outcome") {
  Setup setup;
  OfflineWorld world(setup.setup);
  REQUIRE(world.set_domain("ours.example", DomainKind::kLocal));
  REQUIRE(world.set_address("bob@ours.example", account("bob")));
  const auto result = world.mail(mail_to({"bob@ours.example", "nobody@ours.example", "x@abroad.example"}));
  REQUIRE_MESSAGE(result, (result ? "" : result.error().detail));
  REQUIRE(result->outcomes.size() == 3);
  CHECK(result->outcomes[0].action == "deliver");
  CHECK(result->outcomes[0].account == "bob");
  CHECK(result->outcomes[0].folder == "INBOX");
  CHECK(result->outcomes[0].stage == Stage::kMessage);
  CHECK(result->outcomes[0].reply.code == 250);
  CHECK(result->outcomes[0].header == "Subject: hi\r\n");
  CHECK(result->outcomes[0].body == "\r\nhello\r\n");
  CHECK(result->outcomes[1].stage == Stage::kRcpt);
  CHECK(result->outcomes[1].reply == Reply{550, "5.1.1", "no such user here"});
  CHECK(result->outcomes[1].rule == "gate");
  CHECK(result->outcomes[2].reply.enhanced == "5.7.1");
  CHECK(result->outcomes[2].action == "reject");
  CHECK(result->story.find("gate: bob@ours.example is stranger/anonymous/account -> deliver") != std::string::npos);
}

TEST_CASE("aliases put their further targets behind the recipients that the client named") {
  Setup setup;
  OfflineWorld world(setup.setup);
  REQUIRE(world.set_address("bob@ours.example", account("bob")));
  REQUIRE(world.set_address("eve@ours.example", account("eve")));
  AddressLookup alias;
  alias.kind = AddressLookup::Kind::kAlias;
  alias.targets = {*Address::parse("bob@ours.example"), *Address::parse("eve@ours.example")};
  REQUIRE(world.set_address("team@ours.example", alias));
  const auto result = world.mail(mail_to({"team@ours.example"}));
  REQUIRE_MESSAGE(result, (result ? "" : result.error().detail));
  REQUIRE(result->outcomes.size() == 2);
  CHECK(result->outcomes[0].recipient == "team@ours.example");
  CHECK(result->outcomes[0].account == "bob");
  CHECK(result->outcomes[1].recipient == "eve@ours.example");
  CHECK(result->outcomes[1].account == "eve");
  CHECK_FALSE(result->outcomes[1].rule.empty());
}

TEST_CASE("an alias to an address that nobody stated fails no spec: the directory is closed") {
  Setup setup;
  OfflineWorld world(setup.setup);
  AddressLookup alias;
  alias.kind = AddressLookup::Kind::kAlias;
  alias.targets = {*Address::parse("gone@ours.example")};
  REQUIRE(world.set_address("team@ours.example", alias));
  const auto result = world.mail(mail_to({"team@ours.example"}));
  REQUIRE_MESSAGE(result, (result ? "" : result.error().detail));
  CHECK(result->outcomes[0].reply.code == 451);
}

/// Asks a limit that counts.
class Limited final : public Action {
 public:
  explicit Limited(std::vector<std::string>& heard) : heard_(heard) {}
  Task<Result<ActionResult>> run(RuleCall call) override {
    heard_.push_back(call.effects.recorded("rate_limit", "k").value_or("not recorded"));
    ActionResult result;
    result.kind = ActionResult::Kind::kFinal;
    result.step.folder = "INBOX";
    return Task<Result<ActionResult>>::ready(result);
  }
  bool is_final() const override { return true; }

 private:
  std::vector<std::string>& heard_;
};

class LimitedEngine final : public ScriptEngine {
 public:
  std::vector<std::string> heard;
  std::shared_ptr<RuleSet> load(const std::vector<std::string>&, const RuleRegistry&, Diagnostics&) override {
    auto rules = std::make_shared<RuleSet>();
    Rule rule;
    rule.name = "limit";
    rule.actions.push_back(std::make_shared<Limited>(heard));
    rules->pipelines["root"] = {"root", {}, {rule}};
    return rules;
  }
};

TEST_CASE("answers that are given in turn go on with the next mail, and after one that was not stated anew") {
  Setup setup;
  LimitedEngine engine;
  OfflineSetup scripted{*setup.registry, &engine, {}, {}};
  scripted.settings.scripts = {"rules.lua"};
  OfflineWorld world(scripted);
  REQUIRE(world.set_address("bob@ours.example", account("bob")));
  REQUIRE(world.set_address("eve@ours.example", account("eve")));
  REQUIRE(world.answer("rate_limit", "k", "1 of 2"));
  REQUIRE(world.answer("rate_limit", "k", "2 of 2"));
  REQUIRE(world.mail(mail_to({"bob@ours.example"}, "first@elsewhere.example")));
  REQUIRE(world.mail(mail_to({"eve@ours.example"}, "second@another.example")));
  CHECK(engine.heard == std::vector<std::string>{"1 of 2", "2 of 2"});
  const auto third = world.mail(mail_to({"bob@ours.example"}));
  REQUIRE_FALSE(third);
  CHECK(third.error().code == "spec.unanswered");
  CHECK(world.mail(mail_to({"bob@ours.example"})));
  CHECK(engine.heard.back() == "1 of 2");
}

TEST_CASE("a relay network may send abroad, and a submission port wants a login") {
  Setup setup;
  OfflineWorld world(setup.setup);
  REQUIRE(world.set_relay_network("203.0.113.0/24"));
  const auto relayed = world.mail(mail_to({"x@abroad.example"}));
  REQUIRE_MESSAGE(relayed, (relayed ? "" : relayed.error().detail));
  CHECK(relayed->outcomes[0].action == "relay");
  SpecMail submission = mail_to({"x@abroad.example"});
  submission.client.role = SessionRole::kSubmission;
  const auto refused = world.mail(submission);
  REQUIRE(refused);
  CHECK(refused->outcomes[0].stage == Stage::kMail);
  CHECK(refused->outcomes[0].reply.code == 530);
  submission.client.auth_user = "bob";
  submission.client.tls_version = "TLSv1.3";
  const auto sent = world.mail(submission);
  REQUIRE(sent);
  CHECK(sent->outcomes[0].action == "relay");
}

TEST_CASE("what a spec states of an address at a relay domain is a fault") {
  Setup setup;
  OfflineWorld world(setup.setup);
  REQUIRE(world.set_domain("inside.example", DomainKind::kRelay));
  const auto stated = world.set_address("bob@inside.example", account("bob"));
  REQUIRE_FALSE(stated);
  CHECK(stated.error().code == "spec.value");
  CHECK_FALSE(world.set_domain("not a domain", DomainKind::kLocal));
  CHECK_FALSE(world.set_relay_network("everything"));
  CHECK_FALSE(world.mail(mail_to({"not an address"})));
}

TEST_CASE("steps of a session follow from what is known of the client") {
  ClientInfo client;
  client.ehlo = "me";
  client.esmtp = true;
  CHECK(steps_of(client).size() == 2);
  client.tls_version = "TLSv1.3";
  client.auth_user = "bob";
  const auto steps = steps_of(client);
  REQUIRE(steps.size() == 5);  // connect, ehlo, starttls, ehlo, auth
  CHECK(steps[0].client.ehlo.empty());
  CHECK(steps[1].client.tls_version.empty());
  CHECK(steps[2].stage == Stage::kStarttls);
  CHECK(steps[4].stage == Stage::kAuth);
  client.role = SessionRole::kSubmissions;
  CHECK(steps_of(client).size() == 3);
  CHECK(steps_of(client)[0].client.secure());
}

TEST_CASE("line ends become CRLF once") {
  CHECK(with_crlf("a\nb\r\nc") == "a\r\nb\r\nc");
  CHECK(with_crlf("\n") == "\r\n");
}

}  // namespace
}  // namespace postern
