// Loading: what a script declares, and every message that an administrator can get, word for word.
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

const std::string kHead = "local postern = require 'postern'\nlocal match, act = postern.match, postern.act\n";

TEST_CASE("a pipeline becomes rules with names and places") {
  World world;
  REQUIRE_MESSAGE(world.load(kHead + R"(
postern.pipeline "root" {
  { when = match.relay_limit(100), act.go "local" },
  { name = "archive", when = match.recipient_is("bob@ours.example"), on_error = "skip",
    act.set_header("X-A", "b"), act.deliver { folder = "Archive" } },
  { act.deliver },
}
postern.pipeline("local", { { act.deliver { folder = "INBOX", flags = { "\\Seen" } } } })
)"),
                  world.problems);
  REQUIRE(world.rules->pipelines.size() == 2);
  CHECK(world.rules->pipelines.at("root").origin.to_string() == "test.lua:4:18");
  CHECK(world.rule(0).name == "root#1");
  CHECK(world.rule(0).origin.to_string() == "test.lua:5:3");
  CHECK(world.rule(0).actions[0]->goes_to() == "local");
  CHECK(world.rule(1).name == "archive");
  CHECK(world.rule(1).origin.to_string() == "test.lua:6:3");
  CHECK(world.rule(1).on_error == OnError::kSkip);
  CHECK(world.rule(1).actions.size() == 2);
  CHECK(world.rule(2).name == "root#3");
  CHECK_FALSE(world.rule(2).when);
  CHECK(world.made == std::vector<std::string>{"relay_limit 100", "go \"local\"", "recipient_is \"bob@ours.example\"",
                                               "set_header [\"X-A\", \"b\"]", "deliver {folder=\"Archive\"}",
                                               "deliver nothing", "deliver {flags=[\"\\Seen\"], folder=\"INBOX\"}"});
  CHECK(world.rules->hash != 0);
}

TEST_CASE("arguments arrive as they were written") {
  World world;
  REQUIRE_MESSAGE(world.load(kHead + R"(
local a = act.deliver("a", 1, 2.5, true, { 1, 2 }, { x = { y = {} } }, nil, { "p", q = 1 })
local b = match.recipient_is { "a", "b" }
local c = match.all_of { match.all, function() end, match.recipient_is "x" }
postern.pipeline "root" { { act.deliver } })"),
                  world.problems);
  CHECK(world.made[0] == "deliver [\"a\", 1, float 2.500000, true, [1, 2], {x={y=[]}}, nothing, {1=\"p\", q=1}]");
  CHECK(world.made[1] == "recipient_is [\"a\", \"b\"]");
  CHECK(world.made[4] == "all_of [matcher all, matcher function, matcher recipient_is]");
}

TEST_CASE("operators combine matchers") {
  World world;
  REQUIRE_MESSAGE(world.load(kHead + R"(
local a, b = match.recipient_is "a", match.all
local c = a * b + -a
local function f() end
postern.pipeline "root" { { when = c * f, act.deliver } })"),
                  world.problems);
  CHECK(world.rule(0).when->name() == "all_of");
  CHECK(world.made[2] == "all_of [matcher recipient_is, matcher all]");
  CHECK(world.made[3] == "none_of [matcher recipient_is]");
  CHECK(world.made[4] == "any_of [matcher all_of, matcher none_of]");
  CHECK_FALSE(world.load(kHead + "local x = match.all * 3"));
  CHECK(world.problems ==
        "test.lua:3:21: error: a number stands where a matcher or a function must\n  3 | local x = match.all * 3\n    "
        "|                     ^\n");
}

TEST_CASE("hooks know their stage, role, name and place") {
  World world;
  REQUIRE_MESSAGE(world.load(kHead + R"(
postern.on("connect", function(session) end)
postern.on("rcpt", { role = "mx", name = "lists", on_error = "skip" }, function(session, rcpt) end)
postern.on("mail", { role = { "submission", "submissions" } }, function(session, mail) end)
postern.waive("lint.no_loop_guard", "the next server has one")
)"),
                  world.problems);
  REQUIRE(world.rules->hooks.size() == 4);
  CHECK(world.rules->hooks[0].name == "test.lua:4");
  CHECK(world.rules->hooks[0].origin.to_string() == "test.lua:4:12");
  CHECK(world.rules->hooks[0].stage == Stage::kConnect);
  CHECK_FALSE(world.rules->hooks[0].role);
  CHECK(world.rules->hooks[1].name == "lists");
  CHECK(world.rules->hooks[1].on_error == OnError::kSkip);
  CHECK(world.rules->hooks[1].role == SessionRole::kMx);
  CHECK(world.rules->hooks[2].role == SessionRole::kSubmission);
  CHECK(world.rules->hooks[3].role == SessionRole::kSubmissions);
  CHECK(world.rules->waivers.at(0).first == "lint.no_loop_guard");
}

