#include <doctest/doctest.h>

#include "core/pipeline/trail_reader.h"
#include "postern/random.h"
#include "postern/trail.h"

namespace postern {
namespace {

Trail sample() {
  Trail trail;
  trail.start(WallTime(std::chrono::seconds(1767225600)), "4f1c", 0xabcULL);
  trail.fact(Stage::kEhlo, "ehlo", "client.example");
  trail.gate(Stage::kRcpt, "bob@ours.example", "stranger/anonymous/account", "deliver");
  trail.rule(Stage::kMessage, "root#2", "gateway.lua:12", "0-1", "0", 7);
  trail.effect(Stage::kMessage, "dns.a", "2.0.0.127.bl.example", "127.0.0.2", 12'345);
  trail.edit(Stage::kMessage, "set_header", "X-Seen: yes");
  trail.verdict(Stage::kMessage, "root#2", "reject 550 5.7.1 no");
  trail.error(Stage::kMessage, "root#3", "rule.threw at a.lua:1: oops");
  trail.reply(Stage::kMessage, 550, "no");
  return trail;
}

TEST_CASE("a trail's bytes are what TRAIL.md says") {
  Trail trail;
  trail.fact(Stage::kEhlo, "ehlo", "x");
  const std::string expected(
      "\x01\x0c\x02\x01\x00\x04"
      "ehlo\x00\x00\x01x",
      14);
  CHECK(trail.bytes() == expected);
}

TEST_CASE("a trail is told as a story") {
  const auto entries = Trail::decode(sample().bytes());
  REQUIRE(entries);
  CHECK(render_story(*entries) ==
        "2026-01-01 00:00:00.000000 UTC session 4f1c under configuration abc\n"
        "  ehlo\n"
        "    ehlo: client.example\n"
        "  rcpt\n"
        "    gate: bob@ours.example is stranger/anonymous/account -> deliver\n"
        "  message\n"
        "    rule root#2 at gateway.lua:12 looked at [0-1] and selected [0] (7 us)\n"
        "    asked dns.a 2.0.0.127.bl.example -> 127.0.0.2 (12.3 ms)\n"
        "    set_header changed the header: X-Seen: yes\n"
        "    root#2 decided: reject 550 5.7.1 no\n"
        "    FAILED root#3: rule.threw at a.lua:1: oops\n"
        "    answered 550 no\n");
}

TEST_CASE("a trail is bounded, and its outcome is kept beyond the bound") {
  Trail trail;
  const std::string long_text(3000, 'x');
  for (int i = 0; i < 100; ++i) trail.fact(Stage::kMessage, "noise", long_text);
  trail.verdict(Stage::kMessage, "root#1", "the end");
  CHECK(trail.bytes().size() <= Trail::kLimit);
  const auto entries = Trail::decode(trail.bytes());
  REQUIRE(entries);
  CHECK(entries->back().answer == "the end");
  const auto omitted = std::find_if(entries->begin(), entries->end(),
                                    [](const TrailEntry& e) { return e.kind == TrailEntry::Kind::kOmitted; });
  REQUIRE(omitted != entries->end());
  const auto kept = static_cast<std::size_t>(std::count_if(
      entries->begin(), entries->end(), [](const TrailEntry& e) { return e.kind == TrailEntry::Kind::kFact; }));
  CHECK(std::to_string(100 - kept) == omitted->answer);
  for (int i = 0; i < 100'000; ++i) trail.verdict(Stage::kMessage, "root#1", "more");
  CHECK(trail.bytes().size() <= Trail::kLimit);
  CHECK(Trail::decode(trail.bytes()));
}

TEST_CASE("damaged trails are faults or entries, never a crash") {
  const std::string bytes = sample().bytes();
  for (std::size_t size = 1; size < bytes.size(); ++size) static_cast<void>(Trail::decode(bytes.substr(0, size)));
  CHECK(Trail::decode("\x02").error().code == "trail.version");
  Prng random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) damaged[random.below(damaged.size())] = static_cast<char>(random.next());
    if (auto entries = Trail::decode(damaged)) static_cast<void>(render_story(*entries));
  }
}

TEST_CASE("what a peer wrote cannot play with the terminal of whoever reads the story") {
  Trail trail;
  trail.fact(Stage::kEhlo, "ehlo", "\x1b[2Jx\n");
  CHECK(render_story(*Trail::decode(trail.bytes())).find("\\x1b[2Jx\\x0a") != std::string::npos);
}

}  // namespace
}  // namespace postern
