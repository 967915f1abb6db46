// postern.re: what it finds, and that neither a pattern nor a text can make it run for long.
#include "lua_for_tests.h"
#include "text_library.h"

namespace postern::lua {
namespace {

TEST_CASE("regular expressions match, find, test and replace") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got =
        world.eval("local re = postern.re\nlocal parts = {" + expression +
                   "}\nfor i = 1, #parts do parts[i] = tostring(parts[i]) end\nreturn table.concat(parts, ' ')");
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("re('o.'):match('hello world')", "o ");
  is("re([[(\\w+)\\s*=\\s*(\\w+)]]):match('key = value')", "key value");
  is("re('(a)|(b)'):match('b')", "false b");
  is("re('x'):match('hello') == nil", "true");
  is("re('WORLD', 'i'):find('hello world')", "7 11");
  is("re('(o)'):find('hello world', 6)", "8 8 o");
  is("re('l'):find('hello', -2)", "4 4");
  is("re('^h'):find('hello', 2) == nil", "true");
  is("re(''):find('hello', 6)", "6 5");
  is("re(''):find('hello', 7) == nil", "true");
  is("re('a.c'):test('a\\nc'), re('a.c', 's'):test('a\\nc')", "false true");
  is("re('^b$'):test('a\\nb'), re('^b$', 'm'):test('a\\nb')", "false true");
  is("re('^.$'):test('ä'), re('^.$', 'b'):test('ä'), re('^.$', 'b'):test('\\xE4')", "true false true");
  is("re('^a|b$', 'im'):gsub('A\\nB', '-')", "-\n- 2");
  is("re('(\\\\w+)=(\\\\w+)'):gsub('x=1, y=2', '%2=%1')", "1=x, 2=y 2");
  is("re('l'):gsub('hello', '<%0%1%%>', 1)", "he<ll%>lo 1");
  is("re(''):gsub('hello', '-')", "-h-e-l-l-o- 6");
  is("re(''):gsub('äö', '-')", "-ä-ö- 3");
  is("re('a*'):gsub('baac', '-')", "-b-c- 3");
  is("re('^a'):gsub('aaa', 'x')", "xaa 1");
  is("re('l'):gsub('hello', {l = 'L'})", "heLLo 2");
  is("re('.'):gsub('hello', function(c) if c == 'l' then return 1 end end)", "he11o 5");
  is("re('(h)(e)'):gsub('hello', function(a, b) return b .. a end)", "ehllo 1");
  is("re('l'):gsub('hello', 7)", "he77o 2");
  is("re('l'):gsub('hello', 'x', 0)", "hello 0");
  is("re('x'):gsub('', 'y')", " 0");
  is("tostring(re('a+', 'i'))", "a+");
  for (const std::string wrong : {"re('l'):gsub('l', '%9')", "re('l'):gsub('l', '%')", "re('l'):gsub('l', true)",
                                  "re('l'):gsub('l', function() return {} end)", "re('l').nothing", "re('l').x == 1",
                                  "re('a', 'q')", "re(12)", "re()", "re('l').match('l', 'l')"})
    CHECK_MESSAGE(world.eval("local re = postern.re return pcall(function() return " + wrong + " end)") == "is false",
                  wrong);
}

TEST_CASE("a wrong pattern is reported where it is written") {
  World world;
  CHECK(!world.load("local postern = require 'postern'\nlocal BAD = postern.re('order [0-9')\n"));
  CHECK_MESSAGE(world.problems.starts_with("test.lua:2:24: error: bad pattern (missing ]: [0-9): 'order [0-9'"),
                world.problems);
  for (const std::string pattern : {"(", "a**b{", "(?<name", "\\\\8", "[z-a]", "a{1001}", "(?=x)", "\\\\p{Nonsense}"})
    CHECK_MESSAGE(!world.load("local postern = require 'postern'\nlocal BAD = postern.re('" + pattern + "')\n"),
                  pattern);
}

TEST_CASE("expressions are kept between mails, and cannot be changed") {
  World world;
  REQUIRE(world.load(R"(local postern = require 'postern'
    local WORDS = { postern.re('lottery', 'i'), postern.re([[(\d+) euro]]) }
    postern.on('rcpt', function()
      local _, wrong = pcall(function() WORDS[1].seen = true end)
      local text = 'LOTTERY: 500 euro'
      return postern.reject(550, '5.0.0', tostring(WORDS[1]:test(text)) .. WORDS[2]:match(text) ..
        tostring(wrong ~= nil))
    end))"));
  CHECK(world.said() == "true500true");
  CHECK(world.said() == "true500true");
}

TEST_CASE("patterns that blow up elsewhere are linear here") {
  World world;
  CHECK(world.eval("return postern.re('^(a+)+$'):test(('a'):rep(20000) .. 'b')") == "is false");
  CHECK(world.eval("return postern.re('(a|aa)*c'):test(('a'):rep(20000))") == "is false");
  CHECK(world.eval("return #postern.re('(x+x+)+y'):gsub(('x'):rep(5000), '')") == "is 5000");
}

TEST_CASE("what a search may cost is charged to its call") {
  World world;
  // The program of this one is large, and its automaton does not fit: each octet may cost as much as the program.
  CHECK(
      world.eval("return postern.re('[ab]*a[ab]{900}c'):test(('ab'):rep(3000000))").starts_with("script.instructions"));
  // Each of many matches might look at all that is left.
  CHECK(world.eval("return postern.re('a.*b|a'):gsub(('a'):rep(200000), 'x')").starts_with("script.instructions"));
  CHECK(world.eval("local r = postern.re('a') while true do r:test('') end").starts_with("script.instructions"));
  CHECK(world.eval("local r, t = postern.re('a'), ('b'):rep(9999) while true do pcall(r.test, r, t) end")
            .starts_with("script.instructions"));
}

TEST_CASE("patterns are bounded in size, number and memory") {
  World world;
  CHECK(world.eval("return select(2, pcall(postern.re, ('a'):rep(16385)))")
            .find("the pattern is longer than 16384 octets") != std::string::npos);
  CHECK(world.eval("return select(2, pcall(postern.re, ('(a)'):rep(101)))").find("more than 100 captures") !=
        std::string::npos);
  CHECK(world.eval("return select(2, pcall(postern.re, '((a{100}){10}b{1000})' .. ('\\\\pL'):rep(50)))")
            .find("the pattern needs more than 512 KiB") != std::string::npos);
  CHECK(world.eval("for i = 1, 100 do postern.re('a' .. i) end").starts_with("script.memory"));
  CHECK(world.eval("for i = 1, 60 do postern.re('a' .. i) end return 1") == "is 1");
  CHECK(world.eval("return select(2, pcall(postern.re, ('('):rep(8000) .. (')'):rep(8000)))").starts_with("is "));
}

TEST_CASE("a replacement that grows without end fails its call alone") {
  World world;
  CHECK(world.eval("return #postern.re('a'):gsub(('a'):rep(10000), ('x'):rep(10000))").starts_with("script."));
  CHECK(world.eval("local s = 'a' for i = 1, 60 do s = postern.re('a'):gsub(s, 'aa') end").starts_with("script."));
  CHECK(world.eval("return #postern.re('a'):gsub(('a'):rep(1000), ('x'):rep(100))") == "is 100000");
}

TEST_CASE("garbage patterns on garbage texts end, well or refused") {
  World world;
  REQUIRE(world.load(R"(local postern = require 'postern'
    postern.on('rcpt', function(session, rcpt, mail)
      local ok, r = pcall(postern.re, mail.notes.pattern, mail.notes.flags)
      if not ok then return postern.reject(550, '5.0.0', 'refused') end
      local first, last = r:find(mail.notes.text)
      local new, count = r:gsub(mail.notes.text, '<%0>')
      if first then assert(first >= 1 and last <= #mail.notes.text and last >= first - 1) end
      assert(#new == #mail.notes.text + 2 * count)
      assert((count > 0) == (first ~= nil))
      return postern.reject(550, '5.0.0', 'good')
    end))"));
  const std::string alphabet = "ab()[]|^$*+-?.{}1,\\wdbx\xC3\xA4\xFF";
  const auto garbage = [&](std::uint64_t most) {
    std::string out;
    for (std::uint64_t n = world.sim.worker(0).random() % most; n; --n)
      out += alphabet[world.sim.worker(0).random() % alphabet.size()];
    return out;
  };
  int good = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string pattern = garbage(12);
    world.mail.notes["pattern"] = pattern;
    world.mail.notes["flags"] = std::string(round % 3 == 0 ? "i" : round % 3 == 1 ? "b" : "ms");
    world.mail.notes["text"] = garbage(30);
    const std::string said = world.said();
    const bool fine = said == "good" || said == "refused";
    CHECK_MESSAGE(fine, said << " for " << pattern);
    good += said == "good";
  }
  CHECK(good > 300);
}

TEST_CASE("gsub of many short matches pays for its text once") {
  World world;
  CHECK(world.eval("local new, count = postern.re('[0-9]x'):gsub(('1x'):rep(20000), 'y') return count") == "is 20000");
  CHECK(world.eval("local new, count = postern.re('[0-9]{1,2}x?'):gsub(('12'):rep(20000), 'y') return count") ==
        "is 20000");
  // Each match may look at all that follows it: this one pays for that.
  CHECK(world.eval("return postern.re('a(.*b)?'):gsub(('a'):rep(100000), 'y')").starts_with("script.instructions"));
}

}  // namespace
}  // namespace postern::lua
