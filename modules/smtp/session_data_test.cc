// Dialogues: DATA, BDAT, smuggling, sizes, pipelining cut at every octet.
#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

namespace {
std::string body_of(const Accepted& mail) {
  return mail.header + mail.body;
}
}  // namespace

TEST_CASE("stuffed dots are taken out, and only those") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw("\r\n..\r\n...\r\n.x\r\na.\r\n. \r\n.\r\n").expect(250);
  CHECK(body_of(house.messages.at(0)) == "\r\n.\r\n..\r\nx\r\na.\r\n \r\n");
}

TEST_CASE("an empty message is a message") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw(".\r\n").expect(250);
  CHECK(body_of(house.messages.at(0)) == "");
  CHECK(house.messages.at(0).prefix.starts_with("Received: "));
}

TEST_CASE("nothing but CRLF.CRLF ends a message, so nothing can be smuggled behind it") {
  const std::string smuggled =
      "MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n";
  for (const std::string_view end : {"\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\r\n.\n",
                                     "\r\n.\r\r\n", "\r\n.\n\r\n", "\r\n.\r \n"}) {
    CAPTURE(end);
    House house;
    Dialogue talk(house);
    talk.hello().envelope().send("DATA").expect(354).raw("Subject: a\r\n\r\nhello").raw(end).raw(smuggled).raw(".\r\n");
    talk.expect(550, "CR or LF").expect_silence().send("NOOP").expect(250);
    CHECK(house.messages.empty());
  }
}

TEST_CASE("with normalize a bare LF becomes a line end, but still ends nothing") {
  House house("role = \"mx\"", "bare_newline = \"normalize\"");
  Dialogue talk(house);
  talk.expect(220).raw("EHLO a.example\n").expect(250).envelope().send("DATA").expect(354);
  talk.raw("\r\na\nb\n.\nc\r\n.\nd\n.\r\ne\rf\r\n.\r\n").expect(250).expect_silence();
  // In "CRLF . LF" the dot was stuffed: it stood behind CRLF. In "LF . CRLF" it was not.
  CHECK(body_of(house.messages.at(0)) == "\r\na\r\nb\r\n.\r\nc\r\n\r\nd\r\n.\r\ne f\r\n");
}

TEST_CASE("NUL is refused, and so is a line over the limit") {
  House house("role = \"mx\"", "max_line = \"998 B\"");
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw(std::string_view("\r\na\0b\r\n.\r\n", 10)).expect(550, "NUL");
  talk.envelope().send("DATA").expect(354).raw("\r\n" + std::string(999, 'x') + "\r\n.\r\n").expect(550, "line");
  talk.envelope().send("DATA").expect(354).raw("\r\n" + std::string(998, 'x') + "\r\n.\r\n").expect(250);
}

TEST_CASE("messages over the limit are refused, as announced or as they are") {
  House house("role = \"mx\"\nmax_message_size = \"64 KiB\"");
  Dialogue talk(house);
  talk.hello()
      .send("MAIL FROM:<a@x.example> SIZE=65537")
      .expect(552, "5.3.4")
      .send("MAIL FROM:<a@x.example> SIZE=99999999999999999999")
      .expect(552);
  std::string big = "\r\n";
  while (big.size() <= 65536) big += std::string(70, 'x') + "\r\n";
  talk.envelope().send("DATA").expect(354).raw(big + ".\r\n").expect(552, "5.3.4");
  talk.send("MAIL FROM:<a@x.example>").expect(250).send("RCPT TO:<b@y.example>").expect(250);
  talk.send("BDAT " + std::to_string(big.size()) + " LAST").raw(big).expect(552);
  talk.envelope().send("DATA").expect(354).raw("\r\nsmall\r\n.\r\n").expect(250);
  CHECK(house.messages.size() == 1);
}

TEST_CASE("who sends without end is cut off") {
  House house("role = \"mx\"\nmax_message_size = \"64 KiB\"");
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354);
  const std::string line = std::string(998, 'x') + "\r\n";
  for (int n = 0; n < 1300; ++n) talk.raw(line);
  talk.expect(552).expect(421).expect_end();
}

TEST_CASE("a message that loops is refused") {
  House house("role = \"mx\"", "max_received = 10");
  Dialogue talk(house);
  std::string hops;
  for (int n = 0; n < 10; ++n) hops += "Received: from a by b; Sat, 21 Nov 2026 10:00:00 +0000\r\n";
  talk.hello().envelope().send("DATA").expect(354).raw(hops + "\r\nx\r\n.\r\n").expect(250);
  talk.envelope().send("DATA").expect(354).raw("Received: one more\r\n" + hops + "\r\nx\r\n.\r\n").expect(554, "5.4.6");
}

