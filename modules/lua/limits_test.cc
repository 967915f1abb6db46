// What a script may not do: run for ever, eat memory, wait too long. It fails its own call, and nobody else's.
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

const std::string kTooLong = "script.instructions";
const std::string kTooMuch = "script.memory";

std::string code_of(World& world, const std::string& body) {
  REQUIRE_MESSAGE(world.hook(body), world.problems);
  const Result<Verdict> verdict = world.call();
  return verdict ? "no fault" : verdict.error().code;
}

TEST_CASE("an endless loop ends with the limit of instructions, and says where") {
  World world;
  REQUIRE(world.hook("while true do end"));
  CHECK(world.said() == "script.instructions: test.lua:4: ran for more than 1000000 instructions");
}

TEST_CASE("pcall, xpcall, coroutines and metamethods do not swallow a limit") {
  World world;
  for (const std::string body :
       {"while true do pcall(function() while true do end end) end",
        "pcall(pcall, function() while true do end end) return postern.reject(550, '5.0.0', 'went on')",
        "xpcall(function() while true do end end, function() while true do end end) while true do end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "while true do coroutine.wrap(function() end)() end",
        "local t = setmetatable({}, {__index = function() while true do end end}) pcall(function() return t.x end) "
        "while true do end",
        "local t = setmetatable({}, {__lt = function() while true do end end}) pcall(table.sort, {t, t, t})",
        "local function f() return pcall(f) end f() while true do end", "for i = 1, math.huge do pcall(error) end"})
    CHECK_MESSAGE(code_of(world, body) == kTooLong, body);
}

TEST_CASE("memory is limited for each call, however it is taken") {
  World world;
  for (const std::string body :
       {"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local s = 'x' while true do s = s .. s end", "return ('x'):rep(1 << 30)", "return ('x'):rep(1 << 36)",
        "local s = ('x'):rep(1 << 20) return (s:gsub('x', s))",
        "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 100 do t[i] = s end return table.concat(t)",
        "local s = ('x'):rep(10 << 20) return string.format('%s%s%s%s', s, s, s, s)",
        "while true do pcall(string.rep, 'x', 40 << 20) end",
        "local t = {} while true do pcall(function() t[#t + 1] = ('y'):rep(100000) .. #t end) end"}) {
    const std::string code = code_of(world, body);  // what is copied while it grows is paid for in steps as well
    CHECK_MESSAGE((code == kTooMuch || code == kTooLong), body << ": " << code);
  }
}

TEST_CASE("what C functions do counts as well") {
  World world;
  for (const std::string body :
       {"return ('a'):rep(50000):find(('a*'):rep(20) .. 'b')",
        "return ('a'):rep(30):match(('a?'):rep(30) .. ('a'):rep(31))",
        "local s = ('a'):rep(100000) while true do s:find('.-b') end", "return ('('):rep(100000):find('%b()%b()%b()x')",
        "for _ in (('a'):rep(40000)):gmatch('.-.-.-b') do end", "return (('a'):rep(40000)):gsub('.-.-.-b', '')",
        "return table.move({}, 1, 1 << 60, 2)", "return table.unpack({}, 1, 1 << 60)",
        "return table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)",
        "return table.concat(setmetatable({}, {__len = function() return 1 << 60 end, __index = function() return '' "
        "end}))",
        "local t = {} for i = 1, 5000 do table.insert(t, 1, i) end", "return ('x'):rep(1 << 40, '')",
        "local t = {} for i = 1, 4000 do t[i] = i end while true do next(t, 1) end",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do for _ in pairs(t) do break end end",
        "local t = {} for i = 1, 1000 do t[i] = -i end while true do table.sort(t) end"}) {
    const std::string code = code_of(world, body);
    CHECK_MESSAGE((code == kTooLong || code == kTooMuch), body << ": " << code);
  }
}

TEST_CASE("deep recursion is an error of the script") {
  World world;
  REQUIRE(world.hook("local function f(n) return 1 + f(n + 1) end return f(1)"));
  const Result<Verdict> deep = world.call();
  REQUIRE_FALSE(deep);
  CHECK((deep.error().code == "script.error" || deep.error().code == kTooMuch || deep.error().code == kTooLong));
  REQUIRE(world.hook("local function f() coroutine.wrap(f)() end f()"));
  CHECK_FALSE(world.call());
  REQUIRE(world.hook("local s = ('('):rep(300) .. 'x' return s:find(('(.'):rep(31))"));
  CHECK_FALSE(world.call());
  REQUIRE(world.hook("return (('a'):rep(300)):find(('a-'):rep(300) .. 'b')"));
  CHECK_FALSE(world.call());
  REQUIRE(
      world.hook("local t = setmetatable({}, {}) getmetatable(t).__index = function(s, k) return s[k] end return t.x"));
  CHECK_FALSE(world.call());
}

