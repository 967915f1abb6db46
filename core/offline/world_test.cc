#include "core/offline/world.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

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

/// Counts each mail of a sender, draws a number, and files by both.
class Counting final : public Action {
 public:
  Task<Result<ActionResult>> run(RuleCall call) override { return count(call); }
  bool is_final() const override { return true; }

 private:
  static Task<Result<ActionResult>> count(RuleCall call) {
    KeyValueRequest more{.kind = KeyValueRequest::Kind::kIncrement, .key = "n", .expiry = std::chrono::hours(1)};
    const auto number = co_await call.effects.kv("", std::move(more));
    if (!number) co_return std::unexpected(number.error());
    ActionResult result;
    result.kind = ActionResult::Kind::kFinal;
    result.step.folder = fmt::format("{} {}", number->number, call.effects.random());
    co_return result;
  }
};

/// What the queue asks: a route at night, and no attempt for one destination.
class Night final : public HookHandler {
 public:
  Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }

 private:
  static Task<Result<Verdict>> ask(HookCall call) {
    if (call.event->destination == "broken.example") co_return fault("script.error", "broken");
    const auto closed = co_await call.effects.kv("", {.key = "closed/" + call.event->destination});
    if (call.stage == Stage::kRoute) call.event->options["gateway"] = "night.example.org:25";
    if (!closed || !closed->value) co_return Verdict{};
    Verdict hold;
    hold.kind = Verdict::Kind::kHold;
    hold.hold = std::chrono::hours(1);
    co_return hold;
  }
};

class CountingEngine final : public ScriptEngine {
 public:
  std::shared_ptr<RuleSet> load(const std::vector<std::string>&, const RuleRegistry&, Diagnostics&) override {
    auto rules = std::make_shared<RuleSet>();
    Rule rule;
    rule.name = "count";
    rule.actions.push_back(std::make_shared<Counting>());
    rules->pipelines["root"] = {"root", {}, {rule}};
    for (const Stage stage : {Stage::kRoute, Stage::kAttempt})
      rules->hooks.push_back({stage, "night", {}, {}, std::make_shared<Night>()});
    return rules;
  }
};

struct Counted : Setup {
  CountingEngine engine;
  OfflineSetup scripted{*registry, &engine, {}, {}};
  Counted() { scripted.settings.scripts = {"rules.lua"}; }
  /// The folder of one mail: what was counted, and what was drawn.
  std::pair<std::string, std::string> send(OfflineWorld& world) {
    const auto result = world.mail(mail_to({"bob@ours.example"}));
    REQUIRE_MESSAGE(result, (result ? "" : result.error().detail));
    const std::string& folder = result->outcomes[0].folder;
    return {folder.substr(0, folder.find(' ')), folder.substr(folder.find(' ') + 1)};
  }
};

TEST_CASE("each case has an empty store of its own, which it may fill and look at, and whose keys end by its clock") {
  Counted counted;
  for (int i = 0; i < 2; ++i) {
    OfflineWorld world(counted.scripted);
    REQUIRE(world.set_address("bob@ours.example", account("bob")));
    CHECK(counted.send(world).first == "1");
    CHECK(counted.send(world).first == "2");
    CHECK(world.key("", "n")->value_or("none") == "2");
    CHECK(world.key("memory", "n")->value_or("none") == "2");
    CHECK(world.key("redis", "n")->value_or("none") == "none");
    world.set_clock(SimOptions{}.start + std::chrono::minutes(59));
    CHECK(counted.send(world).first == "3");
    world.set_clock(SimOptions{}.start + std::chrono::minutes(61));
    CHECK_FALSE(world.key("", "n")->has_value());
    REQUIRE(world.set_key("", "n", "41"));
    CHECK(counted.send(world).first == "42");
    REQUIRE(world.set_key("", "n", "text"));
    CHECK(world.mail(mail_to({"bob@ours.example"}))->outcomes[0].reply.code == 451);
    REQUIRE(world.set_key("", "n", std::nullopt));
    CHECK(counted.send(world).first == "1");
    CHECK_FALSE(world.set_key("", "", "x"));
  }
}

TEST_CASE("an answer that a spec states goes before its store and its chance") {
  Counted counted;
  OfflineWorld world(counted.scripted);
  REQUIRE(world.set_address("bob@ours.example", account("bob")));
  REQUIRE(world.answer("kv.incr", "memory \"n\" +1 for 1h", "7"));
  REQUIRE(world.answer("random", "", "0.5"));
  CHECK(counted.send(world) == std::pair<std::string, std::string>("7", "0.5"));
}

