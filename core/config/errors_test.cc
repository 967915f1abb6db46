// What an administrator reads when a setting is wrong: whole messages, word for word.
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
    {"an unknown key names the nearest known one",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timout = "10m"
)~",
     R"~(postern.toml:3:1: error: unknown key "idle_timout" in [pop3]
  3 | idle_timout = "10m"
    | ^
  did you mean "idle_timeout"?
)~"},
    {"an unknown table names the nearest known one",
     R"~(hostname = "mx.example.org"
[pop33]
x = 1
)~",
     R"~(postern.toml:2:2: error: unknown table [pop33]
  2 | [pop33]
    |  ^
  did you mean "pop3"?
)~"},
    {"a key in the wrong table is sent home",
     R"~(hostname = "mx.example.org"
[pop3]
hostname = "mx.example.net"
)~",
     R"~(postern.toml:3:1: error: unknown key "hostname" in [pop3]
  3 | hostname = "mx.example.net"
    | ^
  "hostname" belongs at the top level, above the first [table]
)~"},
    {"a duration without its unit",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timeout = 600
)~",
     R"~(postern.toml:3:16: error: pop3.idle_timeout should be a duration, but is the integer 600
  3 | idle_timeout = 600
    |                ^
  write it with its unit, in quotes: "30s", "5m", "2h", "1d"
)~"},
    {"a duration that is none",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timeout = "10 parsecs"
)~",
     R"~(postern.toml:3:16: error: pop3.idle_timeout should be a duration, but is "10 parsecs"
  3 | idle_timeout = "10 parsecs"
    |                ^
  write it with its unit, in quotes: "30s", "5m", "2h", "1d"
)~"},
    {"a duration below its range",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timeout = "1m"
)~",
     R"~(postern.toml:3:16: error: pop3.idle_timeout is 1m; the least allowed is 10m
  3 | idle_timeout = "1m"
    |                ^
)~"},
    {"a duration above its range",
     R"~(hostname = "mx.example.org"
[pop3]
idle_timeout = "2d"
)~",
     R"~(postern.toml:3:16: error: pop3.idle_timeout is 2d; the most allowed is 1d
  3 | idle_timeout = "2d"
    |                ^
)~"},
    {"an integer that is none, and two out of range",
     R"~(hostname = "mx.example.org"
[pop3]
max_line = "x"
limits.per_minute = 0
weights = { a = 6 }
)~",
     R"~(postern.toml:3:12: error: pop3.max_line should be an integer, but is "x"
  3 | max_line = "x"
    |            ^
postern.toml:4:21: error: pop3.limits.per_minute is 0; the least allowed is 1
  4 | limits.per_minute = 0
    |                     ^
postern.toml:5:17: error: pop3.weights.a is 6; the most allowed is 5
  5 | weights = { a = 6 }
    |                 ^
)~"},
    {"numbers out of range or not finite",
     R"~(hostname = "mx.example.org"
[pop3]
limits.ratio = 2
strangers.ratio = nan
)~",
     R"~(postern.toml:3:16: error: pop3.limits.ratio is 2; the most allowed is 1
  3 | limits.ratio = 2
    |                ^
postern.toml:4:19: error: pop3.strangers.ratio should be a finite number
  4 | strangers.ratio = nan
    |                   ^
)~"},
    {"a list that is none",
     R"~(hostname = "mx.example.org"
[pop3]
hosts = "localhost"
)~",
     R"~(postern.toml:3:9: error: pop3.hosts should be a list of texts, but is "localhost"
  3 | hosts = "localhost"
    |         ^
  lists stand in brackets: ["one", "two"]
)~"},
    {"a list too short",
     R"~(hostname = "mx.example.org"
[pop3]
hosts = []
)~",
     R"~(postern.toml:3:9: error: pop3.hosts has 0 items; the least allowed is 1
  3 | hosts = []
    |         ^
)~"},
    {"a list too long",
     R"~(hostname = "mx.example.org"
[pop3]
hosts = ["a", "b", "c", "d"]
)~",
     R"~(postern.toml:3:9: error: pop3.hosts has 4 items; the most allowed is 3
  3 | hosts = ["a", "b", "c", "d"]
    |         ^
)~"},
    {"each wrong element of a list",
     R"~(hostname = "mx.example.org"
[pop3]
hosts = ["a", 1, ""]
)~",
     R"~(postern.toml:3:15: error: pop3.hosts[1] should be a text, but is the integer 1
  3 | hosts = ["a", 1, ""]
    |               ^
  texts stand in quotes
