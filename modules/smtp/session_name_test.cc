// The name of a client's address: asked for at connect, there when somebody needs it, and nobody waits in vain.
#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

namespace {

constexpr const char* kQuestion = "7.100.51.198.in-addr.arpa";

void name_the_client(House& house, const char* name = "mail.client.example") {
  house.dns.resolver.ptr("198.51.100.7", name).a(name, "198.51.100.7");
}

/// The Received field of one message over `talk`, which was not greeted yet.
std::string received(House& house, Dialogue& talk) {
  talk.hello().envelope().send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
  return house.messages.back().prefix;
}

}  // namespace

TEST_CASE("a name that leads back stands in Received, in the session's facts, in trail and log") {
  House house;
  name_the_client(house);
  Dialogue talk(house);
  CHECK(
      received(house, talk).starts_with("Received: from client.example.org (mail.client.example [198.51.100.7])\r\n"));
  CHECK(house.messages[0].client.reverse_name == "mail.client.example");
  CHECK(house.messages[0].client.reverse_verified);
  CHECK(house.policy.named == std::vector<std::string>{"mail.client.example in mail"});
  REQUIRE(house.log.last("smtp.client-name"));
  CHECK(house.log.last("smtp.client-name")->field("status") == "confirmed");
  CHECK(house.log.last("smtp.client-name")->field("name") == "mail.client.example");
  const std::size_t asked = house.dns.resolver.asked();
  talk.envelope().send("DATA").expect(354).raw("\r\n.\r\n").expect(250);  // once for a session
  CHECK(house.messages[1].client.reverse_name == "mail.client.example");
  CHECK(house.dns.resolver.asked() == asked);
}

TEST_CASE("an address without a name is unknown, and a claimed name is shown as one") {
  {
    House house;
    Dialogue talk(house);
    CHECK(received(house, talk).starts_with("Received: from client.example.org (unknown [198.51.100.7])"));
    CHECK(house.log.last("smtp.client-name")->field("status") == "none");
  }
  House house;
  house.dns.resolver.ptr("198.51.100.7", "bank.example").a("bank.example", "203.0.113.1");
  Dialogue talk(house);
  CHECK(received(house, talk).starts_with("Received: from client.example.org (bank.example (may be forged) "));
  CHECK_FALSE(house.messages[0].client.reverse_verified);
  CHECK(house.log.last("smtp.client-name")->field("status") == "unconfirmed");
}

TEST_CASE("without hooks nobody waits for a slow name before the text is there") {
  House house;
  name_the_client(house);
  house.dns.resolver.delay(kQuestion, 3s);
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw("\r\n.\r\n").wait(2s).expect_silence().wait(2s).expect(250);
  CHECK(house.messages.at(0).client.reverse_name == "mail.client.example");
}

TEST_CASE("the first hook that could read the name waits for it") {
  for (const Stage stage : {Stage::kConnect, Stage::kEhlo, Stage::kMail, Stage::kRcpt, Stage::kData}) {
    CAPTURE(to_string(stage));
    House house;
    name_the_client(house);
    house.dns.resolver.delay(kQuestion, 2s);
    house.policy.hooked.insert(stage);
    std::string seen;
    const auto look = [&](Stage at, const SessionState& session) {
      if (at == stage) seen = session.client.reverse_name + (session.reverse ? "!" : "");
      return Verdict{};
    };
    house.policy.at_connect = [&](SessionState& s) { return look(Stage::kConnect, s); };
    house.policy.at_ehlo = [&](SessionState& s) { return look(Stage::kEhlo, s); };
    house.policy.at_mail = [&](Transaction& t) { return look(Stage::kMail, t.session); };
    house.policy.at_rcpt = [&](Transaction& t, const Recipient&) { return look(Stage::kRcpt, t.session); };
    house.policy.at_data = [&](Transaction& t) { return look(Stage::kData, t.session); };
    Dialogue talk(house);
    talk.raw("EHLO c.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n\r\n.\r\n");
    talk.wait(1s);
    CHECK(seen.empty());
    talk.wait(2s).expect(220).expect(250).expect(250).expect(250).expect(354).expect(250);
    CHECK(seen == "mail.client.example!");
    const bool in_mail = stage == Stage::kRcpt || stage == Stage::kData;
    if (stage == Stage::kConnect)
      CHECK(house.policy.named.empty());  // connect() writes it down itself
    else
      CHECK(house.policy.named ==
            std::vector<std::string>{in_mail ? "mail.client.example in mail" : "mail.client.example"});
  }
}

