// When the next host of an attempt is tried, and when it must not be: 4yz, 5yz, replies that were lost.
#include <fmt/format.h>

#include "relay_for_tests.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

using Answer = std::function<std::optional<std::string>(const std::string& line)>;

/// A domain with three hosts, by preference.
struct Three : World {
  explicit Three(const std::string& settings = {}) : World(settings) {
    for (int at = 1; at <= 3; ++at)
      dns.mx("example.org", static_cast<std::uint16_t>(10 * at), fmt::format("mx{}.example.org", at))
          .a(fmt::format("mx{}.example.org", at), fmt::format("192.0.2.{}", at));
  }
  FakeHost first{*this, "192.0.2.1"}, second{*this, "192.0.2.2"}, third{*this, "192.0.2.3"};

  void speak(const std::vector<std::string>& extensions) {
    first.extensions = second.extensions = third.extensions = extensions;
  }
  AttemptResult one() {
    const auto results = deliver(*mail("a@here.example", {"b@example.org"}));
    REQUIRE(results.size() == 1);
    return results[0];
  }
};

/// Ways to speak with a host: in one flight, in two, and one command at a time.
std::vector<std::vector<std::string>> dialects() {
  return {{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}};
}

Answer to(std::string verb, std::string reply) {
  return [verb = std::move(verb), reply = std::move(reply)](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with(verb)) return reply;
    return std::nullopt;
  };
}

}  // namespace

TEST_CASE("a recipient that one host puts off is tried at the next, at whichever command it was put off") {
  for (const auto& extensions : dialects())
    for (const std::string verb : {"220", "EHLO", "MAIL", "RCPT", "DATA", "TEXT"}) {
      CAPTURE(extensions.size());
      CAPTURE(verb);
      if (verb == "DATA" && extensions.size() == 2) continue;
      Three world;
      world.speak(extensions);
      if (verb == "220") world.first.greeting = "451 4.7.1 grey";
      if (verb == "TEXT") world.first.verdict = [](const Taken&) { return "451 4.7.1 grey"; };
      world.first.answer = to(verb, "451 4.7.1 grey");
      const AttemptResult result = world.one();
      CHECK(result.kind == Kind::kDelivered);
      CHECK(result.host == "mx2.example.org [192.0.2.2]");
      CHECK(world.second.mails.size() == 1);
      CHECK(world.third.connections == 0);
    }
}

TEST_CASE("a 421 counts as a 4yz, and the hosts that may answer so are bounded") {
  for (const char* reply : {"451 4.7.1 grey", "421 4.3.2 closing"})
    for (const unsigned most : {1U, 2U, 3U}) {
      CAPTURE(reply);
      CAPTURE(most);
      Three world(fmt::format("max_answering_hosts = {}", most));
      for (FakeHost* host : world.hosts) host->answer = to("MAIL", reply);
      const AttemptResult result = world.one();
      CHECK(result.kind == Kind::kDeferred);
      CHECK(result.host == fmt::format("mx{0}.example.org [192.0.2.{0}]", most));
      CHECK(result.reply.enhanced == std::string_view(reply).substr(4, 5));
      CHECK(world.second.connections == (most > 1 ? 1 : 0));
      CHECK(world.third.connections == (most > 2 ? 1 : 0));
    }
}

TEST_CASE("hosts that cannot be reached do not count as answers, and a 4yz outlives them") {
  Three world;
  world.first.answer = to("RCPT", "450 4.2.1 full");
  world.second.greeting = "SSH-2.0-nonsense";
  world.third.greeting = "554 5.3.2 never";
  const AttemptResult result = world.one();
  CHECK(result.kind == Kind::kDeferred);
  CHECK(result.reply == Reply{450, "4.2.1", "full"});
  CHECK(result.host == "mx1.example.org [192.0.2.1]");
  CHECK(world.second.connections == 1);
  CHECK(world.third.connections == 1);
}

