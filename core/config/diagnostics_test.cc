#include <doctest/doctest.h>

#include <array>

#include "postern/diagnostics.h"

namespace postern {
namespace {

std::shared_ptr<const SourceText> source(std::string text) {
  return std::make_shared<SourceText>("root.lua", std::move(text));
}

TEST_CASE("lines are found by number") {
  auto text = source("one\r\ntwo\n\nfour");
  CHECK(text->line(1) == "one");
  CHECK(text->line(2) == "two");
  CHECK(text->line(3) == "");
  CHECK(text->line(4) == "four");
  CHECK(text->line(0) == "");
  CHECK(text->line(5) == "");
}

TEST_CASE("messages are sorted by place, and what is from outside is shown escaped") {
  Diagnostics diagnostics;
  auto text = source("a\x1b[2Jb\n\tx = 1\n");
  diagnostics.error({text, 2, 2}, "bad\nword");
  diagnostics.warning({text, 1, 6}, "a.code", "careful", "try this");
  diagnostics.error({}, "no file at all");
  CHECK(diagnostics.render() ==
        "root.lua:1:6: warning: careful [a.code]\n"
        "  1 | a\\x1b[2Jb\n"
        "    |         ^\n"
        "  try this\n"
        "root.lua:2:2: error: bad\\x0aword\n"
        "  2 |  x = 1\n"
        "    |  ^\n"
        "error: no file at all\n");
  CHECK(diagnostics.errors() == 2);
  CHECK(diagnostics.warnings() == 1);
}

TEST_CASE("long lines are shown around the column") {
  Diagnostics diagnostics;
  std::string line(1000, 'x');
  line[500] = '!';
  diagnostics.error({source(line), 1, 501}, "here");
  std::string out = diagnostics.render();
  CHECK(out.size() < 500);
  std::size_t first = out.find("  1 | "), second = out.find("\n", first) + 1;
  CHECK(out[first + out.find('^', second) - second] == '!');
}

TEST_CASE("waivers work before and after their warnings") {
  Diagnostics diagnostics;
  diagnostics.warning({}, "early", "x");
  diagnostics.waive("early");
  diagnostics.waive("late");
  diagnostics.waive("never");
  diagnostics.warning({}, "late", "x");
  diagnostics.warning({}, "other", "x");
  CHECK(diagnostics.warnings() == 1);
  CHECK(diagnostics.unused_waivers() == std::vector<std::string>{"never"});
}

TEST_CASE("the nearest word is one that was probably meant") {
  std::array<std::string_view, 4> known{"idle_timeout", "max_line", "hosts", "tls"};
  CHECK(nearest_word("idle_timout", known) == "idle_timeout");
  CHECK(nearest_word("idle-timeout", known) == "idle_timeout");
  CHECK(nearest_word("MAX_LINE", known) == "max_line");
  CHECK(nearest_word("max_lnie", known) == "max_line");  // a swap is one mistake
  CHECK(nearest_word("host", known) == "hosts");
  CHECK(nearest_word("tsl", known) == "tls");
  CHECK_FALSE(nearest_word("banana", known));
  CHECK_FALSE(nearest_word("", known));
  CHECK_FALSE(nearest_word(std::string(10000, 'x'), known));
  CHECK(did_you_mean("hots", known) == "did you mean \"hosts\"?");
  CHECK(did_you_mean("banana", known) == "");
}

}  // namespace
}  // namespace postern
