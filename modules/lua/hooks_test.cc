// Hooks, matchers and actions in Lua, over a simulated world.
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

TEST_CASE("a hook that returns nothing lets the next rule decide, a verdict decides") {
  World world;
  REQUIRE_MESSAGE(
      world.hook("if rcpt.tag == 'archive' then return postern.reject(550, '5.7.1', 'no ' .. rcpt.user) end"),
      world.problems);
  const Result<Verdict> verdict = world.call();
  REQUIRE(verdict);
  CHECK(verdict->kind == Verdict::Kind::kReject);
  CHECK(verdict->reply == Reply{550, "5.7.1", "no eve"});
  REQUIRE(world.hook("return"));
  CHECK(world.said() == "nothing");
}

TEST_CASE("every verdict has its words") {
  World world;
  const auto verdict = [&](const std::string& expression) {
    REQUIRE_MESSAGE(world.hook("return " + expression), world.problems);
    const Result<Verdict> said = world.call();
    REQUIRE_MESSAGE(said, said.error().detail);
    return *said;
  };
  CHECK(verdict("postern.accept").kind == Verdict::Kind::kAccept);
  CHECK(verdict("postern.accept()").kind == Verdict::Kind::kAccept);
  CHECK(verdict("postern.defer(451, '4.7.1', 'later')").reply == Reply{451, "4.7.1", "later"});
  CHECK(verdict("postern.defer(450, 'later')").reply == Reply{450, "4.7.1", "later"});
  CHECK(verdict("postern.disconnect(421, '4.7.0', 'bye')").kind == Verdict::Kind::kDisconnect);
  CHECK(verdict("postern.disconnect(554, 'bye')").reply == Reply{554, "5.7.0", "bye"});
  CHECK(verdict("postern.discard 'trap'").reason == "trap");
  CHECK(verdict("postern.quarantine 'odd'").kind == Verdict::Kind::kQuarantine);
  CHECK(verdict("postern.hold '10m'").hold == std::chrono::minutes(10));
  CHECK(verdict("postern.hold(90)").hold == std::chrono::seconds(90));
  for (const std::string wrong : {"postern.reject(250, '2.0.0', 'x')", "postern.reject(550, '4.7.1', 'x')",
                                  "postern.reject(550, '5.7', 'x')", "postern.reject(550, '5.7.1', '')",
                                  "postern.hold '-1m'", "postern.defer(550, '5.7.1', 'x')", "'550 no'", "true", "{}"}) {
    REQUIRE(world.hook("return " + wrong));
    CHECK_MESSAGE(!world.call(), wrong);
  }
}

TEST_CASE("the DNS list of the manual's first page") {
  World world;
  REQUIRE_MESSAGE(world.hook(R"(
    local answer, err = dns.a(session.client.ip:reversed() .. ".bl.example.net")
    if err then return end
    if answer:any_in "127.0.0.0/24" then
      return postern.reject(550, "5.7.1", "listed: " .. tostring(answer[1]))
    end)"),
                  world.problems);
  CHECK(world.said() == "nothing");  // not listed: an empty answer
  world.dns.a("9.113.0.203.bl.example.net", "127.0.0.2");
  CHECK(world.said() == "listed: 127.0.0.2");
  world.dns.erase("9.113.0.203.bl.example.net").a("9.113.0.203.bl.example.net", "127.255.255.254");
  CHECK(world.said() == "nothing");
  world.dns.fail("9.113.0.203.bl.example.net", DnsStatus::kServfail);
  CHECK(world.said() == "nothing");
}