TEST_CASE("chance is the same in each run, and another with another seed") {
  Counted counted;
  std::set<std::string> drawn;
  std::vector<std::string> first;
  for (const std::uint64_t seed : {0, 0, 5}) {
    OfflineWorld world(counted.scripted);
    REQUIRE(world.set_address("bob@ours.example", account("bob")));
    if (seed) world.set_seed(seed);
    first.push_back(counted.send(world).second);
    drawn.insert(first.back());
    drawn.insert(counted.send(world).second);
  }
  CHECK(first[0] == first[1]);
  CHECK(drawn.size() == 4);
}

TEST_CASE("the directory of a spec looks at no case, as that of users does") {
  Setup setup;
  OfflineWorld world(setup.setup);
  REQUIRE(world.set_address("Bob@Ours.Example", account("bob")));
  AddressLookup alias;
  alias.kind = AddressLookup::Kind::kAlias;
  alias.targets = {*Address::parse("BOB@ours.example")};
  REQUIRE(world.set_address("team@ours.example", alias));
  for (const char* name : {"bob@ours.example", "BOB@OURS.EXAMPLE", "Team@ours.example"}) {
    const auto result = world.mail(mail_to({name}));
    REQUIRE_MESSAGE(result, (result ? "" : result.error().detail));
    CHECK(result->outcomes[0].action == "deliver");
    CHECK(result->outcomes[0].account == "bob");
  }
}

TEST_CASE("hooks of the queue are called with what a spec describes, and change it as in the queue") {
  Counted counted;
  OfflineWorld world(counted.scripted);
  SpecEvent event{.stage = Stage::kRoute, .sender = "a@x.example", .recipients = {"b@y.example"}};
  event.destination = "y.example";
  event.options = {{"tls", "verify"}};
  const auto route = world.event(event);
  REQUIRE_MESSAGE(route, (route ? "" : route.error().detail));
  CHECK_FALSE(route->verdict.decided());
  CHECK(route->options == std::map<std::string, std::string>{{"gateway", "night.example.org:25"}, {"tls", "verify"}});
  CHECK(route->failures.empty());
  CHECK(route->story.find("closed/y.example") != std::string::npos);
  REQUIRE(world.set_key("", "closed/y.example", "1"));
  event.stage = Stage::kAttempt;
  const auto held = world.event(event);
  REQUIRE(held);
  CHECK(held->verdict.kind == Verdict::Kind::kHold);
  event.destination = "broken.example";
  const auto broken = world.event(event);
  REQUIRE(broken);
  CHECK(broken->verdict.reply.code == 451);
  REQUIRE(broken->failures.size() == 1);
  CHECK(broken->failures[0].find("broken") != std::string::npos);
  event.stage = Stage::kDelivered;  // no hook there
  CHECK_FALSE(world.event(event)->verdict.decided());
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

TEST_CASE("what a module throws is an answer, and the next mail is led") {
  class Throwing final : public Directory {
   public:
    int left = 1;
    DomainKind domain_kind(std::string_view) const override { return DomainKind::kForeign; }
    std::string default_domain() const override {
      if (const_cast<Throwing*>(this)->left-- > 0) throw std::runtime_error("the directory is broken");
      return "ours.example";
    }
    Task<AddressLookup> find(Address) override { return Task<AddressLookup>::ready({}); }
    DirectoryFacts facts() const override { return {}; }
  } directory;
  Setup setup;
  OfflineMachine machine({.directory = directory});
  Diagnostics diagnostics;
  const auto rules = prepare_rules({}, {}, *setup.registry, nullptr, machine.metrics(), 1, diagnostics);
  REQUIRE(rules);
  machine.install(*rules);
  RecordedAnswers answers;
  answers.add("directory.find", "postmaster@ours.example", "account bob");
  const auto mail = offline_mail(mail_to({"postmaster"}));
  REQUIRE(mail);
  const auto broken = machine.run(*mail, answers);
  REQUIRE_FALSE(broken);
  CHECK(broken.error().code == "offline.threw");
  CHECK(broken.error().detail == "the directory is broken");
  const auto well = machine.run(*mail, answers);
  REQUIRE_MESSAGE(well, (well ? "" : well.error().detail));
  CHECK(well->outcomes[0].action == "deliver");
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
