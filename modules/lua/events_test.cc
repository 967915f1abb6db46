// Hooks of the queue: what they see, what they may change, and what they may return.
#include "events.h"

#include "lua_for_tests.h"
#include "postern/queue_event.h"

namespace postern::lua {
namespace {

struct QueueWorld : World {
  QueueEvent event{Stage::kQueued, MessageId(42), mail.envelope, {0, 2}};

  QueueWorld() {
    registry->add(
        ActionDeclaration{"relay", "", "", "", {}, [](const ScriptValue& value) -> Result<std::shared_ptr<Action>> {
                            const auto& map = std::get<ScriptValue::Map>(value.value);
                            const auto tls = map.find("tls");
                            if (tls != map.end() && std::get<std::string>(tls->second.value) != "dane")
                              return fault("x", "tls must be one of dane");
                            return std::make_shared<TestAction>("relay", ActionResult{});
                          }});
    event.size = 1234;
    event.accepted = WallTime(std::chrono::seconds(1'767'225'600));
    event.attempts = 3;
    event.destination = "ours.example";
    event.options = {{"gateway", "old.example"}};
  }
  /// What a hook at `stage` with this body said, as said() has it.
  std::string at(Stage stage, const std::string& body) {
    if (!load("local postern = require 'postern'\npostern.on('" + std::string(to_string(stage)) +
              "', function(mail, event)\n" + body + "\nend)\n"))
      return problems;
    event.stage = stage;
    HookCall call{stage, session, &mail, nullptr, effects, &event};
    const Result<Verdict> verdict = run(rules->hooks.at(0).handler->handle(call));
    if (!verdict) return verdict.error().code + ": " + verdict.error().detail;
    if (!verdict->decided()) return "nothing";
    return verdict->kind == Verdict::Kind::kHold ? "hold" : verdict->reply.text;
  }
  /// The same for a value: what `expression` is.
  std::string value(Stage stage, const std::string& expression) {
    effects.logged.clear();
    const std::string told = at(stage, "postern.log.info(tostring(" + expression + "))");
    return told == "nothing" ? effects.logged.substr(6, effects.logged.size() - 7) : told;
  }
};

TEST_CASE("a hook of the queue is handed the mail and what happened to it") {
  QueueWorld world;
  CHECK(world.value(Stage::kQueued, "mail.sender") == "alice@elsewhere.example");
  CHECK(world.value(Stage::kQueued,
                    "#mail.recipients .. ' ' .. #event.recipients .. ' ' .. event.recipients[2].address") ==
        "3 2 carl@other.example");
  CHECK(world.value(Stage::kRoute, "event.stage .. event.attempts .. event.destination .. event.gateway") ==
        "route3ours.exampleold.example");
  CHECK(world.value(Stage::kRoute, "event.tls") == "nil");
  CHECK(world.value(Stage::kAttempt, "event.reply") == "nil");
  CHECK(world.value(Stage::kAttempt, "event.next") == "nil");
  CHECK(world.value(Stage::kAttempt, "event.accepted") == "1767225600");
  CHECK(world.value(Stage::kAttempt, "event.id") == MessageId(42).to_string());
  world.event.reply = {450, "4.2.1", "try later"};
  world.event.host = "mx.ours.example";
  world.event.next = world.event.accepted + std::chrono::minutes(10);
  CHECK(world.value(Stage::kDeferred, "event.reply.code .. event.reply.enhanced .. event.reply.text .. event.host") ==
        "4504.2.1try latermx.ours.example");
  CHECK(world.value(Stage::kDeferred, "event.next - event.accepted") == "600");
  CHECK(world.value(Stage::kBounced, "event.nothing") == "script.error: test.lua:3: event has no field 'nothing'");
}

TEST_CASE("a hook at route changes where the step goes, in the words of act.relay") {
  QueueWorld world;
  CHECK(world.at(Stage::kRoute, "event.gateway = 'mx.example.net:25' event.tls = 'dane' event.source = nil") ==
        "nothing");
  CHECK(world.event.options == std::map<std::string, std::string>{{"gateway", "mx.example.net:25"}, {"tls", "dane"}});
  CHECK(world.at(Stage::kRoute, "event.gateway = nil") == "nothing");
  CHECK_FALSE(world.event.options.contains("gateway"));
  CHECK(world.at(Stage::kRoute, "event.tls = 'none at all'") ==
        "script.error: test.lua:3: event.tls is printable ASCII without blanks");
  CHECK(world.at(Stage::kRoute, "event.tls = 'yes'") == "script.error: test.lua:3: event.tls must be one of dane");
  CHECK(world.at(Stage::kRoute, "event.gateway = ('x'):rep(256)").find("1 to 255 octets") != std::string::npos);
  CHECK(world.at(Stage::kRoute, "event.gateway = 25").find("is a string or nil, not number") != std::string::npos);
  CHECK(world.at(Stage::kRoute, "event.host = 'x'").find("event.host cannot be set") != std::string::npos);
  CHECK(world.at(Stage::kAttempt, "event.gateway = 'x'") ==
        "script.error: test.lua:3: event.gateway can be set by a hook at route, not at attempt");
  CHECK(world.event.options == std::map<std::string, std::string>{{"tls", "dane"}});
}

TEST_CASE("only a hook at attempt returns a verdict, and only one that puts the attempt off") {
  QueueWorld world;
  CHECK(world.at(Stage::kAttempt, "return postern.defer(450, 'not now')") == "not now");
  CHECK(world.at(Stage::kAttempt, "return postern.hold '1h'") == "hold");
  CHECK(world.at(Stage::kAttempt, "return postern.reject(550, 'no')") ==
        "script.result: a hook at attempt returns nothing, defer or hold, not reject");
  CHECK(world.at(Stage::kRoute, "return postern.defer(450, 'not now')") ==
        "script.result: a hook at route returns nothing, not defer; it sets event.gateway, event.tls or event.source");
  CHECK(world.at(Stage::kDelivered, "return postern.discard 'x'") ==
        "script.result: a hook at delivered returns nothing, not discard: what happened has happened");
  CHECK(world.at(Stage::kBounced, "return 5") ==
        "script.result: the hook returned number instead of nothing or a verdict");
}

TEST_CASE("hooks of the queue have no role, and no session is there") {
  QueueWorld world;
  CHECK_FALSE(world.load("local postern = require 'postern'\npostern.on('route', { role = 'mx' }, function() end)\n"));
  CHECK(world.problems ==
        "test.lua:2:12: error: a hook at route has no role: no session waits for it\n"
        "  2 | postern.on('route', { role = 'mx' }, function() end)\n"
        "    |            ^\n");
  CHECK(world.at(Stage::kDelivered, "return mail.session").find("there is no session at the stage 'delivered'") !=
        std::string::npos);
  CHECK(world.at(Stage::kDelivered, "return mail:header 'Subject'")
            .find("there is no text of the mail at the stage 'delivered'") != std::string::npos);
  CHECK(world.at(Stage::kDelivered, "mail:set_header('X', 'y')")
            .find("there is nothing to edit at the stage 'delivered'") != std::string::npos);
  CHECK(world.at(Stage::kDelivered, "mail.notes.x = 1").find("there are no notes at the stage 'delivered'") !=
        std::string::npos);
  CHECK(world.value(Stage::kDelivered, "mail.size") == "1234");
}

TEST_CASE("an event that a script keeps is of no use after its call") {
  QueueWorld world;
  REQUIRE(
      world.load("local postern = require 'postern'\nlocal kept = {}\n"
                 "postern.on('queued', function(mail, event) kept.event = event end)\n"));
  world.event.stage = Stage::kQueued;
  HookCall call{Stage::kQueued, world.session, &world.mail, nullptr, world.effects, &world.event};
  CHECK_FALSE(world.run(world.rules->hooks.at(0).handler->handle(call)));  // what a script keeps is frozen
}

}  // namespace
}  // namespace postern::lua