TEST_CASE("answers of the DNS: records, emptiness and failures") {
  World world;
  world.dns.mx("ours.example", 10, "mx1.example").mx("ours.example", 20, "mx2.example").txt("t.example", "v=spf1 -all");
  world.dns.ptr("203.0.113.9", "client.example")
      .a("v6.example", "2001:db8::1")
      .fail("broken.example", DnsStatus::kTimeout);
  world.dns.tlsa("_25._tcp.mx1.example", TlsaRecord{3, 1, 1, "ab"}).secure("_25._tcp.mx1.example");
  CHECK(world.eval("local o = {} for _, r in ipairs(dns.mx 'ours.example') do o[#o + 1] = r.preference .. r.exchange "
                   "end return table.concat(o, ' ')") == "is 10mx1.example 20mx2.example");
  CHECK(
      world.eval(
          "local a = dns.txt 't.example' return #a .. a[1] .. tostring(a[2]) .. tostring(a.ok) .. tostring(a.empty)") ==
      "is 1v=spf1 -allniltruefalse");
  CHECK(world.eval("return dns.ptr(session.client.ip)[1] .. dns.ptr('203.0.113.9')[1]") ==
        "is client.exampleclient.example");
  CHECK(world.eval("local a = dns.aaaa 'v6.example' return tostring(a[1]) .. tostring(a:any_in '2001:db8::/32') .. "
                   "tostring(a[1].is_v6)") == "is 2001:db8::1truetrue");
  CHECK(world.eval("local a, e = dns.a 'nowhere.example' return tostring(a.empty) .. a.status .. tostring(e)") ==
        "is truenxdomainnil");
  CHECK(world.eval("local a, e = dns.a 'broken.example' return tostring(a) .. e") == "is niltimeout");
  CHECK(world.eval("local a = dns.tlsa '_25._tcp.mx1.example' return a[1].usage .. a[1].selector .. a[1].data .. "
                   "tostring(a.authenticated)") == "is 31abtrue");
  CHECK(world.eval("return dns.a 'nowhere.example'.no_such").find("no field 'no_such'") != std::string::npos);
}

TEST_CASE("postern.all asks at once") {
  World world;
  for (const char* name : {"a.example", "b.example", "c.example"})
    world.dns.a(name, "127.0.0.2").delay(name, std::chrono::seconds(5));
  world.dns.fail("c.example", DnsStatus::kServfail);
  const std::string body = R"(
    local answers, errors = postern.all {
      a = function() return dns.a "a.example" end,
      b = function() local first = dns.a "b.example" return first end,
      c = function() return dns.a "c.example" end,
      d = function() local n = postern.all { function() return dns.a "a.example" end, function() return 7 end } return n[2] + #n[1] end,
      e = function() return "at once" end }
    return tostring(answers.a[1]) .. tostring(answers.b[1]) .. tostring(answers.c) .. errors.c .. answers.d .. answers.e)";
  const Instant before = world.sim.now();
  CHECK(world.eval(body) == "is 127.0.0.2127.0.0.2nilservfail8at once");
  CHECK(world.sim.now() - before < std::chrono::seconds(6));
  CHECK(world.eval("return pcall(postern.all, { function() error('inside') end })") == "is false");
  CHECK(world.eval("return select(2, pcall(postern.all, { 1 }))").find("takes a table of functions") !=
        std::string::npos);
}

TEST_CASE("effects wait inside pcall and coroutines, and not inside callbacks") {
  World world;
  world.dns.a("a.example", "127.0.0.2").delay("a.example", std::chrono::seconds(1));
  CHECK(world.eval("local ok, a = pcall(dns.a, 'a.example') return tostring(ok) .. tostring(a[1])") ==
        "is true127.0.0.2");
  CHECK(world.eval("local f = coroutine.wrap(function(x) coroutine.yield(x) local a = dns.a 'a.example' "
                   "coroutine.yield(tostring(a[1])) return 'end' end)"
                   " return f('s') .. f() .. f()") == "is s127.0.0.2end");
  CHECK(world.eval("local co = coroutine.create(function() return coroutine.wrap(function() return "
                   "tostring(dns.a('a.example')[1]) end)() end)"
                   " local ok, a = coroutine.resume(co) return a .. coroutine.status(co)") == "is 127.0.0.2dead");
  CHECK(world.eval("return select(2, pcall(string.gsub, 'x', 'x', function() return dns.a 'a.example' end))")
            .find("cannot be asked inside") != std::string::npos);
  CHECK(world.eval("coroutine.yield(1)").find("yield from outside a coroutine") != std::string::npos);
}

TEST_CASE("other effects: log, counter, clock, random, print") {
  World world;
  REQUIRE_MESSAGE(world.hook(R"(
    postern.log.info("seen " .. rcpt.address) postern.log.warn(session.client.ip) print("a", 1, nil)
    postern.counter "seen" postern.counter("octets", 12)
    return postern.reject(550, "5.0.0", os.time() .. " " .. os.date("%Y-%m-%d", 86400) .. " " .. math.random(10) .. " " .. math.random() .. " " ..
      postern.clock.now() .. " " .. os.date("*t", 0).year .. " " .. os.time { year = 2026, month = 1, day = 1, hour = 0 }))"),
                  world.problems);
  CHECK(world.said() == "1767225600 1970-01-02 6 0.5 1767225600.0 1970 1767225600");
  CHECK(world.effects.logged == "info: seen eve+archive@ours.example\nwarn: 203.0.113.9\ninfo: a\t1\tnil\n");
  CHECK(world.effects.counted["octets"] == 12);
}