postern.toml:3:18: error: pop3.hosts[2] is empty
  3 | hosts = ["a", 1, ""]
    |                  ^
)~"},
    {"a boolean in quotes",
     R"~(hostname = "mx.example.org"
[pop3]
apop = "true"
)~",
     R"~(postern.toml:3:8: error: pop3.apop should be true or false, but is "true"
  3 | apop = "true"
    |        ^
  write true or false, without quotes
)~"},
    {"a size without its unit, and one too large",
     R"~(hostname = "mx.example.org"
[pop3]
buffer = 4096
[[listener]]
address = "[::1]:25"
max_message = "2 GiB"
)~",
     R"~(postern.toml:3:10: error: pop3.buffer should be a size, but is the integer 4096
  3 | buffer = 4096
    |          ^
  write it with its unit, in quotes: "512 KiB", "25 MiB", "1 GB"
postern.toml:6:15: error: listener[0].max_message is 2 GiB; the most allowed is 1 GiB
  6 | max_message = "2 GiB"
    |               ^
)~"},
    {"a word that is not allowed",
     R"~(hostname = "mx.example.org"
[pop3]
policy = "lenent"
)~",
     R"~(postern.toml:3:10: error: pop3.policy is "lenent"; allowed are "strict", "lenient"
  3 | policy = "lenent"
    |          ^
  did you mean "lenient"?
)~"},
    {"an enum in capitals",
     R"~(hostname = "mx.example.org"
[[listener]]
address = "[::1]:25"
role = "MX"
)~",
     R"~(postern.toml:4:8: error: listener[0].role is "MX"; allowed are "mx", "submission"
  4 | role = "MX"
    |        ^
  did you mean "mx"?
)~"},
    {"a line end in a text",
     R"~(hostname = "mx.example.org"
[pop3]
greeting = "a\r\n250 b"
)~",
     R"~(postern.toml:3:12: error: pop3.greeting contains a control character (\x0d)
  3 | greeting = "a\r\n250 b"
    |            ^
  this text must be a single line
)~"},
    {"addresses and networks",
     R"~(hostname = "mx.example.org"
[pop3]
source = "300.1.1.1"
networks = ["10.0.0.0/8", "10.0.0.1/8"]
)~",
     R"~(postern.toml:3:10: error: pop3.source should be an IP address, but is "300.1.1.1"
  3 | source = "300.1.1.1"
    |          ^
  write "192.0.2.1" or "2001:db8::1"
postern.toml:4:27: error: pop3.networks[1] should be an IP network, but is "10.0.0.1/8"
  4 | networks = ["10.0.0.0/8", "10.0.0.1/8"]
    |                           ^
  write "192.0.2.0/24" or "2001:db8::/32", without bits set beyond the prefix
)~"},
    {"an endpoint",
     R"~(hostname = "mx.example.org"
[[listener]]
address = "mx:smtp"
)~",
     R"~(postern.toml:3:11: error: listener[0].address should be an endpoint, but is "mx:smtp"
  3 | address = "mx:smtp"
    |           ^
  write "192.0.2.1:25", "[2001:db8::1]:25" or "unix:/path"
)~"},
    {"a table from names that is none",
     R"~(hostname = "mx.example.org"
[pop3]
weights = 3
)~",
     R"~(postern.toml:3:11: error: pop3.weights should be a table of names, but is the integer 3
  3 | weights = 3
    |           ^
  write [pop3.weights] and below it lines of NAME = value
)~"},
    {"wrong and too many entries of a table from names",
     R"~(hostname = "mx.example.org"
[pop3]
weights = { a = 1, b = 2, c = 3 }
[pop3.limits]
per_minute = [1]
)~",
     R"~(postern.toml:3:1: error: pop3.weights has 3 items; the most allowed is 2
  3 | weights = { a = 1, b = 2, c = 3 }
    | ^
postern.toml:5:14: error: pop3.limits.per_minute should be an integer, but is a list
  5 | per_minute = [1]
    |              ^
)~"},
    {"tables that are none",
     R"~(hostname = "mx.example.org"
listener = 1
domain = "example.org"
[pop3]
limits = 5
strangers = []
)~",
     R"~(postern.toml:2:12: error: listener should be a list of tables, but is the integer 1
  2 | listener = 1
    |            ^
  write [[listener]], once for each
