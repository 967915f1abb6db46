// The language of specs, over a world that only remembers what it was told.
#include <map>

#include "lua_for_tests.h"
#include "postern/spec.h"

namespace postern::lua {
namespace {

struct Told {
  std::string text;  ///< what worlds were told, a line each
  std::size_t worlds = 0;
  SpecResult result;
  std::vector<SpecMail> mails;
  std::map<std::string, std::string> keys;
  std::vector<SpecEvent> events;
  SpecEventResult event_result;
};

class FakeWorld final : public SpecWorld {
 public:
  explicit FakeWorld(Told& told) : told_(told) { ++told.worlds; }
  void set_clock(WallTime now) override { say("clock " + std::to_string(now.time_since_epoch().count())); }
  Result<void> answer_dns(std::string_view name, RecordType type, DnsAnswer answer) override {
    return say("dns " + std::string(name) + " " + to_string(type) + " " + std::string(to_string(answer.status)) + " " +
               std::to_string(answer.records.size()));
  }
  Result<void> set_domain(std::string_view domain, DomainKind kind) override {
    return say("domain " + std::string(domain) + " " + std::to_string(static_cast<int>(kind)));
  }
  Result<void> set_address(std::string_view address, AddressLookup lookup) override {
    if (address == "bad") return fault("spec.value", "\"bad\" is no address");
    return say("address " + std::string(address) + " " + lookup.account + " " + std::to_string(lookup.targets.size()));
  }
  Result<void> answer(std::string_view effect, std::string_view question, std::string_view answer) override {
    return say("answer " + std::string(effect) + " " + std::string(question) + " " + std::string(answer));
  }
  Result<void> use_scripts(const std::vector<std::string>& files) override { return say("scripts " + files.at(0)); }
  Result<void> set_relay_network(std::string_view network) override { return say("relay " + std::string(network)); }
  Result<void> set_key(std::string_view store, std::string_view key, std::optional<std::string> value) override {
    if (value)
      told_.keys[std::string(store) + "/" + std::string(key)] = *value;
    else
      told_.keys.erase(std::string(store) + "/" + std::string(key));
    return {};
  }
  Result<std::optional<std::string>> key(std::string_view store, std::string_view key) override {
    const auto found = told_.keys.find(std::string(store) + "/" + std::string(key));
    return found == told_.keys.end() ? std::nullopt : std::optional(found->second);
  }
  void set_seed(std::uint64_t seed) override { say("seed " + std::to_string(seed)); }
  Result<SpecEventResult> event(const SpecEvent& event) override {
    told_.events.push_back(event);
    return told_.event_result;
  }
  Result<SpecResult> mail(const SpecMail& mail) override {
    told_.mails.push_back(mail);
    return told_.result;
  }

 private:
  Result<void> say(const std::string& line) {
    told_.text += line + "\n";
    return {};
  }
  Told& told_;
};

struct Specs {
  World files;
  Told told;
  SpecReport report;
  std::string problems;