TEST_CASE("all problems are reported at once, with places and the nearest right word") {
  World world;
  CHECK_FALSE(world.load(kHead + R"(postern.pipeline "root" {
  { when = match.recipent_is "a@b.example", act.deliver },
  { when = act.deliver, match.all },
  { wen = match.all, act.delivr { folder = "x" } },
  { when = match.spf, act.deliver(5) },
  { when = "all", act.deliver },
  match.all,
  { name = 5, on_error = "skp", "deliver" },
  { postern.accept },
}
postern.on("recpt", function() end)
postern.on("login", function() end)
postern.on("rcpt", { rol = "mx", role = "mix" }, function() end)
postern.waive("lint.x")
postern.pipeline "root" {}
)"));
  CHECK(world.problems == R"(test.lua:4:18: error: unknown matcher "recipent_is"
  4 |   { when = match.recipent_is "a@b.example", act.deliver },
    |                  ^
  did you mean "recipient_is"?
test.lua:5:16: error: the mailet "deliver" stands where a matcher or a function must
  5 |   { when = act.deliver, match.all },
    |                ^
test.lua:5:31: error: the matcher "all" stands where an action must
  5 |   { when = act.deliver, match.all },
    |                               ^
  a matcher goes under the key `when`
test.lua:6:3: error: a rule has no key "wen"
  6 |   { wen = match.all, act.delivr { folder = "x" } },
    |   ^
  did you mean "when"?
test.lua:6:26: error: unknown mailet "delivr"
  6 |   { wen = match.all, act.delivr { folder = "x" } },
    |                          ^
  did you mean "deliver"?
test.lua:7:18: error: the matcher "spf" is not there yet: it comes with SPF
  7 |   { when = match.spf, act.deliver(5) },
    |                  ^
test.lua:7:27: error: deliver: folder must be a string
  7 |   { when = match.spf, act.deliver(5) },
    |                           ^
  for instance act.deliver { folder = "Junk" }
test.lua:8:3: error: a string stands where a matcher or a function must
  8 |   { when = "all", act.deliver },
    |   ^
test.lua:9:3: error: rule 6 of pipeline "root" is the matcher "all" instead of a table
  9 |   match.all,
    |   ^
  write { when = match.x, act.y }
test.lua:10:3: error: `name` must be a string, not a number
  10 |   { name = 5, on_error = "skp", "deliver" },
     |   ^
test.lua:10:3: error: on_error is "defer", "skip", "quarantine" or "reject", not "skp"
  10 |   { name = 5, on_error = "skp", "deliver" },
     |   ^
  did you mean "skip"?
test.lua:10:3: error: a string stands where an action must
  10 |   { name = 5, on_error = "skp", "deliver" },
     |   ^
test.lua:11:3: error: accept and disconnect belong into hooks: a rule delivers, relays or refuses
  11 |   { postern.accept },
     |   ^
test.lua:13:12: error: unknown hook "recpt"
  13 | postern.on("recpt", function() end)
     |            ^
  did you mean "rcpt"?
test.lua:14:12: error: the hook "login" is not called yet: it comes with hooks of mailboxes
  14 | postern.on("login", function() end)
     |            ^
test.lua:15:12: error: a hook has no key "rol"
  15 | postern.on("rcpt", { rol = "mx", role = "mix" }, function() end)
     |            ^
  did you mean "role"?
test.lua:15:12: error: unknown role "mix"
  15 | postern.on("rcpt", { rol = "mx", role = "mix" }, function() end)
     |            ^
  did you mean "mx"?
test.lua:16:15: error: a waiver needs the code of a warning and a reason
  16 | postern.waive("lint.x")
     |               ^
  postern.waive("lint.no_loop_guard", "the next server has one")
test.lua:17:18: error: there is a pipeline "root" already, at test.lua:3:18
  17 | postern.pipeline "root" {}
     |                  ^
)");
}

