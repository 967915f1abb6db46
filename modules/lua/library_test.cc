// The libraries behave as the reference manual of Lua says, where they are ours.
#include "lua_for_tests.h"
#include "pattern.h"

namespace postern::lua {
namespace {

TEST_CASE("patterns") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got = world.eval("return table.concat({" + expression + "}, ' ')");
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("('hello world'):find('wor')", "7 9");
  is("('hello world'):find('o', 6)", "8 8");
  is("('hello'):find('l', -2)", "4 4");
  is("('a.b'):find('.', 2, true)", "2 2");
  is("('hello'):find('')", "1 0");
  is("('hello'):find('', 6)", "6 5");
  is("('hello'):find('(l)(l)')", "3 4 l l");
  is("('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key value");
  is("('key'):match('()e()')", "2 3");
  is("('  trim  '):match('^%s*(.-)%s*$')", "trim");
  is("('f(a(b)c)d'):match('%b()')", "(a(b)c)");
  is("('THE (quick) fox'):find('%((%a+)%)')", "5 11 quick");
  is("('THE quick'):match('%f[%l]%a+')", "quick");
  is("('abab'):match('(ab)%1')", "ab");
  is("('x=1, y=2'):gsub('(%w+)=(%w+)', '%2=%1')", "1=x, 2=y 2");
  is("('hello'):gsub('', '-')", "-h-e-l-l-o- 6");
  is("('hello'):gsub('l', {l = 'L'})", "heLLo 2");
  is("('hello'):gsub('.', function(c) if c == 'l' then return 1 end end)", "he11o 5");
  is("('abc'):gsub('%w', '%0%0', 2)", "aabbc 2");
  is("('abc'):gsub('^a', 'x')", "xbc 1");
  is("('100%'):gsub('%%', '%%%%')", "100%% 1");
  is("('[]]'):match('[]]+')", "]]");
  is("('a-z'):match('[a%-z]+')", "a-z");
  is("('x^y'):match('[x^]+')", "x^");
  is("('abc'):match('[^b]+')", "a");
  is("('a$'):match('a%$')", "a$");
  is("('aaa'):match('a-$')", "aaa");
  is("('ab12'):match('%D+')", "ab");
  is("('\\0a'):match('%z*') or ''", "");
  CHECK(world.eval("local o = {} for k, v in ('a=1 b=2'):gmatch '(%w)=(%w)' do o[#o + 1] = k .. v end return "
                   "table.concat(o, ' ')") == "is a1 b2");
  CHECK(world.eval("local n = 0 for _ in ('abc'):gmatch '' do n = n + 1 end return n") == "is 4");
  for (const std::string wrong : {"('x'):find('[a')", "('x'):find('%')", "('x'):find('(x')", "('x'):find('.)')",
                                  "('x'):find('%b')", "('x'):find('%f')", "('x'):find('%1')", "('x'):gsub('x', '%9')",
                                  "('x'):gsub('x', true)", "('x'):gsub('x', function() return {} end)"})
    CHECK_MESSAGE(world.eval("return pcall(function() return " + wrong + " end)") == "is false", wrong);
}

TEST_CASE("a pattern never runs longer than its steps") {
  for (const std::string pattern :
       {"a*a*a*a*a*b", "(a*)(a*)(a*)b", ".-.-.-b", "[ab]-[ab]-[ab]-x", "%b()x", "a?a?a?a?a?a?aaaaaaab"}) {
    std::int64_t steps = 10'000;
    const std::string subject(5000, 'a');
    Pattern match(pattern, subject, steps);
    std::size_t begin = 0;
    static_cast<void>(match.find(0, begin));
    CHECK(steps > -5000);
  }
}

TEST_CASE("garbage patterns end, well or with a fault") {
  SimRuntime sim({.seed = 11});
  const std::string alphabet = "ab()[]%^$*+-?.bf1\\x]";
  for (int round = 0; round < 20'000; ++round) {
    std::string pattern, subject;
    for (std::uint64_t n = sim.worker(0).random() % 14; n; --n)
      pattern += alphabet[sim.worker(0).random() % alphabet.size()];
    for (std::uint64_t n = sim.worker(0).random() % 20; n; --n)
      subject += alphabet[sim.worker(0).random() % alphabet.size()];
    std::int64_t steps = 20'000;
    Pattern match(pattern, subject, steps);
    std::size_t begin = 0;
    if (!match.find(0, begin)) continue;
    CHECK(match.end() <= subject.size());
    for (std::size_t i = 0; i < match.captures(); ++i)
      if (match.capture(i).length < Pattern::Capture::kPosition)
        CHECK(match.capture(i).begin + match.capture(i).length <= subject.size());
  }
}

TEST_CASE("format, rep and tables") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got = world.eval("return " + expression);
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("('%d %5d %-5d| %05.1f %x %q %s %10s %-4s| %.2s %% %c'):format(1, 2, 3, 4.25, 255, 'a\\n', nil, 'r', 'l', 'cut', "
     "65)",
     "1     2 3    | 004.2 ff \"a\\\n\" nil          r l   | cu % A");
  is("('%g %i %o'):format(0.5, 3, 8)", "0.5 3 10");
  is("pcall(string.format, '%d', 1.5)", "false");
  is("pcall(string.format, '%100d', 1)", "false");
  is("pcall(string.format, '%y', 1)", "false");
  is("pcall(string.format, '%p', {})", "false");
  is("pcall(string.format, '%s')", "false");
  is("('ab'):rep(3, ',') .. ('x'):rep(0) .. ('x'):rep(-1)", "ab,ab,ab");
  is("table.concat({1, 2, 3}, '-', 2)", "2-3");
  is("table.concat(table.move({1, 2, 3}, 2, 3, 1), ',')", "2,3,3");
  is("table.concat(table.move({1, 2, 3}, 1, 3, 2), ',')", "1,1,2,3");
  is("select('#', table.unpack({1, nil, 3}, 1, 3)) .. table.pack(1, nil).n", "32");
  is("(function() local t = {5, 2, 4, 1, 3} table.sort(t) return table.concat(t, ',') end)()", "1,2,3,4,5");
  is("(function() local t = {5, 2, 4, 1, 3} table.sort(t, function(a, b) return a > b end) return table.concat(t, ',') "
     "end)()",
     "5,4,3,2,1");
  is("(function() local t = {'b', 'a', 'c'} table.sort(t, function() return true end) return #t end)()", "3");
  is("pcall(table.sort, {1, 'x'})", "false");
  is("(function() local t = {1, 2} table.insert(t, 1, 0) table.insert(t, 3) return table.concat(t, ',') .. "
     "table.remove(t, 1) .. table.remove(t) .. #t end)()",
     "0,1,2,3032");
  is("tostring(table.remove({}))", "nil");
  is("select(2, xpcall(error, function(m) return 'handled ' .. m end, 'x', 0))", "handled x");
  is("xpcall(function(a, b) return a + b end, print, 1, 2)", "true");
  is("utf8.char(228) .. utf8.len('ä')", "ä1");
}