  Specs() {
    SpecOutcome& bob = told.result.outcomes.emplace_back();
    bob.recipient = "bob@example.org";
    bob.action = "deliver";
    bob.account = "bob";
    bob.folder = "INBOX";
    bob.rule = "inbox";
    bob.reply = {250, "2.0.0", "accepted"};
    bob.header = "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-A: 1\r\nX-A: 2\r\n";
    bob.body = "\r\nhello\r\n";
    SpecOutcome& eve = told.result.outcomes.emplace_back();
    eve.recipient = "eve@example.org";
    eve.action = "reject";
    eve.rule = "gate";
    eve.stage = Stage::kRcpt;
    eve.reply = {550, "5.7.1", "relaying denied"};
    told.result.story = "  the story\n";
  }
  bool run(const std::string& text) {
    const std::string path = files.write("a_spec.lua", text);
    LuaEngine engine(files.limits, {files.folder});
    Diagnostics diagnostics;
    const bool ran =
        engine.run_specs({path}, [this] { return std::make_unique<FakeWorld>(told); }, report, diagnostics);
    problems = diagnostics.render();
    return ran;
  }
  /// Runs one case with this body and gives what failed.
  std::string fails(const std::string& body) {
    report = {};
    if (!run("local spec = require 'postern.spec'\nspec.case('it', function(t)\n" + body + "\nend)\n")) return problems;
    return report.cases.at(0).failure;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a case tells its world what there is, and the mail who sends what") {
  Specs specs;
  const std::string failed = specs.fails(R"(
    t:dns("2.0.0.127.bl.example.net", "A", "127.0.0.2", "127.0.0.3"):dns("Example.ORG", "mx", "10 MX.example.org")
    t:dns("gone.example", "TXT"):dns_fails("slow.example", "A", "timeout"):dns("192.0.2.1", "PTR", "a.example")
    t:domain("example.org"):domain("inside.example", "relay")
    t:account("bob@example.org", "bob"):alias("team@example.org", "bob@example.org", "eve@example.org")
    t:clock(1767225600):answer("kv.get", "memory \"a\"", "5"):relay_network "192.0.2.0/24"
    t:mail { from = "a@b.example", to = { "bob@example.org", "eve@example.org" }, text = "Subject: x\n\nhi\n",
             client = { ip = "192.0.2.7", tls = true, auth = "bob", role = "submission", reverse_name = "c.example" } })");
  CHECK(failed == "");
  CHECK(specs.told.text ==
        "dns 2.0.0.127.bl.example.net A ok 2\ndns example.org MX ok 1\ndns gone.example TXT nxdomain 0\n"
        "dns slow.example A timeout 0\ndns 1.2.0.192.in-addr.arpa PTR ok 1\ndomain example.org 0\n"
        "domain inside.example 1\naddress bob@example.org bob 0\naddress team@example.org  2\n"
        "clock 1767225600000000\nanswer kv.get memory \"a\" 5\nrelay 192.0.2.0/24\n");
  const SpecMail& mail = specs.told.mails.at(0);
  CHECK(mail.sender == "a@b.example");
  CHECK(mail.recipients == std::vector<std::string>{"bob@example.org", "eve@example.org"});
  CHECK(mail.client.ip.to_string() == "192.0.2.7");
  CHECK(mail.client.role == SessionRole::kSubmission);
  CHECK(mail.client.tls_version == "TLSv1.3");
  CHECK(mail.client.auth_user == "bob");
  CHECK(mail.client.reverse_verified);
  CHECK(mail.client.esmtp);
}

TEST_CASE("expectations that hold say nothing") {
  Specs specs;
  CHECK(specs.fails(R"(
    local r = t:mail { from = "", to = "bob@example.org" }
    r:to("bob@example.org"):expect_delivered("bob", "INBOX"):expect_accepted():expect_rule("inbox")
    r:to("BOB@example.org"):expect_header("subject", "grüße"):expect_header("X-A", "2"):expect_no_header("X-B")
    r:to("bob@example.org"):expect_body("hello"):expect_stage("message")
    r:to("eve@example.org"):expect_refused(550, "5.7.1", "denied"):expect_stage("rcpt"):expect_rule("gate")
    r:to("eve@example.org"):expect_refused()
    r:expect_brought(0)
    require("postern.spec").equal(#r.outcomes, 2)
    require("postern.spec").equal(r.outcomes[2].enhanced, "5.7.1"))") == "");
}

TEST_CASE("an expectation that does not hold names file and line, what was expected, what was seen, and the steps") {
  Specs specs;
  const std::string failed = specs.fails("local r = t:mail { to = 'bob@example.org' }\nr:expect_refused(550, '5.7.1')");
  CHECK(failed ==
        "a_spec.lua:4: bob@example.org: expected a refusal with 550 5.7.1, but it was delivered to bob in "
        "INBOX, by inbox\n  the story\n");
  CHECK(has(specs.fails("t:mail { to = 'b@c.example' }:expect_delivered('bob')"),
            "eve@example.org: expected delivery to bob, but it was refused at rcpt with 550 5.7.1 relaying denied, by "
            "gate"));
  CHECK(has(specs.fails("t:mail { to = 'b@c.example' }:to('bob@example.org'):expect_header('X-A', '3')"),
            "expected X-A: 3, but it has \"1\", \"2\""));
  CHECK(has(specs.fails("t:mail { to = 'b@c.example' }:to('carl@example.org')"),
            "carl@example.org is no recipient of this mail; there are bob@example.org, eve@example.org"));
  CHECK(has(specs.fails("require('postern.spec').equal(1, 2, 'sum')"), "a_spec.lua:3: sum: expected 2, saw 1"));
}

TEST_CASE("what is written wrongly is explained with the nearest word") {
  Specs specs;
  CHECK(has(specs.fails("t:acount('a@b.example')"), "did you mean \"account\"?"));
  CHECK(has(specs.fails("t:mail { too = 'a@b.example' }"), "there is no field of mail \"too\"; did you mean \"to\"?"));
  CHECK(has(specs.fails("t:mail { to = 'a@b.example', client = { ipp = '1.2.3.4' } }"), "did you mean \"ip\"?"));
  CHECK(has(specs.fails("t:mail { to = 'a@b.example' }:expect_relaid()"), "did you mean \"expect_relayed\"?"));
  CHECK(has(specs.fails("t:dns('a.example', 'AA', '127.0.0.1')"), "there is no type of record \"AA\""));
  CHECK(has(specs.fails("t:dns('a.example', 'A', '::1')"), "\"::1\" is no address for A"));
  CHECK(has(specs.fails("t:dns('a.example', 'MX', 'mx.example.org')"), "it has the form \"10 mx.example.org\""));
  CHECK(has(specs.fails("t:account('bad')"), "a_spec.lua:3: \"bad\" is no address"));
}

TEST_CASE("a case puts keys into a store and looks at them, and says where chance begins") {
  Specs specs;
  CHECK(specs.fails(R"(
    local spec = require "postern.spec"
    t:kv("a", "5"):kv("b", 6):kv("a", "far", "redis"):seed(7)
    spec.equal(t:kv "a", "5")
    spec.equal(t:kv("a", nil, "redis"), "far")
    t:kv("a", false)
    spec.equal(t:kv "a", nil))") == "");
  CHECK(specs.told.keys == std::map<std::string, std::string>{{"/b", "6"}, {"redis/a", "far"}});
  CHECK(specs.told.text == "seed 7\n");
  CHECK(has(specs.fails("t:kv('a', true)"), "a text, or false for none"));
}

TEST_CASE("an event of the queue is described as hooks see it, and what they made of it is looked at") {
  Specs specs;
  specs.told.event_result.options = {{"gateway", "night.example.org:25"}};
  CHECK(specs.fails(R"(
    local r = t:event("route", { from = "a@x.example", to = { "b@y.example", "c@y.example" }, tls = "verify",
                                 attempts = 2, size = 5000 })
    r:expect_route { gateway = "night.example.org:25" }:expect_nothing()
    require("postern.spec").equal(r.gateway, "night.example.org:25")
    t:event("deferred", { to = "b@y.example", reply = { code = 421, text = "later" }, next = 1767225600, host = "mx" }))") ==
        "");
  const SpecEvent& route = specs.told.events.at(0);
  CHECK(route.stage == Stage::kRoute);
  CHECK(route.recipients == std::vector<std::string>{"b@y.example", "c@y.example"});
  CHECK(route.destination == "y.example");
  CHECK(route.options == std::map<std::string, std::string>{{"tls", "verify"}});
  CHECK(route.attempts == 2);
  CHECK(route.size == 5000);
  const SpecEvent& deferred = specs.told.events.at(1);
  CHECK(deferred.reply == Reply{421, "4.3.0", "later"});
  CHECK(deferred.next == WallTime(std::chrono::seconds(1767225600)));
  CHECK(deferred.host == "mx");
}

TEST_CASE("what hooks of the queue did otherwise than expected is told with what they did") {
  Specs specs;
  specs.told.event_result.verdict.kind = Verdict::Kind::kHold;
  specs.told.event_result.verdict.hold = std::chrono::hours(1);
  const std::string attempt = "t:event('attempt', { to = 'b@y.example' })";
  CHECK(specs.fails(attempt + ":expect_held():expect_held(3600)") == "");
  CHECK(has(specs.fails(attempt + ":expect_held(60)"), "expected it to be held for 60 s, but it was held for 3600 s"));
  CHECK(
      has(specs.fails(attempt + ":expect_deferred(451)"), "a_spec.lua:3: attempt: expected it to be put off with 451"));
  specs.told.event_result.verdict = Verdict::defer(451, "4.7.1", "not now");
  CHECK(specs.fails(attempt + ":expect_deferred(451, '4.7.1', 'now')") == "");
  CHECK(has(specs.fails(attempt + ":expect_nothing()"), "but it was put off with 451 4.7.1 not now"));
  specs.told.event_result.failures = {"script.error at x.lua:1: oops"};
  CHECK(specs.fails(attempt + ":expect_failure 'oops'") == "");
  CHECK(has(specs.fails(attempt + ":expect_deferred()"), "failed: script.error at x.lua:1: oops"));
  specs.told.event_result.verdict = Verdict{};
  CHECK(
      has(specs.fails("t:event('route', { to = 'b@y.example' }):expect_route {}"), "failed: script.error at x.lua:1"));
  specs.told.event_result.verdict.kind = Verdict::Kind::kHold;
  CHECK(has(specs.fails(attempt + ":expect_held()"), "failed: script.error at x.lua:1: oops"));
  specs.told.event_result.story = std::string(20000, 'x');
  CHECK(has(specs.fails(attempt + ":expect_held()"), "the rest is not shown"));
  CHECK(has(specs.fails("t:event('atempt', { to = 'b@y.example' })"), "did you mean \"attempt\"?"));
  CHECK(has(specs.fails("t:event('attempt', { to = 'b@y.example', tls = 'dane' })"), "tls belongs to route"));
  CHECK(has(specs.fails("t:event('queued', {})"), "`to` is missing"));
  CHECK(
      has(specs.fails("t:event('queued', { to = 'b@y.example', attempts = -1 })"), "attempts must be a whole number"));
}

TEST_CASE("no case sees what another has left, and `before` runs in front of each") {
  Specs specs;
  REQUIRE(specs.run(R"(
    local spec = require "postern.spec"
    spec.scripts "gateway.lua"
    local seen = 0
    spec.before(function(t) t:domain "example.org" end)
    spec.case("first", function(t) seen = seen + 1; spec.equal(seen, 1) end)
    spec.case("second", function(t) seen = seen + 1; spec.equal(seen, 1) end))"));
  CHECK(specs.report.cases.size() == 2);
  CHECK(specs.report.failed() == 0);
  CHECK(specs.told.worlds == 2);
  const std::string scripts = "scripts " + (specs.files.folder / "gateway.lua").string() + "\n";
  CHECK(specs.told.text == scripts + "domain example.org 0\n" + scripts + "domain example.org 0\n");
}

TEST_CASE("a filter chooses cases by their name, and each is told as it ends") {
  Specs specs;
  std::string told;
  specs.report.only = "sec";
  specs.report.on_case = [&](const SpecReport::Case& one) { told += one.name + (one.passed ? " ok" : " failed"); };
  REQUIRE(specs.run("local s = require 'postern.spec' s.case('first', print) s.case('second', function() end)"));
  CHECK(told == "second ok");
}

TEST_CASE("a case has limits, and a pcall cannot swallow them") {
  Specs specs;
  // On a busy machine the time is over first.
  const std::string failed = specs.fails("while true do pcall(function() while true do end end) end");
  CHECK_MESSAGE(
      (has(failed, "the case ran for more than 100000000 instructions") || has(failed, "the case took more than 30 s")),
      failed);
}

TEST_CASE("a spec that cannot be loaded is a diagnostic with its place") {
  Specs specs;
  CHECK_FALSE(specs.run("local spec = require 'postern.spec'\nspec.case('x')\n"));
  CHECK(has(specs.problems, "a_spec.lua:2"));
  CHECK_FALSE(specs.run("local spec = require 'postern.spec'\nspec.case('x', print)\nspec.case('x', print)"));
  CHECK(has(specs.problems, "there is a case \"x\" already"));
  CHECK(has(specs.fails("require('postern.spec').case('y', print)"), "at the top of the file"));
}

TEST_CASE("what takes too long altogether is not run") {
  Specs specs;
  specs.report.limit = std::chrono::nanoseconds(1);
  REQUIRE(specs.run("local s = require 'postern.spec' s.case('first', function() end)"));
  CHECK(has(specs.report.cases.at(0).failure, "was not run"));
}

}  // namespace
}  // namespace postern::lua