TEST_CASE("session, mail and recipients show what is known") {
  World world;
  world.session.client.auth_user = "ann";
  world.session.client.tls_version = "TLSv1.3";
  world.session.client.reverse_name = "host.example";
  world.with_message("Subject: =?utf-8?q?caf=C3=A9?=\r\nReceived: a\r\nReceived: b\r\n\r\nbody\r\n");
  CHECK(world.eval("return session.role .. session.listener .. session.ehlo .. session.auth.user .. "
                   "session.tls.version .. session.id") == "is mxmxclient.exampleannTLSv1.3s1");
  CHECK(world.eval("local c = session.client return tostring(c.reverse_name) .. c.claimed_name .. c.port .. "
                   "tostring(c.ip.is_private)") == "is nilhost.example0false");
  CHECK(world.eval("return tostring(session.client.reverse_status)") == "is nil");
  world.session.reverse = SessionState::Reverse{ReverseName::Status::kUnconfirmed, 1ms};
  CHECK(world.eval("return session.client.reverse_status") == "is unconfirmed");
  CHECK(world.eval("local ip = session.client.ip return tostring(ip:in_network('10.0.0.0/8', '203.0.113.0/24')) .. "
                   "tostring(ip:in_network()) .. "
                   "tostring(ip == postern.ip '203.0.113.9') .. ip .. '/' .. tostring(postern.ip 'x')") ==
        "is truefalsetrue203.0.113.9/nil");
  CHECK(world.eval(
            "return mail.sender .. #mail.recipients .. mail.recipients[3].domain .. mail.size .. mail.sender_domain") ==
        "is alice@elsewhere.example3other.example66elsewhere.example");
  CHECK(world.eval("return mail:header 'subject' .. #mail:headers 'received' .. tostring(mail:header 'x')") ==
        "is café2nil");
  CHECK(world.eval("return rcpt.local_part .. rcpt.user .. rcpt.tag .. rcpt.domain .. tostring(rcpt)") ==
        "is eve+archiveevearchiveours.exampleeve+archive@ours.example");
  CHECK(world.eval("return session.nothing").find("session has no field 'nothing'") != std::string::npos);
  CHECK(world.eval("session.role = 'x'").find("test.lua:5:") != std::string::npos);
}

