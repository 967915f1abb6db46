// The words of marks, there and back, and what others wrote before.
#include "marks.h"

#include <doctest/doctest.h>

namespace postern::queue {

TEST_CASE("a hold by a hook is read again behind the other words of a note, with its time and reason") {
  const HookHold hold{WallTime(std::chrono::seconds(1'763'816'400)), "night: not before six"};
  CHECK(hold.note() == "held since 1763816400; night: not before six");
  for (const std::string before : {"", "maybe sent; ", "warning owed; ", "warning owed; maybe sent; "}) {
    CAPTURE(before);
    const auto read = HookHold::of(before + hold.note());
    REQUIRE(read);
    CHECK(read->since == hold.since);
    CHECK(read->why == hold.why);
    CHECK(plain_note(before + hold.note()) == hold.why);
  }
  for (const char* other : {"", "relay.deferred: busy", "held since yesterday; x", "held since 17", "maybe sent; busy"})
    CHECK_FALSE(HookHold::of(other));
  CHECK(plain_note("warning owed; maybe sent; busy") == "busy");
}

TEST_CASE("a hold counts while its time lasts and its recipient waits") {
  const WallTime now(std::chrono::seconds(1'000'000));
  RecipientInfo info;
  info.note = HookHold{now, "x"}.note();
  info.next_attempt = now + std::chrono::seconds(1);
  CHECK(hook_hold(info, now));
  CHECK_FALSE(hook_hold(info, info.next_attempt));
  info.state = RecipientState::kDone;
  CHECK_FALSE(hook_hold(info, now));
}

TEST_CASE("what administrators decided stands side by side in one mark, and older marks are understood") {
  RouteMark mark{.released = true, .let_go = true, .gateway = "mx.example.org:26"};
  CHECK(mark.text() == "released; let go; gateway mx.example.org:26");
  const RouteMark again = RouteMark::of(mark.text());
  CHECK((again.released && again.let_go && again.gateway == mark.gateway));
  CHECK(RouteMark::of("released").text() == "released");
  CHECK(RouteMark::of("gateway inside").text() == "gateway inside");
  CHECK(RouteMark::of("let go; gateway released").gateway == "released");
  CHECK(RouteMark::of("").text().empty());
}

}  // namespace postern::queue
