// What an administrator reads when a file is not TOML: one message, in plain words.
#include <doctest/doctest.h>

#include "core/config/testing.h"

namespace postern {
namespace {

struct Case {
  const char* title;
  const char* text;
  const char* messages;
};

// clang-format off
const Case kCases[] = {
    {"a value forgotten",
     R"~(hostname = "mx.example.org"
[pop3]
apop =
)~",
     R"~(postern.toml:3:7: error: a value is missing here
  3 | apop =
    |       ^
)~"},
    {"a value forgotten at the end",
     R"~(hostname = "mx.example.org"
[pop3]
apop =)~",
     R"~(postern.toml:3:7: error: a key stands here without a value
  3 | apop =
    |       ^
  settings are written key = value
)~"},
    {"a size without quotes",
     R"~(hostname = "mx.example.org"
[pop3]
buffer = 10 KiB
)~",
     R"~(postern.toml:3:13: error: something follows the value that does not belong to it
  3 | buffer = 10 KiB
    |             ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a duration without quotes",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timeout = 10m
)~",
     R"~(postern.toml:3:18: error: this is not a value
  3 | idle_timeout = 10m
    |                  ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a text without quotes",
     R"~(hostname = "mx.example.org"
[pop3]
policy = strict
)~",
     R"~(postern.toml:3:10: error: this is not a value
  3 | policy = strict
    |          ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a text without its closing quote",
     R"~(hostname = "mx.example.org"
[pop3]
policy = "strict
)~",
     R"~(postern.toml:3:17: error: this text has no closing quote on its line
  3 | policy = "strict
    |                 ^
)~"},
    {"a table without its closing bracket",
     R"~(hostname = "mx.example.org"
[pop3
apop = true
)~",
     R"~(postern.toml:2:6: error: this table's name has no closing bracket
  2 | [pop3
    |      ^
)~"},
    {"a list without its closing bracket",
     R"~(hostname = "mx.example.org"
[pop3]
hosts = ["a", "b"
)~",
     R"~(postern.toml:3:18: error: this list has no closing bracket
  3 | hosts = ["a", "b"
    |                  ^
)~"},
    {"a key twice",
     R"~(hostname = "mx.example.org"
[pop3]
apop = true
apop = false
)~",
     R"~(postern.toml:4:8: error: "apop" is defined a second time here
  4 | apop = false
    |        ^
)~"},
    {"a table twice",
     R"~(hostname = "mx.example.org"
[pop3]
[domain]
[pop3]
)~",
     R"~(postern.toml:4:1: error: "pop3" is defined a second time here
  4 | [pop3]
    | ^
  put its settings together in one place; tables that may be repeated are written [[name]]
)~"},
    {"a key without a value",
     R"~(hostname = "mx.example.org"
[pop3]
apop
)~",
     R"~(postern.toml:3:5: error: "=" is missing after the key
  3 | apop
    |     ^
  settings are written key = value
)~"},
    {"a colon for an equals sign",
     R"~(hostname = "mx.example.org"
[pop3]
apop: true
)~",
     R"~(postern.toml:3:5: error: "=" is missing after the key
  3 | apop: true
    |     ^
  settings are written key = value
)~"},
    {"an unknown escape",
     R"~(hostname = "mx.example.org"
[pop3]
greeting = "\q"
)~",
     R"~(postern.toml:3:14: error: "\q" means nothing in a text
  3 | greeting = "\q"
    |              ^
  write \\ for a backslash, or use single quotes
)~"},
    {"a number with a leading zero",
     R"~(hostname = "mx.example.org"
[pop3]
max_line = 0255
)~",
     R"~(postern.toml:3:16: error: a number must not begin with 0
  3 | max_line = 0255
    |                ^
)~"},
    {"a number too large",
     R"~(hostname = "mx.example.org"
[pop3]
max_line = 99999999999999999999
)~",
     R"~(postern.toml:3:32: error: this number is too large
  3 | max_line = 99999999999999999999
    |                                ^
)~"},
    {"a braced table over several lines",
     R"~(hostname = "mx.example.org"
[pop3]
weights = { a = 1,
 b = 2 }
)~",
     R"~(postern.toml:3:19: error: a table in braces must stand on one line
  3 | weights = { a = 1,
    |                   ^
)~"},
    {"a raw control character",
     "hostname = \"mx.example.org\"\n[pop3]\ngreeting = \"\a\"\n",
     R"~(postern.toml:3:13: error: a control character stands here
  3 | greeting = "\x07"
    |             ^
  write it as \uXXXX, or remove it
)~"},
    {"two values on a line",
     R"~(hostname = "mx.example.org"
[pop3]
apop = true policy = "strict"
)~",
     R"~(postern.toml:3:13: error: something follows the value that does not belong to it
  3 | apop = true policy = "strict"
    |             ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a line without a key",
     R"~(hostname = "mx.example.org"
[pop3]
= 1
)~",
     R"~(postern.toml:3:1: error: a key or a [table] should stand here
  3 | = 1
    | ^
  keys of other characters than a-z, 0-9, _ and - stand in quotes
)~"},
    {"a date that is none",
     R"~(hostname = "mx.example.org"
[pop3]
greeting = 1979-13-01
)~",
     R"~(postern.toml:3:19: error: this is not a value
  3 | greeting = 1979-13-01
    |                   ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a misspelt boolean",
     R"~(hostname = "mx.example.org"
[pop3]
apop = tru
)~",
     R"~(postern.toml:3:11: error: this is not a value
  3 | apop = tru
    |           ^
  texts, sizes and durations stand in quotes: "25 MiB", "10m"
)~"},
    {"a table's name that begins with a wrong character",
     R"~(hostname = "mx.example.org"
[pop3]
apop = true
[!pop3]
)~",
     R"~(postern.toml:4:2: error: this table's name is not written as [name] or [[name]]
  4 | [!pop3]
    |  ^
  names of other characters than a-z, 0-9, _ and - stand in quotes
)~"},
    {"a letter beyond ASCII in a bare key",
     R"~(hostname = "mx.example.org"
[pop3]
# schön
länge = "ü"
)~",
     R"~(postern.toml:4:2: error: this character may stand in quotes and comments only
  4 | länge = "ü"
    |  ^
  keys of other characters than a-z, 0-9, _ and - stand in quotes
)~"},
    {"a quote after a number",
     R"~(hostname = "mx.example.org"
[pop3]
max_line = 25 "MiB"
)~",
     R"~(postern.toml:3:15: error: something before this quote does not belong there
  3 | max_line = 25 "MiB"
    |               ^
)~"},
    {"a text joined to a table",
     R"~(hostname = "mx.example.org"
[pop3]
[[pop3]]
)~",
     R"~(postern.toml:3:1: error: "pop3" is defined a second time here
  3 | [[pop3]]
    | ^
  put its settings together in one place; tables that may be repeated are written [[name]]
)~"},
};
// clang-format on

TEST_CASE("messages about syntax are word for word these") {
  for (const Case& each : kCases) {
    CAPTURE(each.title);
    ConfigSchemas schemas;
    config_testing::add_all(schemas);
    Diagnostics diagnostics;
    auto config = Config::parse(schemas, "postern.toml", each.text, diagnostics, "/etc/postern");
    CHECK(diagnostics.render() == each.messages);
    CHECK((config == nullptr) == diagnostics.has_errors());
  }
}

}  // namespace
}  // namespace postern