TEST_CASE("header edits and notes stay with the mail") {
  World world;
  REQUIRE_MESSAGE(world.hook(R"(
    mail:set_header("X-Spam", "no\r\nBcc: x@y") mail:remove_header "Subject"
    mail.notes.score = 2.5 mail.notes.seen = true session.notes.count = 7 rcpt.notes.folder = "Junk"
    local out = {}
    for k, v in pairs(mail.notes) do out[#out + 1] = k .. "=" .. tostring(v) end
    mail.notes.seen = nil
    return postern.reject(550, "5.0.0", table.concat(out, " ") .. " " .. rcpt.notes.folder .. tostring(mail.notes.none)))"),
                  world.problems);
  CHECK(world.said() == "score=2.5 seen=true Junknil");
  CHECK(world.mail.edits.size() == 3);
  for (const std::string& edit : world.mail.edits.describe()) CHECK(edit.find("\nBcc") == std::string::npos);
  CHECK(world.mail.notes.size() == 1);
  CHECK(world.mail.recipient_notes.size() == 3);  // refused: what was noted about it is gone
  CHECK(std::get<std::int64_t>(world.session.notes.find("count")->second) == 7);
  REQUIRE(world.hook("rcpt.notes.folder = 'Junk'"));
  CHECK(world.said() == "nothing");
  CHECK(world.mail.recipient_notes.at(3).contains("folder"));
  CHECK(world.eval("mail.notes.x = {}").find("a note is a string") != std::string::npos);
  CHECK(world.eval("for i = 1, 200 do mail.notes['n' .. i] = i end").find("more than 100 notes") != std::string::npos);
  CHECK(world.eval("mail:set_header('bad name', 'x')").find("not the name of a header field") != std::string::npos);
}

TEST_CASE("a function gives addresses where a mailet wants a list of them") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    local act = postern.act
    local TEAM = { "ann@ours.example", "ben@ours.example" }
    local ALL = {}
    for i = 1, 1001 do ALL[i] = "ann@ours.example" end
    postern.pipeline "root" {
      { when = function(mail) return { mail.sender, "eve@ours.example" } end, act.deliver },
      { when = function(mail) return "eve@ours.example" end, act.deliver },
      { when = function(mail) end, act.deliver },
      { when = function(mail) return { "eve@ours.example", 1 } end, act.deliver },
      { when = function(mail) return "nobody" end, act.deliver },
      { when = function(mail) return { postern.dns.a("x.example").empty and "x@ours.example" or "" } end, act.deliver },
      { when = function(mail) return TEAM end, act.deliver },
      { when = function(mail) return ALL end, act.deliver },
      { act.deliver },
    })"),
                  world.problems);
  const auto given = [&](std::size_t number) {
    auto* source = dynamic_cast<AddressSource*>(world.rule(number).when.get());
    REQUIRE(source);
    const RecipientSet all = RecipientSet::all(world.mail.envelope.recipients.size());
    auto got = world.run(source->addresses({world.mail, all, world.effects, Stage::kMessage}));
    if (!got) return got.error().code;
    std::string out;
    for (const Address& one : *got) out += one.to_string() + " ";
    return out;
  };
  CHECK(given(0) == world.mail.envelope.sender.to_string() + " eve@ours.example ");
  CHECK(given(1) == "eve@ours.example ");
  CHECK(given(2).empty());
  CHECK(given(3) == "script.result");
  CHECK(given(4) == "script.result");
  CHECK(given(5) == "x@ours.example ");
  CHECK(given(6) == "ann@ours.example ben@ours.example ");
  CHECK(given(7) == "script.result");
}

TEST_CASE("matchers return true, false or recipients") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    local match, act = postern.match, postern.act
    local function archive(mail) return mail:recipients_where(function(r) return r.tag == "archive" end) end
    local NAMES = { "bob@ours.example" }
    postern.pipeline "root" {
      { when = archive, act.deliver },
      { when = function(mail) return true end, act.deliver },
      { when = function(mail) end, act.deliver },
      { when = function(mail) return { mail.recipients[1], mail.recipients[3] } end, act.deliver },
      { when = function(mail) return mail.recipients[2] end, act.deliver },
      { when = function(mail) return "yes" end, act.deliver },
      { when = match.recipient_is "bob@ours.example" + match.all_of { archive, match.all }, act.deliver },
      { when = -match.recipient_is "bob@ours.example" * match.all_of { archive }, act.deliver },
      { when = function(mail) return { 1 } end, act.deliver },
      { when = function(mail) return postern.dns.a("x.example").empty end, act.deliver },
      { when = function(mail) return NAMES end, act.deliver },
      { act.deliver },
    })"),
                  world.problems);
  const auto selected = [&](std::size_t number) {
    auto set = world.match(number);
    return set ? set->to_string() : set.error().code;
  };
  CHECK(selected(0) == "1");
  CHECK(selected(1) == "0-2");
  CHECK(selected(2) == "");
  CHECK(selected(3) == "0,2");
  CHECK(selected(4) == "1");
  CHECK(selected(5) == "script.result");
  CHECK(selected(6) == "0-1");
  CHECK(selected(7) == "1");
  CHECK(selected(8) == "script.result");
  CHECK(selected(9) == "0-2");
  CHECK(selected(10) == "script.result");
}

TEST_CASE("actions go on, give a verdict, or choose a mailet") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    local act = postern.act
    local junk = act.deliver { folder = "Junk" }
    postern.pipeline "root" {
      { function(mail) mail:set_header("X-A", "b") end },
      { function(mail) return postern.reject(550, "5.7.1", "no") end },
      { function(mail) return junk end },
      { postern.quarantine "odd" },
      { function(mail) return 5 end },
      { function(mail) postern.dns.a "x.example" return junk end },
      { act.deliver },
    })"),
                  world.problems);
  CHECK(world.act(0)->kind == ActionResult::Kind::kNext);
  CHECK(world.mail.edits.size() == 2);
  CHECK(world.act(1)->verdict.reply.code == 550);
  CHECK(world.act(2)->step.kind == PlanStep::Kind::kDeliver);
  CHECK(world.act(2)->kind == ActionResult::Kind::kFinal);
  CHECK(world.act(3)->verdict.reason == "odd");
  CHECK(world.rule(3).actions[0]->is_final());
  CHECK(world.act(4).error().code == "script.result");
  CHECK(world.act(5)->kind == ActionResult::Kind::kFinal);
}