TEST_CASE("an incoming Return-Path goes, and a text without header stays a text") {
  House house;
  Dialogue talk(house);
  talk.hello()
      .envelope()
      .send("DATA")
      .expect(354)
      .raw("Return-Path: <liar@z.example>\r\nSubject: x\r\n\r\nhi\r\n.\r\n")
      .expect(250);
  CHECK(body_of(house.messages.at(0)) == "Subject: x\r\n\r\nhi\r\n");
  talk.envelope().send("DATA").expect(354).raw("just words\r\n.\r\n").expect(250);
  CHECK(body_of(house.messages.at(1)) == "\r\njust words\r\n");
}

TEST_CASE("the data hook sees the header and can refuse before the text is stored") {
  House house;
  std::string seen;
  house.policy.at_data = [&](Transaction& t) {
    seen = t.headers();
    return Verdict::reject(554, "5.7.1", "no such subjects");
  };
  Dialogue talk(house);
  talk.hello()
      .envelope()
      .send("DATA")
      .expect(354)
      .raw("Subject: spam\r\n\r\nx\r\n.\r\n")
      .expect(554, "no such subjects");
  CHECK(seen == "Subject: spam\r\n");
}

TEST_CASE("a full spool is 452, any other fault 451, and the session goes on") {
  House house;
  Dialogue talk(house);
  talk.hello();
  house.policy.commit_fault = Fault{"spool.full", "no space"};
  talk.envelope().send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(452, "4.3.1");
  house.policy.commit_fault = Fault{"spool.latched", "sync failed on /secret/path"};
  talk.envelope().send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(451, "4.3.0");
  CHECK(!talk.has("secret"));
  house.policy.commit_fault.reset();
  talk.envelope().send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250);
}

TEST_CASE("a client that leaves within the text leaves nothing") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw("\r\nhalf a mess");
  house.run();
  talk.client().close();
  house.run();
  CHECK(house.messages.empty());
  CHECK(house.server->sessions() == 0);
  CHECK(house.policy.refusals.size() == 1);
}

TEST_CASE("BDAT takes chunks as they are, dots and all") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope().raw("BDAT 14\r\nSubject: x\r\n\r\n").expect(250, "14 octets");
  talk.raw("BDAT 6\r\n.\r\na\r\n")
      .expect(250)
      .raw("BDAT 0\r\n")
      .expect(250)
      .raw("BDAT 3 LAST\r\n..b")
      .expect(250, "queued");
  CHECK(body_of(house.messages.at(0)) == "Subject: x\r\n\r\n.\r\na\r\n..b\r\n");
  talk.envelope().raw("BDAT 4\r\n\r\nx\r").expect(250, "4 octets");
  talk.raw("\n").expect(500);  // the chunk ended within CRLF: its LF is not ours to guess
  talk.send("RSET").expect(250);
}

TEST_CASE("BDAT LAST may be empty, and a CRLF may lie across chunks") {
  House house;
  Dialogue talk(house);
  talk.hello()
      .envelope()
      .raw("BDAT 4\r\n\r\nx\r")
      .expect(250)
      .raw("BDAT 1\r\n\n")
      .expect(250)
      .raw("BDAT 0 LAST\r\n")
      .expect(250, "queued");
  CHECK(body_of(house.messages.at(0)) == "\r\nx\r\n");
  talk.envelope().raw("BDAT 0 LAST\r\n").expect(250, "queued");
  talk.envelope().raw("BDAT 2 LAST\r\na\r").expect(550, "CR or LF");
}

TEST_CASE("BDAT out of place swallows its chunk, so that it is not taken for commands") {
  House house;
  Dialogue talk(house);
  talk.expect(220).raw("BDAT 6\r\nRSET\r\n").expect(503).send("EHLO a.example").expect(250);
  talk.raw("BDAT 6 LAST\r\nQUIT\r\n").expect(503, "MAIL").send("MAIL FROM:<a@x.example>").expect(250);
  talk.raw("BDAT 6\r\nQUIT\r\n").expect(503, "recipients").send("RCPT TO:<b@y.example>").expect(250);
  talk.raw("BDAT 6\r\n\r\nhi\r\n").expect(250).send("DATA").expect(503).send("RCPT TO:<c@y.example>").expect(503);
  talk.send("MAIL FROM:<a@x.example>")
      .expect(503)
      .send("NOOP")
      .expect(250)
      .raw("BDAT 0 LAST\r\n")
      .expect(250, "queued");
  CHECK(house.messages.size() == 1);
}

