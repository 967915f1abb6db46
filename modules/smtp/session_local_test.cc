// Dialogues on a local listener: this machine's users, known by their processes.
#include "dialogue_for_tests.h"
#include "local_user.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

namespace {

HouseOptions local(std::uint32_t uid, std::string settings = {}) {
  HouseOptions out;
  out.settings = std::move(settings);
  out.listener = "role = \"local\"";
  out.sim.unix_peer_uid = uid;
  out.address = "unix:/run/postern/submission.sock";
  return out;
}

constexpr std::uint32_t kNoSuchUser = 3'999'999'999;  // of no system's user data base

}  // namespace

TEST_CASE("a local client is logged in as its user, who may send as anybody") {
  House house(local(0));
  Dialogue talk(house, std::nullopt);
  talk.hello();
  CHECK(!talk.has("AUTH"));
  CHECK(!talk.has("STARTTLS"));
  CHECK(talk.has("FUTURERELEASE"));
  talk.send("MAIL FROM:<newsletter@anywhere.example>").expect(250).send("RCPT TO:<b@y.example>").expect(250);
  talk.send("DATA").expect(354).raw("Subject: x\r\nBcc: c@z.example\r\n\r\nhi\r\n.\r\n").expect(250);
  REQUIRE(house.messages.size() == 1);
  const Accepted& mail = house.messages[0];
  CHECK(mail.client.auth_user == "unix:root");
  CHECK(mail.client.auth_mechanism == "PEERCRED");
  CHECK(mail.client.role == SessionRole::kLocal);
  CHECK(mail.envelope.sender.to_string() == "newsletter@anywhere.example");
  // RFC 6409 §8, as on every submission port.
  CHECK(mail.header.find("\r\nDate: ") != std::string::npos);
  CHECK(mail.header.find("\r\nMessage-ID: <") != std::string::npos);
  CHECK(mail.header.find("Bcc") == std::string::npos);
  CHECK(mail.prefix.starts_with("Received: by mx.example.org (Postern, from userid 0)\r\n\tid "));
  CHECK(mail.prefix.find("\r\n\tfor <b@y.example>;\r\n\t") != std::string::npos);
  CHECK(mail.prefix.find("from client.example.org") == std::string::npos);
}

TEST_CASE("a user without a name goes by the number") {
  CHECK(system_user(kNoSuchUser) == std::to_string(kNoSuchUser));
  House house(local(kNoSuchUser));
  Dialogue talk(house, std::nullopt);
  talk.hello().envelope().send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250);
  CHECK(house.messages.at(0).client.auth_user == "unix:3999999999");
}

TEST_CASE("whom the system does not tell of sends nothing") {
  House house(local(~0U));
  Dialogue talk(house, std::nullopt);
  talk.hello().send("MAIL FROM:<a@x.example>").expect(530).send("RCPT TO:<b@y.example>").expect(503);
}

TEST_CASE("the user is known before the first hook, and stays in the trail") {
  House house(local(0));
  std::string user;
  house.policy.at_connect = [&](SessionState& s) {
    user = s.client.auth_user;
    return Verdict{};
  };
  std::string trail;
  house.policy.at_mail = [&](Transaction& t) {
    trail = t.session.trail.bytes();
    return Verdict{};
  };
  Dialogue talk(house, std::nullopt);
  talk.hello().envelope();
  CHECK(user == "unix:root");
  CHECK(trail.find("unix:root") != std::string::npos);
}

TEST_CASE("one user may not have all sessions of a local listener") {
  House house(local(0, "max_connections_per_ip = 2"));
  Dialogue first(house, std::nullopt);
  first.hello();
  {
    Dialogue second(house, std::nullopt);
    second.hello();
    Dialogue third(house, std::nullopt);
    third.expect(421);
    second.send("QUIT").expect(221).expect_end();
  }
  Dialogue fourth(house, std::nullopt);
  fourth.hello();
}

TEST_CASE("there is nothing to log in with and nothing to encrypt on a local listener") {
  House house(local(0));
  Dialogue talk(house, std::nullopt);
  talk.hello().send("AUTH PLAIN AGpvZQBzZWNyZXQ=").expect(502).send("STARTTLS").expect(502);
  talk.send("XCLIENT LOGIN=joe").expect(550).envelope();
}
