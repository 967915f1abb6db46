// ETRN (RFC 1985): who may ask, and what is answered.
#include "dialogue_for_tests.h"

namespace postern::smtp::test {

namespace {

constexpr std::string_view kBranch = R"(
role = "mx"
auth = true
allow_plaintext_auth = true
[[smtp.listener.etrn]]
domains = ["branch.example", ".sub.example"]
networks = ["198.51.100.0/24"]
[[smtp.listener.etrn]]
domains = ["joes.example"]
users = ["joe"]
)";

}  // namespace

TEST_CASE("a host that is named may ask for its domains: 253 with the count, 251 when there is nothing") {
  House house{std::string(kBranch)};
  house.queue.waiting = {{"branch.example", 3}};
  Dialogue talk(house);
  talk.hello();
  CHECK(talk.has("250-ETRN"));
  talk.send("ETRN Branch.Example").expect(253, "3 pending messages for node branch.example started");
  talk.send("ETRN a.sub.example").expect(251, "no messages waiting for node a.sub.example");
  CHECK(house.queue.asked == std::vector<std::string>{"branch.example", "a.sub.example"});
}

TEST_CASE("a domain of somebody else, or a stranger's question, is 459 and reaches no queue") {
  House house{std::string(kBranch)};
  Dialogue branch(house);
  branch.hello();
  for (const char* domain : {"else.example", "sub.example", "xbranch.example", "joes.example", "a.branch.example"})
    branch.send("ETRN " + std::string(domain)).expect(459, "4.7.0");
  Dialogue stranger(house, Endpoint::parse("203.0.113.5:40000"));
  stranger.hello().send("ETRN branch.example").expect(459);
  CHECK(house.queue.asked.empty());
}

TEST_CASE("a user may ask for what the user is named for, once logged in") {
  House house{std::string(kBranch)};
  Dialogue talk(house, Endpoint::parse("203.0.113.5:40000"));
  talk.hello().send("ETRN joes.example").expect(459);
  talk.send("AUTH PLAIN " + base64_encode(std::string("\0joe\0secret", 11))).expect(235);
  talk.send("ETRN joes.example").expect(251);
  talk.send("ETRN branch.example").expect(459);
}

TEST_CASE("what is no single domain is told so, and ETRN is no part of a mail") {
  House house{std::string(kBranch)};
  Dialogue talk(house);
  talk.expect(220).send("ETRN branch.example").expect(503);
  talk.send("EHLO client.example.org").expect(250);
  talk.send("ETRN").expect(501);
  talk.send("ETRN not_a_domain..x").expect(501);
  talk.send("ETRN [192.0.2.1]").expect(501);
  talk.send("ETRN #uucp").expect(458);
  talk.send("ETRN @sub.example").expect(458);
  talk.send("MAIL FROM:<a@x.example>").expect(250).send("ETRN branch.example").expect(503);
  talk.send("RSET").expect(250).send("ETRN branch.example").expect(251);
}

TEST_CASE("without anybody who may ask, the command is not there") {
  House house{R"(role = "mx")"};
  Dialogue talk(house);
  talk.hello();
  CHECK_FALSE(talk.has("ETRN"));
  talk.send("ETRN branch.example").expect(502);
}

TEST_CASE(
    "addresses that hold another address pass: their local parts are longer than the least there must be room for") {
  House house{R"(role = "mx")"};
  const std::string local = "SRS0=abcdef=AB=" + std::string(100, 'h') + ".example=ann";
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<" + local + "@forward.example>").expect(250);
  talk.send("RCPT TO:<" + local + "@y.example>").expect(250);
  talk.send("RCPT TO:<" + std::string(260, 'l') + "@y.example>").expect(501);
}

}  // namespace postern::smtp::test