TEST_CASE("syntax and other errors name file, line and column") {
  World world;
  const auto problem = [&](const std::string& text) {
    CHECK_FALSE(world.load(text));
    return world.problems;
  };
  CHECK(problem("local x = = 1\n") ==
        "test.lua:1:9: error: unexpected symbol near '='\n  1 | local x = = 1\n    |         ^\n");
  CHECK(problem("local t = {\n  1,\n").starts_with("test.lua:3:1: error: unexpected symbol near <eof>\n"));
  CHECK(problem("x = 'abc\n").starts_with("test.lua:1:5: error: unfinished string near ''abc'\n"));
  CHECK(problem("local a = {}\nlocal b = a.c.d\n") ==
        "test.lua:2:13: error: attempt to index a nil value (field 'c')\n  2 | local b = a.c.d\n    |             ^\n");
  CHECK(problem("\n  nothing()\n") ==
        "test.lua:2:3: error: attempt to call a nil value (global 'nothing')\n  2 |   nothing()\n    |   ^\n");
  CHECK(problem("error('own words')").starts_with("test.lua:1:1: error: own words\n"));
  CHECK(problem("error({})").find("error: table") != std::string::npos);
  CHECK(problem("require 'no.such'").find("there is no script 'no/such.lua' below the script folders") !=
        std::string::npos);
  CHECK(problem("require '../etc/passwd'").find("is no name of a script") != std::string::npos);
  CHECK(problem("require '/etc/passwd'").find("is no name of a script") != std::string::npos);
  CHECK(problem("goto nowhere").find("test.lua:1:") != std::string::npos);
  CHECK(problem(std::string("\x1bLua\x54\0\x19\x93", 8)).find("error:") != std::string::npos);
  CHECK_FALSE(world.load_files({(world.folder / "absent.lua").string()}));
  CHECK(world.problems.find("cannot be read") != std::string::npos);
}

TEST_CASE("a script that is no file is refused at once, by its kind") {
  World world;
  ::alarm(20);  // opened as a file is, the pipe would wait for a writer for ever
  const std::string pipe = (world.folder / "pipe.lua").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_FALSE(world.load_files({pipe}));
  CHECK(world.problems.find("pipe.lua cannot be read: it is a named pipe, not a file") != std::string::npos);
  CHECK_FALSE(world.load("require 'pipe'\n"));
  CHECK(world.problems.find("it is a named pipe, not a file") != std::string::npos);
  CHECK_FALSE(world.load_files({world.folder.string()}));
  CHECK(world.problems.find("it is a folder, not a file") != std::string::npos);
  CHECK_FALSE(world.load_files({"/dev/zero"}));
  CHECK(world.problems.find("it is a device, not a file") != std::string::npos);
  CHECK_FALSE(world.load_files({world.write("large.lua", std::string(kMaxScriptBytes + 1, ' '))}));
  CHECK(world.problems.find("it is larger than 4 MiB") != std::string::npos);
  ::alarm(0);
}

TEST_CASE("a broken file does not hide what is wrong in the next") {
  World world;
  const std::string first = world.write("one.lua", "local x = = 1\n");
  const std::string second = world.write("two.lua", "require('postern').on('recpt', function() end)\n");
  CHECK_FALSE(world.load_files({first, second}));
  CHECK(world.problems.find("one.lua:1:") != std::string::npos);
  CHECK(world.problems.find("two.lua:1:") != std::string::npos);
}

TEST_CASE("scripts require others below their folders, once") {
  World world;
  world.write("lib/lists.lua",
              "counted = (counted or 0) + 1\nlocal M = {}\nfunction M.hosts() return { 'a', 'b' } end\nreturn M\n");
  world.write("selfish.lua", "return require 'selfish'");
  REQUIRE_MESSAGE(
      world.load(
          "local postern = require 'postern'\nlocal a, b = require 'lib.lists', require 'lib.lists'\nassert(a == b and "
          "counted == 1)\n"
          "postern.on('mail', function() return postern.reject(550, '5.0.0', table.concat(a.hosts(), ',')) end)"),
      world.problems);
  CHECK(world.said() == "a,b");
  CHECK_FALSE(world.load("require 'selfish'"));
  CHECK(world.problems.find("'selfish' requires itself") != std::string::npos);
  const std::filesystem::path outside = world.folder.parent_path() / "postern-lua-outside.lua";
  std::ofstream(outside) << "return 1";
  std::filesystem::create_symlink(outside, world.folder / "link.lua");
  CHECK_FALSE(world.load("require 'link'"));
  CHECK(world.problems.find("lies outside of the script folders") != std::string::npos);
  std::filesystem::remove(outside);
}

TEST_CASE("rules that a loop makes have the places of their matchers") {
  World world;
  REQUIRE_MESSAGE(world.load(kHead + R"(
local rules = {}
for _, who in ipairs { "a", "b" } do
  rules[#rules + 1] = { when = match.recipient_is(who), act.deliver }
end
rules[#rules + 1] = { act.deliver }
postern.pipeline("root", rules)
)"),
                  world.problems);
  CHECK(world.rule(0).origin.to_string() == "test.lua:6:38");
  CHECK(world.rule(2).origin.to_string() == "test.lua:8:27");
}

TEST_CASE("the same scripts load the same, another text has another hash") {
  World world;
  const std::string text = kHead + "postern.on('mail', function() end)\n";
  REQUIRE(world.load(text));
  const std::uint64_t first = world.rules->hash;
  REQUIRE(world.load(text));
  CHECK(world.rules->hash == first);
  REQUIRE(world.load(text + "\n"));
  CHECK(world.rules->hash != first);
}

}  // namespace
}  // namespace postern::lua