TEST_CASE("a call that failed leaves its neighbours and the next call alone") {
  World world;
  world.limits.memory = std::size_t{1} << 20;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    postern.on("mail", function(session, mail) local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end end)
    postern.on("rcpt", function(session, rcpt) return postern.reject(550, "5.0.0", ("y"):rep(100)) end)
    postern.on("data", function(session, mail) while true do end end)
  )"),
                  world.problems);
  for (int i = 0; i < 200; ++i) {
    CHECK(world.call(0).error().code == kTooMuch);
    CHECK(world.said(1) == std::string(100, 'y'));
    CHECK(world.call(2).error().code == kTooLong);
  }
}

TEST_CASE("a call that waits longer than its clock allows fails") {
  World world;
  world.limits.wall_clock = std::chrono::seconds(2);
  world.dns.a("slow.example", "127.0.0.2").delay("slow.example", std::chrono::seconds(10));
  REQUIRE(world.hook("dns.a 'slow.example' return postern.reject(550, '5.0.0', 'answered')"));
  const Instant before = world.sim.now();
  CHECK(world.said() == "script.time: test.lua:4: took longer than 2s");
  CHECK(world.sim.now() - before < std::chrono::seconds(3));
  world.limits.wall_clock = std::chrono::seconds(30);
  REQUIRE(world.hook("for i = 1, 10 do dns.a 'slow.example' end"));
  CHECK(world.call().error().code == "script.time");
  REQUIRE(world.hook("dns.a 'slow.example' return postern.reject(550, '5.0.0', 'answered')"));
  CHECK(world.said() == "answered");
}

TEST_CASE("a loop while scripts are loaded is reported") {
  World world;
  CHECK_FALSE(world.load("local postern = require 'postern'\nwhile true do end\n"));
  CHECK(world.problems.starts_with(
      "test.lua:2:1: error: ran for more than 100000000 instructions while scripts were loaded\n"));
}

TEST_CASE("limits of loading are told from those of a call, by their number") {
  World world;
  CHECK_FALSE(world.load("local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t end\n"));
  CHECK(world.problems.find("allocated more than 512 MiB while scripts were loaded") != std::string::npos);
  CHECK_FALSE(world.load("pcall(function() while true do end end)\n"));
  CHECK(world.problems.find("100000000 instructions while scripts were loaded") != std::string::npos);
  CHECK_FALSE(world.load("pcall(string.rep, 'x', 600 << 20)\n"));
  CHECK(world.problems.find("512 MiB while scripts were loaded") != std::string::npos);
}

TEST_CASE("only the script that used up the limit is blamed") {
  World world;
  const std::string endless = world.write("endless.lua", "while true do end\n");
  const std::string good = world.write("good.lua", "local x = 1\n");
  CHECK_FALSE(world.load_files({endless, good}));
  CHECK(world.problems.find("endless.lua:1") != std::string::npos);
  CHECK(world.problems.find("good.lua") == std::string::npos);
  CHECK(world.problems.find("frozen") == std::string::npos);
}

TEST_CASE("a script that leaves next to nothing of its memory is frozen all the same") {
  World world;
  CHECK_MESSAGE(world.load("local postern = require 'postern'\n"
                           "local kept = {} for i = 1, 20000 do kept[i] = { i } end\n"
                           "for i = 1, 253 do local s = ('x'):rep((1 << 20) - 64) end\n"
                           "postern.on('rcpt', function() return kept[1] end)\n"),
                world.problems);
}

TEST_CASE("what scripts must not have is not there") {
  World world;
  for (const std::string name : {"load", "loadstring", "dofile", "loadfile", "collectgarbage", "io", "debug", "package",
                                 "string.dump", "math.randomseed", "os.execute", "os.getenv", "warn"})
    CHECK_MESSAGE(world.eval("return " + name) == "is nil", name);
  for (const std::string body :
       {"return pcall(setmetatable, {}, {__gc = function() end})",
        "return pcall(setmetatable, {}, {__close = function() end})", "return pcall(setmetatable, {}, {__mode = 'k'})"})
    CHECK_MESSAGE(world.eval(body) == "is false", body);
  CHECK(world.eval("return tostring({}) .. tostring(print) .. string.format('%s', {})") == "is tablefunctiontable");
  CHECK(world.eval("return getmetatable('') or 'hidden'") == "is hidden");
  CHECK(world.eval("return getmetatable(session) or 'hidden'") == "is hidden");
}

}  // namespace
}  // namespace postern::lua