postern.toml:3:10: error: domain should be a table of names, but is "example.org"
  3 | domain = "example.org"
    |          ^
  write [domain.NAME], once for each
postern.toml:5:10: error: pop3.limits should be a table, but is the integer 5
  5 | limits = 5
    |          ^
  write [pop3.limits] on a line of its own, its settings below
postern.toml:6:13: error: pop3.strangers should be a table, but is a list
  6 | strangers = []
    |             ^
  write [pop3.strangers] on a line of its own, its settings below
)~"},
    {"a module's table that is none",
     R"~(hostname = "mx.example.org"
pop3 = true
)~",
     R"~(postern.toml:2:1: error: pop3 should be a table, but is true
  2 | pop3 = true
    | ^
  write [pop3] on a line of its own, its settings below
)~"},
    {"one table where several are meant",
     R"~(hostname = "mx.example.org"
[listener]
address = "[::1]:25"
)~",
     R"~(postern.toml:2:1: error: listener should be a list of tables, but is a table
  2 | [listener]
    | ^
  write [[listener]], once for each
)~"},
    {"a missing key, and unknown ones, in one of several tables",
     R"~(hostname = "mx.example.org"
[[listener]]
address = "[::1]:25"
[[listener]]
proxi = true
)~",
     R"~(postern.toml:4:1: error: the key "address" is missing in listener[1]
  4 | [[listener]]
    | ^
  for example: address = "0.0.0.0:25"
postern.toml:5:1: error: unknown key "proxi" in [listener]
  5 | proxi = true
    | ^
  did you mean "proxy"?
)~"},
    {"what is wrong inside a table by name",
     R"~(hostname = "mx.example.org"
[domain."example.org"]
postmaster = ""
alias = ["example.net"]
)~",
     R"~(postern.toml:3:14: error: domain."example.org".postmaster is empty
  3 | postmaster = ""
    |              ^
postern.toml:4:1: error: unknown key "alias" in [domain."example.org"]
  4 | alias = ["example.net"]
    | ^
  did you mean "aliases"?
)~"},
    {"a missing key at the top level",
     R"~()~",
     R"~(postern.toml: error: the key "hostname" is missing at the top level
  for example: hostname = "mx.example.org"
)~"},
    {"a value that its own check refuses",
     R"~(hostname = "localhost"
)~",
     R"~(postern.toml:1:12: error: hostname is not a full host name
  1 | hostname = "localhost"
    |            ^
)~"},
    {"a check of the whole table",
     R"~(hostname = "mx.example.org"
[pop3]
apop = true
)~",
     R"~(postern.toml:3:8: error: pop3.apop needs pop3.password
  3 | apop = true
    |        ^
)~"},
    {"a secret is never shown",
     R"~(hostname = "mx.example.org"
[pop3]
password = "correct horse"
)~",
     R"~(postern.toml:3:12: error: pop3.password is 13 octets long; the most allowed is 8
)~"},
    {"a secret of the wrong type is never shown",
     R"~(hostname = "mx.example.org"
[pop3]
password = ["sesame"]
)~",
     R"~(postern.toml:3:12: error: pop3.password should be a text, but is something else (not shown, being a secret)
  texts stand in quotes
)~"},
    {"a date where none is wanted",
     R"~(hostname = "mx.example.org"
[pop3]
greeting = 1979-05-27
)~",
     R"~(postern.toml:3:12: error: pop3.greeting should be a text, but is a date or time
  3 | greeting = 1979-05-27
    |            ^
  texts stand in quotes
)~"},
    {"characters of several octets before the caret",
     R"~(hostname = "mx.example.org"
[pop3]
weights = { "ÄÖÜ" = 9 }
)~",
     R"~(postern.toml:3:24: error: pop3.weights."ÄÖÜ" is 9; the most allowed is 5
  3 | weights = { "ÄÖÜ" = 9 }
    |                     ^
)~"},
    {"a warning alone does not stop",
     R"~(hostname = "mx.example.org"
[pop3]
max_line = 2000
)~",
     R"~(postern.toml:3:12: warning: lines of more than 1000 octets [pop3.long-lines]
  3 | max_line = 2000
    |            ^
)~"},
};
// clang-format on

TEST_CASE("messages about settings are word for word these") {
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