TEST_CASE("an error of a script says file, line and what") {
  World world;
  REQUIRE(world.hook("local x = nil\nreturn x.y"));
  CHECK(world.said() == "script.error: test.lua:5: attempt to index a nil value (local 'x')");
  REQUIRE(world.hook("error({})"));
  CHECK(world.said() == "script.error: test.lua:4: an error that is table");
  REQUIRE(world.hook("dns.a('x.example')\nerror('after a wait')"));
  CHECK(world.said() == "script.error: test.lua:5: after a wait");
}

struct Waiting {
  static Task<void> run(World* world, std::string* told) {
    try {
      const auto verdict = co_await world->rules->hooks.at(0).handler->handle(world->call_at(Stage::kRcpt));
      *told = verdict ? "answered" : verdict.error().code;
    } catch (const Cancelled&) {
      *told = "cancelled";
      throw;
    }
  }
};

TEST_CASE("a mail that dies while its script waits is never resumed, and the state goes on") {
  World world;
  world.dns.a("slow.example", "127.0.0.2").delay("slow.example", std::chrono::seconds(10));
  for (const std::string body : {"dns.a 'slow.example' postern.counter 'resumed'",
                                 "postern.all { function() dns.a 'slow.example' end, function() dns.a 'slow.example' "
                                 "end } postern.counter 'resumed'",
                                 "coroutine.wrap(function() dns.a 'slow.example' end)() postern.counter 'resumed'"}) {
    REQUIRE_MESSAGE(world.hook(body), world.problems);
    for (int i = 0; i < 100; ++i) {
      std::string told;
      Nursery nursery(world.sim.worker(0));
      nursery.spawn(Waiting::run(&world, &told));
      world.sim.run_for(std::chrono::seconds(1));
      CHECK(told.empty());
      nursery.cancel();
      REQUIRE(world.sim.run_until([&] { return nursery.size() == 0; }, std::chrono::seconds(1)));
      CHECK(told == "cancelled");
    }
    CHECK(world.effects.counted["resumed"] == 0);
    CHECK(world.said() == "nothing");
    CHECK(std::exchange(world.effects.counted["resumed"], 0) == 1);
  }
}

TEST_CASE("an old state lives until its last call has ended") {
  World world;
  world.dns.a("slow.example", "127.0.0.2").delay("slow.example", std::chrono::seconds(10));
  REQUIRE(world.hook("local a = dns.a 'slow.example' return postern.reject(550, '5.0.0', tostring(a[1]))"));
  std::string told;
  Nursery nursery(world.sim.worker(0));
  nursery.spawn(Waiting::run(&world, &told));
  world.sim.run_for(std::chrono::seconds(1));
  const std::weak_ptr<void> engine = world.rules->engine;
  const auto old =
      std::exchange(world.rules, nullptr);  // the pipeline keeps the set of a call alive; here the test does
  old->engine.reset();
  CHECK_FALSE(engine.expired());
  REQUIRE(world.sim.run_until([&] { return nursery.size() == 0; }, std::chrono::minutes(1)));
  CHECK(told == "answered");
  CHECK(engine.expired());
}

TEST_CASE("many calls wait at the same time, each with its own mail") {
  World world;
  world.dns.a("slow.example", "127.0.0.2").delay("slow.example", std::chrono::seconds(1));
  REQUIRE(world.hook(
      "local n = session.notes.n or 0 session.notes.n = n + 1 dns.a 'slow.example' postern.counter('sum', n)"));
  Nursery nursery(world.sim.worker(0));
  std::vector<std::string> told(200);
  for (std::string& one : told) nursery.spawn(Waiting::run(&world, &one));
  REQUIRE(world.sim.run_until([&] { return nursery.size() == 0; }, std::chrono::minutes(1)));
  CHECK(world.effects.counted["sum"] == 199 * 200 / 2);
}

}  // namespace
}  // namespace postern::lua