TEST_CASE("garbage scripts are reported or loaded, never worse") {
  World world;
  const std::vector<std::string> words = {"postern",
                                          ".",
                                          "match",
                                          "act",
                                          "pipeline",
                                          "\"root\"",
                                          "{",
                                          "}",
                                          "(",
                                          ")",
                                          ",",
                                          "=",
                                          "when",
                                          "function",
                                          "end",
                                          "return",
                                          "local x",
                                          "on",
                                          "'rcpt'",
                                          "all",
                                          "deliver",
                                          "recipient_is",
                                          ":",
                                          "*",
                                          "+",
                                          "-",
                                          "1",
                                          "nil",
                                          "[[",
                                          "]]",
                                          "--",
                                          "if",
                                          "then",
                                          "for",
                                          "do",
                                          "while",
                                          "while true do end",
                                          "coroutine.wrap",
                                          "setmetatable",
                                          "require",
                                          "..",
                                          "\n",
                                          "x",
                                          "\\",
                                          "\"",
                                          "\0",
                                          "pairs",
                                          "waive"};
  for (int round = 0; round < 1500; ++round) {
    std::string text =
        round % 2 ? "local postern = require 'postern'\nlocal match, act = postern.match, postern.act\n" : "";
    for (std::uint64_t n = world.sim.worker(0).random() % 25; n; --n)
      text += words[world.sim.worker(0).random() % words.size()] + " ";
    if (text.find("while true do end") != text.npos && round % 100) continue;
    const bool loaded = world.load(text);
    CHECK(loaded == world.problems.empty());
  }
}

}  // namespace
}  // namespace postern::lua