TEST_CASE("a name that does not come in time is unknown, and the mail goes on") {
  House house("role = \"mx\"", "reverse_timeout = \"2s\"");
  name_the_client(house);
  house.dns.resolver.delay(kQuestion, 1min);
  house.policy.hooked.insert(Stage::kConnect);
  Dialogue talk(house);
  talk.wait(1s).expect_silence().wait(2s).expect(220);
  talk.send("EHLO client.example.org").expect(250).envelope().send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
  CHECK(house.messages.at(0).prefix.find("(unknown [198.51.100.7])") != std::string::npos);
  CHECK(house.log.last("smtp.client-name")->field("status") == "temporary");
}

TEST_CASE("who is asked for: mx clients elsewhere; loopback only when wished for, others not at all") {
  const auto questions = [](const char* listener, const char* from) {
    House house(listener);
    Dialogue talk(house, Endpoint::parse(from));
    talk.expect(220);
    house.run();
    return house.dns.resolver.asked();
  };
  CHECK(questions("role = \"mx\"", "198.51.100.7:1") > 0);
  CHECK(questions("role = \"mx\"", "127.0.0.1:1") == 0);
  CHECK(questions("role = \"mx\"", "[::1]:1") == 0);
  CHECK(questions("role = \"mx\"\nreverse_lookup = \"off\"", "198.51.100.7:1") == 0);
  CHECK(questions("role = \"mx\"\nreverse_lookup = \"all\"", "127.0.0.1:1") > 0);
  CHECK(questions("role = \"submission\"", "198.51.100.7:1") == 0);
  CHECK(questions("role = \"submission\"\nreverse_lookup = \"on\"", "198.51.100.7:1") > 0);
}

TEST_CASE("a client of loopback has its name where that is wished for") {
  House house("role = \"mx\"\nreverse_lookup = \"all\"");
  house.dns.resolver.ptr("127.0.0.1", "localhost").a("localhost", "127.0.0.1");
  Dialogue talk(house, Endpoint::parse("127.0.0.1:4000"));
  CHECK(received(house, talk).starts_with("Received: from client.example.org (localhost [127.0.0.1])"));
}

TEST_CASE("a session that ends before the answer leaves nothing behind, and a drain does not wait for it") {
  House house;
  house.dns.resolver.delay(kQuestion, 1min);
  {
    Dialogue talk(house);
    talk.hello().send("QUIT").expect(221).expect_end();
  }
  house.sim.run_for(6s);
  CHECK(house.log.count("smtp.client-name") == 1);  // its disconnect hook waited, not beyond the time
  Dialogue other(house);
  other.expect(220);
  house.policy.hooked.clear();
  other.send("QUIT").expect(221).expect_end();
  CHECK(house.server->sessions() == 0);
}

TEST_CASE("XCLIENT: another address has another name; a declared name is believed") {
  House house("xclient = [\"198.51.100.7/32\"]");
  name_the_client(house);
  house.dns.resolver.ptr("203.0.113.9", "other.example").a("other.example", "203.0.113.9");
  const auto facts = [&](std::string_view attributes) {
    Dialogue talk(house);
    talk.hello().send("XCLIENT " + std::string(attributes)).expect(220);
    talk.send("EHLO x.example").expect(250).envelope().send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
    const std::string& prefix = house.messages.back().prefix;
    return prefix.substr(prefix.find('('), prefix.find('\r') - prefix.find('('));
  };
  CHECK(facts("ADDR=203.0.113.9") == "(other.example [203.0.113.9])");
  CHECK(facts("ADDR=203.0.113.9 NAME=said.example") == "(said.example [203.0.113.9])");
  CHECK(facts("ADDR=203.0.113.9 NAME=[UNAVAILABLE]") == "(unknown [203.0.113.9])");
  CHECK(facts("NAME=[TEMPUNAVAIL]") == "(unknown [198.51.100.7])");
  CHECK(facts("LOGIN=joe") == "(mail.client.example [198.51.100.7])");
}
