// What scripts keep between mails: nothing that changes.
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

bool refuses(World& world, const std::string& text, std::string_view why) {
  const bool loaded = world.load("local postern = require 'postern'\n" + text);
  return !loaded && world.problems.find(why) != std::string::npos;
}

TEST_CASE("functions that assign outer variables are refused at load, with place and name") {
  World world;
  CHECK_FALSE(
      world.load("local postern = require 'postern'\n"
                 "local seen = 0\n"
                 "postern.on('mail', function(session, mail)\n"
                 "  seen = seen + 1\n"
                 "end)\n"));
  CHECK(world.problems ==
        "test.lua:4:3: error: a function assigns \"seen\", which lives on between mails\n"
        "  4 |   seen = seen + 1\n"
        "    |   ^\n"
        "  keep what changes in notes of the session, the mail or the recipient\n");
}

TEST_CASE("assignments are found wherever they hide, and only those that live on") {
  World world;
  CHECK(refuses(world, "local n = 0 local function up() n = n + 1 end postern.on('mail', function() up() end)",
                "assigns \"n\""));
  CHECK(refuses(
      world, "local n = 0 postern.on('mail', function() return (function() return (function() n = 1 end)() end)() end)",
      "assigns \"n\""));
  CHECK(refuses(world, "local n = 0 local t = {{f = function() n = 1 end}} postern.on('mail', function() t[1].f() end)",
                "assigns \"n\""));
  CHECK(refuses(world, "local n = 0 function bump() n = 1 end", "assigns \"n\""));
  CHECK(refuses(world,
                "local n = 0 local t = setmetatable({}, {__index = function() n = 1 end}) postern.on('mail', "
                "function() return t.x end)",
                "assigns \"n\""));
  CHECK(refuses(world, "postern.on('mail', function() _ENV = {} end)", "assigns \"_ENV\""));
  CHECK(refuses(world, "local next = ('a b'):gmatch('%a') postern.on('mail', function() next() end)",
                "keep an iterator"));
  CHECK(refuses(
      world, "local next = coroutine.wrap(function() coroutine.yield(1) end) postern.on('mail', function() next() end)",
      "cannot keep"));
  CHECK(refuses(world,
                "local co = coroutine.create(function() end) postern.on('mail', function() coroutine.resume(co) end)",
                "keep a coroutine"));
  CHECK(refuses(
      world, "local t = {coroutine.create(function() end)} postern.on('mail', function() coroutine.resume(t[1]) end)",
      "keep a coroutine"));
  // A variable of the call itself is nobody else's.
  CHECK_MESSAGE(world.load("local postern = require 'postern'\npostern.on('mail', function()\n local n = 0\n for i = "
                           "1, 3 do (function() n = n + i end)() end\n"
                           " return postern.reject(550, '5.0.0', 'n=' .. n)\nend)"),
                world.problems);
  CHECK(world.said() == "n=6");
}

TEST_CASE("tables that scripts keep are frozen, all the way down") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    local list = { "a", "b", inner = { deep = {} } }
    shared = { n = 1 }
    postern.on("rcpt", function(session, rcpt)
      local out = {}
      for _, try in ipairs {
        function() list.x = 1 end, function() list[1] = "z" end, function() list.inner.deep.y = 1 end, function() shared.n = 2 end,
        function() rawset(list, "x", 1) end, function() table.insert(list, "c") end, function() table.remove(list) end,
        function() table.sort(list) end, function() setmetatable(list, {}) end, function() new_global = 1 end, function() string.find = nil end,
        function() postern.reject = nil end, function() table.move({1}, 1, 1, 1, list) end, function() math.pi = 3 end, function() _G.x = 1 end } do
        out[#out + 1] = pcall(try) and "yes" or "no"
      end
      return postern.reject(550, "5.0.0", table.concat(out, " "))
    end))"),
                  world.problems);
  CHECK(world.said() == "no no no no no no no no no no no no no no no");
}

TEST_CASE("frozen tables read as before") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(
    local postern = require "postern"
    local list = { "a", "b", "c", k = "v" }
    local Point = {}
    Point.__index = Point
    Point.__add = function(a, b) return Point.new(a.x + b.x) end
    Point.__tostring = function(p) return "<" .. p.x .. ">" end
    function Point.new(x) return setmetatable({ x = x }, Point) end
    function Point:double() return self.x * 2 end
    local origin = Point.new(5)
    local lazy = setmetatable({}, { __index = function(t, k) return k .. "!" end, __call = function(t, a) return a end, __len = function() return 0 end })
    postern.on("rcpt", function(session, rcpt)
      local out = { #list, list[2], list.k, rawlen(list), rawget(list, "k"), select("#", table.unpack(list)), table.concat(list, ","), tostring(next(list)) }
      for i, v in ipairs(list) do out[#out + 1] = i .. v end
      for k, v in pairs(list) do out[#out + 1] = k .. v end
      local p = Point.new(2) + origin
      out[#out + 1] = tostring(p) .. p:double() .. tostring(origin) .. origin:double() .. tostring(getmetatable(p) == Point)
      out[#out + 1] = lazy.x .. lazy(7)
      return postern.reject(550, "5.0.0", table.concat(out, " "))
    end))"),
                  world.problems);
  CHECK(world.said() == "3 b v 3 v 3 a,b,c 1 1a 2b 3c 1a 2b 3c kv <7>14<5>10true x!7");
}

TEST_CASE("pairs visits keys in sorted order, next as well") {
  World world;
  REQUIRE_MESSAGE(world.hook(R"(
    local t = {}
    for _, k in ipairs { "b", 10, "a", true, 2.5, -1, false, "B", 3 } do t[k] = 1 end
    t.a = nil t.c = 2
    local out = {}
    for k in pairs(t) do out[#out + 1] = tostring(k) end
    local k = nil
    repeat k = next(t, k) out[#out + 1] = tostring(k) until k == nil
    return postern.reject(550, "5.0.0", table.concat(out, " ")))"),
                  world.problems);
  CHECK(world.said() == "-1 2.5 3 10 B b c false true -1 2.5 3 10 B b c false true nil");
  REQUIRE(world.hook("local t = {[{}] = 1} for k in pairs(t) do end"));
  CHECK(world.said().find("keys must be strings, numbers or booleans") != std::string::npos);
  REQUIRE(
      world.hook("local t = {a = 1, b = 2, c = 3} local n = 0 for k in pairs(t) do t.b = nil n = n + 1 end return "
                 "postern.reject(550, '5.0.0', 'n' .. n)"));
  CHECK(world.said() == "n2");
}

TEST_CASE("matchers and mailets cannot be made while mail is handled") {
  World world;
  REQUIRE(world.hook("return postern.match.all"));
  CHECK(world.said().find("only while scripts are loaded") != std::string::npos);
  REQUIRE(world.hook("postern.pipeline 'x' {}"));
  CHECK(world.said().find("only while scripts are loaded") != std::string::npos);
  CHECK(refuses(world, "postern.dns.a('x.example')", "only while mail is handled"));
  CHECK(refuses(world, "math.random()", "only while mail is handled"));
  CHECK(refuses(world, "os.time()", "only while mail is handled"));
}

}  // namespace
}  // namespace postern::lua
