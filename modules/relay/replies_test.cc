// Replies that must not be taken for more than they say: what comes after PRDR, 3yz where 2yz is due, and silence.
#include "relay_for_tests.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

struct Host : World {
  explicit Host(std::vector<std::string> extensions) {
    dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
    host.extensions = std::move(extensions);
  }
  FakeHost host{*this, "192.0.2.1"};
  std::vector<AttemptResult> two() {
    auto results = deliver(*mail("a@here.example", {"b@example.org", "c@example.org"}));
    REQUIRE(results.size() == 2);
    return results;
  }
};

using Extensions = std::vector<std::string>;

/// Ways to speak with a host: in one flight, in two, and one command at a time.
std::vector<Extensions> dialects() {
  return {{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}};
}

}  // namespace

TEST_CASE("a yes of PRDR holds only when the message gets one as well") {
  for (const Extensions& extensions :
       {Extensions{"PIPELINING", "PRDR"}, Extensions{"PIPELINING", "CHUNKING", "PRDR"}}) {
    CAPTURE(extensions.size());
    Host world(extensions);
    std::string overall = "451 4.3.0 the disk is full";
    world.host.verdict = [&](const Taken&) { return "353 each\r\n250 2.0.0 first\r\n550 5.7.1 second\r\n" + overall; };
    auto results = world.two();
    CHECK(results[0].kind == Kind::kDeferred);
    CHECK(results[0].reply == Reply{451, "4.3.0", "the disk is full"});
    CHECK(results[1].kind == Kind::kRefused);
    CHECK(results[1].reply.text == "second");
    overall = "554 5.6.0 a virus";
    results = world.two();
    CHECK(results[0].kind == Kind::kRefused);
    CHECK(results[0].reply.text == "a virus");
    CHECK(results[1].reply.text == "second");
    CHECK(world.host.connections == 1);
    overall = "354 more, please";
    results = world.two();
    CHECK(results[0].kind == Kind::kDeferred);
    CHECK(results[0].reply.enhanced == "4.5.0");
    overall = "250 2.0.0 done";
    results = world.two();
    CHECK(results[0].kind == Kind::kDelivered);
    CHECK(results[1].kind == Kind::kRefused);
  }
}

TEST_CASE("when PRDR's last reply is lost a yes may be one, and a no is one") {
  Host world({"PIPELINING", "PRDR"});
  world.host.verdict = [](const Taken&) { return "353 each\r\n250 2.0.0 first\r\n550 5.7.1 second"; };
  world.host.close_after_reply = true;
  const auto results = world.two();
  CHECK(results[0].kind == Kind::kDeferred);
  CHECK(results[0].reply_lost);
  CHECK(results[1].kind == Kind::kRefused);
  CHECK_FALSE(results[1].reply_lost);
}

TEST_CASE("a 3yz to the text is no delivery, and the connection is not used again") {
  for (const Extensions& extensions : dialects()) {
    CAPTURE(extensions.size());
    Host world(extensions);
    world.host.verdict = [](const Taken&) { return "354 go on"; };
    for (const AttemptResult& one : world.two()) {
      CHECK(one.kind == Kind::kDeferred);
      CHECK(one.reply.enhanced == "4.5.0");
      CHECK(one.reply.text.find("354 go on") != std::string::npos);
    }
    world.host.verdict = nullptr;
    CHECK(world.two()[0].kind == Kind::kDelivered);
    CHECK(world.host.connections == 2);
  }
}

TEST_CASE("a 3yz to MAIL or to a recipient accepts nobody") {
  for (const Extensions& extensions : dialects())
    for (const bool mail : {true, false}) {
      CAPTURE(extensions.size());
      CAPTURE(mail);
      Host world(extensions);
      world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
        if (line.starts_with(mail ? "MAIL" : "RCPT TO:<b@")) return "334 go on";
        return std::nullopt;
      };
      const auto results = world.two();
      CHECK(results[0].kind == Kind::kDeferred);
      CHECK(results[0].reply.enhanced == "4.5.0");
      CHECK(results[1].kind == (mail ? Kind::kDeferred : Kind::kDelivered));
    }
}

TEST_CASE("who was in a flight whose replies broke off may have been served, if his RCPT was answered or not") {
  Host world({"PIPELINING", "CHUNKING"});
  world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("RCPT TO:<c@")) return world.host.connections == 1 ? "" : "450 4.2.1 not now";
    return std::nullopt;
  };
  world.host.verdict = [](const Taken&) { return ""; };
  world.host.close_after_reply = true;
  for (const AttemptResult& one : world.two()) {
    CAPTURE(one.recipient);
    CHECK(one.kind == Kind::kDeferred);
    CHECK(one.reply_lost);
  }
}

}  // namespace postern::relay::test