TEST_CASE("a BDAT whose size is no number ends the session") {
  for (const char* bad : {"BDAT", "BDAT x", "BDAT -1", "BDAT 5 FIRST", "BDAT 5LAST", "BDAT 999999999999999999999"}) {
    CAPTURE(bad);
    House house;
    Dialogue talk(house);
    talk.hello().envelope().send(bad).expect(501).expect_end();
  }
}

TEST_CASE("after a refused chunk only RSET goes on") {
  House house;
  house.policy.at_data = [](Transaction&) { return Verdict::reject(554, "5.7.1", "no"); };
  Dialogue talk(house);
  talk.hello().envelope().raw("BDAT 8\r\nA: b\r\n\r\nBDAT 3\r\nabcBDAT 2 LAST\r\n\r\n");
  talk.expect(554).expect(503).expect(503).send("RCPT TO:<c@y.example>").expect(503).send("DATA").expect(503);
  house.policy.at_data = {};
  talk.send("RSET").expect(250).envelope().raw("BDAT 2 LAST\r\n\r\n").expect(250);
}

TEST_CASE("a pipelined conversation has the same end wherever it is cut") {
  const std::string talk =
      "EHLO a.example\r\nMAIL FROM:<a@x.example> SIZE=20\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\nDATA\r\n"
      "Subject: 1\r\n\r\n..dot\r\nend\r\n.\r\nMAIL FROM:<d@x.example>\r\nRCPT TO:<e@y.example>\r\n"
      "BDAT 8\r\nA: b\r\n\r\nBDAT 5 LAST\r\n.\r\nx\nNOOP\r\nRSET\r\nQUIT\r\n";
  std::string whole;
  for (std::size_t cut = 0; cut <= talk.size(); ++cut) {
    CAPTURE(cut);
    House house("role = \"mx\"", "bare_newline = \"normalize\"");
    auto wire = house.wire();
    wire->deliver(talk.substr(0, cut));
    house.run();
    wire->deliver(talk.substr(cut));
    house.run();
    // Ids differ; all else must not.
    std::string said;
    for (const std::string_view line : split(wire->sent, '\n'))
      said += std::string(line.substr(0, line.find(" as "))) + "\n";
    if (whole.empty()) whole = said;
    CHECK(said == whole);
    REQUIRE(house.messages.size() == 2);
    CHECK(body_of(house.messages[0]) == "Subject: 1\r\n\r\n.dot\r\nend\r\n");
    CHECK(body_of(house.messages[1]) == "A: b\r\n\r\n.\r\nx\r\n");
    CHECK(wire->ended);
  }
  CHECK(whole.find("221 2.0.0") != std::string::npos);
}

TEST_CASE("pipelined MAIL, RCPT and DATA are answered by one write") {
  House house;
  auto wire = house.wire();
  wire->deliver("EHLO a.example\r\n");
  house.run();
  const std::size_t before = wire->writes;
  wire->deliver("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n");
  house.run();
  CHECK(wire->writes == before + 1);
  CHECK(wire->sent.ends_with("354 End your message with a line of a single dot\r\n"));
  wire->deliver("\r\nx\r\n.\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n\r\ny\r\n.\r\n");
  house.run();
  CHECK(house.messages.size() == 2);
}

TEST_CASE("an octet at a time is enough") {
  House house;
  auto wire = house.wire();
  for (const char c : std::string(
           "EHLO a.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n\r\n..\r\n.\r\nQUIT\r\n")) {
    wire->deliver({&c, 1});
    house.run();
  }
  REQUIRE(house.messages.size() == 1);
  CHECK(body_of(house.messages[0]) == "\r\n.\r\n");
  CHECK(wire->ended);
}

TEST_CASE("a text that never ends meets its deadline, however often something comes") {
  House house("role = \"mx\"", "transfer_timeout = \"60s\"\ndata_timeout = \"10s\"");
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354);
  for (int n = 0; n < 8; ++n) {
    talk.raw("x");
    house.sim.run_for(8s);
  }
  talk.expect(421, "4.4.2").expect_end();
  CHECK(house.messages.empty());
}

TEST_CASE("the chunk of a BDAT that cannot be understood is never taken for commands") {
  for (const std::string_view line : {"BDAT 26 LAST\n", "bdat 26 LAST\x01\r\n"}) {
    CAPTURE(line);
    House house;
    Dialogue talk(house);
    talk.hello().envelope().raw(line).raw("RSET\r\nVRFY injected\r\nQUIT\r\n");
    talk.expect(500).expect_end();
  }
  House house;
  Dialogue talk(house);
  talk.hello().envelope().raw("BDAT 26" + std::string(700, ' ') + "LAST\r\n").raw("RSET\r\nQUIT\r\n");
  talk.expect(500).expect_end();
}