TEST_CASE("each recipient has a fate of its own at each host") {
  Three world;
  world.first.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("RCPT TO:<later@")) return "450 4.2.1 later";
    if (line.starts_with("RCPT TO:<moot@")) return "450 4.2.1 moot";
    if (line.starts_with("RCPT TO:<no@")) return "550 5.1.1 nobody";
    return std::nullopt;
  };
  world.second.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("RCPT TO:<later@")) return "452 4.2.2 still";
    if (line.starts_with("RCPT TO:<moot@")) return "550 5.1.1 after all";
    return std::nullopt;
  };
  const auto results = world.deliver(
      *world.mail("a@here.example", {"yes@example.org", "later@example.org", "no@example.org", "moot@example.org"}));
  REQUIRE(results.size() == 4);
  CHECK(results[0].kind == Kind::kDelivered);
  CHECK(results[1].reply == Reply{452, "4.2.2", "still"});
  CHECK(results[1].host == "mx2.example.org [192.0.2.2]");
  CHECK(results[2].kind == Kind::kRefused);
  CHECK(results[2].host == "mx1.example.org [192.0.2.1]");
  CHECK(results[3].kind == Kind::kRefused);
  CHECK(results[3].reply.text == "after all");
  CHECK(world.second.mails.empty());
  CHECK(world.third.connections == 0);
  std::size_t asked = 0;
  for (const std::string& line : world.second.commands) asked += line.starts_with("RCPT");
  CHECK(asked == 2);
}

TEST_CASE("who may have been served without a reply is for no other host, however little was answered") {
  for (const auto& extensions : dialects())
    for (const bool at_all : {true, false}) {
      if (!at_all && extensions.size() < 2) continue;  // there the text leaves after answers only
      CAPTURE(extensions.size());
      CAPTURE(at_all);
      Three world;
      world.speak(extensions);
      if (!at_all)
        world.first.answer = [](const std::string& line) -> std::optional<std::string> {
          if (line.starts_with("MAIL") || line.starts_with("RCPT")) return "";
          return std::nullopt;
        };
      world.first.verdict = [](const Taken&) { return ""; };
      world.first.close_after_reply = true;
      const AttemptResult result = world.one();
      CHECK(world.first.mails.size() == 1);
      CHECK(result.kind == Kind::kDeferred);
      CHECK(result.reply_lost);
      CHECK(result.host == "mx1.example.org [192.0.2.1]");
      CHECK(world.second.connections == 0);
    }
}

TEST_CASE("an idle connection that ended costs a new one to its host, and no host after that") {
  Three world;
  CHECK(world.one().kind == Kind::kDelivered);
  world.first.reset_after = world.first.octets + 10;
  world.first.greeting = "451 4.3.0 no more";
  const AttemptResult result = world.one();
  CHECK(world.first.connections == 2);
  CHECK(result.kind == Kind::kDeferred);
  CHECK(result.reply_lost);
  CHECK(world.second.connections == 0);
}

TEST_CASE("a text that one host wants in seven bits goes to the next one as it was written") {
  Three world;
  world.first.extensions = {"PIPELINING", "CHUNKING"};
  world.first.verdict = [](const Taken&) { return "451 4.7.1 grey"; };
  const std::string text =
      "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n";
  const auto letter = world.mail("a@here.example", {"b@example.org"}, text);
  letter->envelope.body = BodyType::k8BitMime;
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  REQUIRE(world.first.mails.size() == 1);
  CHECK(world.first.mails[0].text.find("quoted-printable") != std::string::npos);
  REQUIRE(world.second.mails.size() == 1);
  CHECK(world.second.mails[0].text == text);
  CHECK(world.second.mails[0].mail.find("BODY=8BITMIME") != std::string::npos);
}

TEST_CASE("a host that does not forget the transaction before gets no other on that connection") {
  for (const auto& extensions : dialects()) {
    CAPTURE(extensions.size());
    Three world;
    world.speak(extensions);
    world.first.answer = [](const std::string& line) -> std::optional<std::string> {
      if (line.starts_with("RCPT TO:<no@")) return "550 5.1.1 nobody";  // leaves the transaction open
      if (line.starts_with("RSET")) return "500 5.5.1 what?";
      return std::nullopt;
    };
    CHECK(world.deliver(*world.mail("a@here.example", {"no@example.org"}))[0].kind == Kind::kRefused);
    const AttemptResult result = world.one();
    REQUIRE(world.first.mails.size() == 1);
    CHECK(world.second.connections == 0);
    if (extensions.size() == 2) {  // the text was in the same flight, and who knows what became of it
      CHECK(result.kind == Kind::kDeferred);
      CHECK(result.reply_lost);
    } else {
      CHECK(result.kind == Kind::kDelivered);
      CHECK(world.first.mails[0].connection == 1);
    }
  }
}

}  // namespace postern::relay::test
