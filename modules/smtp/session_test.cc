// Dialogues: commands, their order, envelopes, limits.
#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

TEST_CASE("a message goes from greeting to QUIT") {
  House house;
  Dialogue talk(house);
  talk.expect(220, "mx.example.org").send("EHLO client.example.org").expect(250).envelope();
  talk.send("DATA").expect(354).raw("Subject: hi\r\n\r\nbody\r\n.\r\n").expect(250, "queued as");
  talk.send("QUIT").expect(221).expect_end();
  REQUIRE(house.messages.size() == 1);
  const Accepted& mail = house.messages[0];
  CHECK(mail.header == "Subject: hi\r\n");
  CHECK(mail.body == "\r\nbody\r\n");
  CHECK(mail.envelope.sender.to_string() == "a@x.example");
  CHECK(mail.prefix.starts_with(
      "Received: from client.example.org (unknown [198.51.100.7])\r\n\tby mx.example.org with ESMTP id "));
  CHECK(mail.prefix.find("for <b@y.example>;") != std::string::npos);
  CHECK(house.policy.disconnects == 1);
  REQUIRE(house.log.last("smtp.accepted"));
  CHECK(house.log.last("smtp.accepted")->field("rcpts") == "1");
  CHECK(house.metrics.accepted.value() == 1);
}

TEST_CASE("EHLO announces what there is, and nothing else") {
  House house;
  Dialogue talk(house);
  talk.hello();
  for (const char* word : {"PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING",
                           "DSN", "PRDR", "LIMITS RCPTMAX=1000 MAILMAX=10000"})
    CHECK_MESSAGE(talk.has(word), word);
  for (const char* word : {"BINARYMIME", "AUTH", "STARTTLS", "XCLIENT"}) CHECK_MESSAGE(!talk.has(word), word);
}

TEST_CASE("HELO is answered with one line and allows no parameters") {
  House house;
  Dialogue talk(house);
  talk.expect(220).send("HELO client.example.org").expect(250);
  CHECK(talk.last() == "250 mx.example.org\r\n");
  talk.send("MAIL FROM:<a@x.example> SIZE=10")
      .expect(555)
      .envelope()
      .send("DATA")
      .expect(354)
      .raw("\r\nx\r\n.\r\n")
      .expect(250);
  CHECK(house.messages.at(0).prefix.find(" with SMTP id ") != std::string::npos);
}

TEST_CASE("commands out of order get 503 and change nothing") {
  House house;
  Dialogue talk(house);
  talk.expect(220).send("MAIL FROM:<a@x.example>").expect(503).send("RCPT TO:<b@y.example>").expect(503);
  talk.send("DATA").expect(503).send("EHLO a.example").expect(250);
  talk.send("RCPT TO:<b@y.example>").expect(503).send("DATA").expect(503);
  talk.send("MAIL FROM:<a@x.example>").expect(250).send("MAIL FROM:<c@x.example>").expect(503);
  talk.send("DATA").expect(503, "recipients").send("AUTH PLAIN").expect(503);
  talk.send("RCPT TO:<b@y.example>").expect(250).send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250);
  talk.send("DATA").expect(503);
  CHECK(house.messages.at(0).envelope.sender.to_string() == "a@x.example");
}

TEST_CASE("RSET and EHLO end a transaction, NOOP does not") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope().send("NOOP whatever").expect(250).send("RSET").expect(250).send("DATA").expect(503);
  talk.envelope().send("EHLO again.example").expect(250).send("RCPT TO:<b@y.example>").expect(503);
  talk.send("RSET now").expect(501).send("DATA now").expect(503).send("QUIT now").expect(501);
}

TEST_CASE("a refused DATA leaves no transaction behind") {
  House house;
  house.policy.at_message = [](Transaction& t) { return FakePolicy::all(t, {550, "5.7.1", "no thanks"}); };
  Dialogue talk(house);
  talk.hello().envelope().send("DATA").expect(354).raw("hi\r\n.\r\n").expect(550, "5.7.1 no thanks");
  talk.send("DATA").expect(503).send("RCPT TO:<c@y.example>").expect(503);
  CHECK(house.messages.empty());
  CHECK(house.policy.refusals.size() == 1);
  REQUIRE(house.log.last("smtp.refused"));
}

TEST_CASE("commands that exist elsewhere answer 502, unknown ones 500") {
  House house;
  Dialogue talk(house);
  talk.hello();
  for (const char* verb : {"SEND FROM:<a@x>", "SOML FROM:<a@x>", "SAML FROM:<a@x>", "TURN", "ETRN x"})
    talk.send(verb).expect(502);
  talk.send("FOO").expect(500).send("").expect(500).send("MAILX FROM:<a@x.example>").expect(500);
  talk.send("EXPN staff").expect(252).send("VRFY joe").expect(252).send("VRFY").expect(501);
  talk.send("HELP")
      .expect(214, "MAIL")
      .send("HELP rcpt")
      .expect(214, "RCPT TO:<friend@example.net>")
      .send("HELP me")
      .expect(504);
  talk.send("LHLO a.example").expect(500).send("XCLIENT ADDR=192.0.2.9").expect(550).send("STARTTLS").expect(454);
}

TEST_CASE("VRFY and EXPN can be turned off") {
  House house("role = \"mx\"", "vrfy = \"disabled\"");
  Dialogue talk(house);
  talk.hello().send("VRFY joe").expect(502).send("EXPN joe").expect(502);
}

TEST_CASE("slips of the hand get an example") {
  House house;
  Dialogue talk(house);
  talk.expect(220)
      .send("EHLO")
      .expect(501, "EHLO client.example.org")
      .send("EHLO joe@example.org")
      .expect(501, "user's address");
  talk.send("HELO not/a_name")
      .expect(501)
      .send("EHLO [192.0.2.9]")
      .expect(250)
      .send("EHLO under_score.example")
      .expect(250);
  talk.send("MAIL FROM <a@x.example>")
      .expect(501, "MAIL FROM:<you@example.org>")
      .send("MAIL FROM: a@x.example")
      .expect(501);
  talk.send("MAIL a@x.example").expect(501).send("MAIL FROM: <a@x.example>").expect(250);
  talk.send("RCPT TO b@y.example").expect(501, "RCPT TO:<friend@example.net>").send("RCPT TO:<b>").expect(501);
  talk.send("RCPT TO:<postmaster>").expect(250).send("RCPT TO:<>").expect(501);
}

TEST_CASE("on submission they are mended") {
  House house("role = \"submission\"\nallow_plaintext_auth = true");
  Dialogue talk(house);
  talk.hello().send("AUTH PLAIN AGpvZQBzZWNyZXQ=").expect(235);
  talk.send("MAIL FROM a@x.example").expect(250).send("RCPT TO: b@y.example").expect(250);
  talk.send("DATA").expect(354).raw("Subject: x\r\nBcc: secret@z.example\r\n\r\nhi\r\n.\r\n").expect(250);
  const Accepted& mail = house.messages.at(0);
  const HeaderBlock header(mail.header);
  CHECK(header.count("Date") == 1);
  CHECK(header.count("Message-ID") == 1);
  CHECK(header.value("From") == "<a@x.example>");
  CHECK(header.count("Bcc") == 0);
  CHECK(mail.prefix.find(" with ESMTPA id ") != std::string::npos);
}

TEST_CASE("submission wants a login before MAIL") {
  House house("role = \"submission\"\nallow_plaintext_auth = true");
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<a@x.example>").expect(530, "5.7.0");
}

TEST_CASE("parameters of MAIL and RCPT are checked") {
  House house("role = \"mx\"", "max_errors = 100");
  Dialogue talk(house);
  talk.hello();
  for (const char* bad : {"SIZE=x", "SIZE=", "SIZE", "BODY=9BIT", "BODY=BINARYMIME", "RET=SOME", "ENVID=", "ENVID=a+zz",
                          "SMTPUTF8=1", "PRDR=1", "SIZE=1 SIZE=2", "=1", "-x", "X=a=b"})
    talk.send(std::string("MAIL FROM:<a@x.example> ") + bad).expect(501);
  for (const char* unknown : {"FOO", "FOO=bar", "AUTH=<>", "REQUIRETLS"})
    talk.send(std::string("MAIL FROM:<a@x.example> ") + unknown).expect(555);
  talk.send("MAIL FROM:<a@x.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ+2B SMTPUTF8").expect(250);
  for (const char* bad : {"NOTIFY=", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SOON", "ORCPT=rfc822", "ORCPT=rfc822;a+b",
                          "NOTIFY=NEVER NOTIFY=NEVER"})
    talk.send(std::string("RCPT TO:<b@y.example> ") + bad).expect(501);
  talk.send("RCPT TO:<b@y.example> FOO=1").expect(555);
  talk.send("RCPT TO:<b@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@z.example").expect(250);
  talk.send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250);
  const Envelope& envelope = house.messages.at(0).envelope;
  CHECK(envelope.ret == DsnReturn::kHeaders);
  CHECK(envelope.envid == "QQ+2B");
  CHECK(envelope.size == 100);
  CHECK(envelope.body == BodyType::k8BitMime);
  CHECK(envelope.smtputf8);
  CHECK(envelope.recipients.at(0).notify == (kNotifySuccess | kNotifyDelay));
  CHECK(envelope.recipients.at(0).orcpt == "rfc822;c+2Bd@z.example");
}

TEST_CASE("extensions that are turned off are unknown") {
  House house("role = \"mx\"", "smtputf8 = false\ndsn = false\nprdr = false\nchunking = false");
  Dialogue talk(house);
  talk.hello();
  for (const char* word : {"SMTPUTF8", "DSN", "PRDR", "CHUNKING"}) CHECK(!talk.has(word));
  for (const char* word : {"SMTPUTF8", "RET=FULL", "PRDR"})
    talk.send(std::string("MAIL FROM:<a@x.example> ") + word).expect(555);
  talk.send("MAIL FROM:<\xC3\xBC@x.example>").expect(501).send("BDAT 3 LAST\r\nabc").expect(502).expect(500);
}

TEST_CASE("addresses outside ASCII need SMTPUTF8") {
  House house;
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<\xC3\xBC@x.example>").expect(553, "5.6.7").send("MAIL FROM:<a@x.example>").expect(250);
  talk.send("RCPT TO:<\xC3\xBC@y.example>").expect(553).send("RSET").expect(250);
  talk.send("MAIL FROM:<\xC3\xBC@x.example> SMTPUTF8").expect(250).send("RCPT TO:<\xC3\xBC@y.example>").expect(250);
  talk.send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250);
  CHECK(house.messages.at(0).prefix.find(" with UTF8SMTP id ") != std::string::npos);
}

TEST_CASE("lines that are too long, or hold what they must not, are refused whole") {
  House house;
  Dialogue talk(house);
  talk.hello().send("NOOP " + std::string(600, 'x')).expect(500).send("NOOP " + std::string(20'000, 'x')).expect(500);
  talk.raw(std::string("NOOP \0\r\n", 8))
      .expect(500)
      .raw("NOOP a\rb\r\n")
      .expect(500)
      .raw("NOOP\n")
      .expect(500, "CR LF");
  talk.send("NOOP").expect(250);
}

TEST_CASE("a verdict of the policy is the answer") {
  House house;
  house.policy.at_rcpt = [](Transaction&, const Recipient& r) {
    if (r.address.local() == "nobody") return Verdict::reject(550, "5.1.1", "no such user");
    if (r.address.local() == "later") return Verdict::defer(451, "4.4.3", "directory is down");
    if (r.address.local() == "moved") return Verdict::reject(551, "5.1.6", "gone; please try <new@z.example>");
    Verdict verdict;
    if (r.address.local() == "forwarded") verdict.reply = {251, "2.1.5", "not local; will forward"};
    return verdict;
  };
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<>").expect(250).send("RCPT TO:<nobody@y.example>").expect(550, "5.1.1");
  talk.send("RCPT TO:<later@y.example>").expect(451).send("RCPT TO:<moved@y.example>").expect(551, "new@z.example");
  talk.send("RCPT TO:<forwarded@y.example>").expect(251).send("RSET").expect(250);
  CHECK(house.policy.refusals == std::vector<std::string>{"RSET"});
  CHECK(house.log.count("smtp.refused") == 3);
}

TEST_CASE("a hook can end the session") {
  House house;
  house.policy.at_mail = [](Transaction&) {
    Verdict verdict = Verdict::reject(554, "5.7.1", "go away");
    verdict.kind = Verdict::Kind::kDisconnect;
    return verdict;
  };
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<a@x.example>").expect(554).expect_end();
}

TEST_CASE("limits: recipients, messages, errors, unknown commands, commands") {
  House house("role = \"mx\"",
              "max_recipients = 2\nmax_messages = 2\nmax_errors = 5\nmax_unknown_commands = 2\nmax_commands = 30");
  {
    Dialogue talk(house);
    talk.hello();
    for (int n = 0; n < 2; ++n) {
      talk.envelope().send("RCPT TO:<c@y.example>").expect(250).send("RCPT TO:<d@y.example>").expect(452, "4.5.3");
      talk.send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
    }
    talk.send("MAIL FROM:<a@x.example>").expect(421).expect_end();
  }
  {
    Dialogue talk(house);
    talk.hello();
    for (int n = 0; n < 6; ++n) talk.send("RCPT TO:<x@y.example>").expect(503);
    talk.expect(421).expect_end();
  }
  {
    Dialogue talk(house);
    talk.hello().send("A").expect(500).send("B").expect(500).send("C").expect(500).expect(421).expect_end();
  }
  {
    Dialogue talk(house);
    talk.hello();
    for (int n = 0; n < 30; ++n) talk.send("NOOP").expect(250);
    talk.expect(421).expect_end();
  }
}

TEST_CASE("a silent client is told and left") {
  House house;
  Dialogue talk(house);
  talk.hello();
  house.sim.run_for(5min + 1s);
  talk.expect(421, "4.4.2").expect_end();
  CHECK(house.server->sessions() == 0);
}

TEST_CASE("a browser is shown the door before its headers can be commands") {
  House house;
  Dialogue talk(house);
  talk.expect(220)
      .raw("POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO a.example\r\nMAIL FROM:<a@x.example>\r\n")
      .expect(500)
      .expect_end();
  CHECK(house.metrics.commands.value() == 1);
}

namespace {
Task<void> slow_goodbye(bool* said) {
  co_await sleep_for(10s);
  *said = true;
}
Task<void> drain_within(House* house, Duration time, bool* done) {
  co_await house->server->drain(Deadline::after(time));
  *done = true;
}
}  // namespace

TEST_CASE("the disconnect hook hears of every end of a greeted session, and keeps no client waiting") {
  House house;
  bool said = false;
  house.policy.at_disconnect = [&](SessionState&) { return slow_goodbye(&said); };
  Dialogue quits(house), leaves(house);
  quits.hello().send("QUIT").expect(221).expect_end();
  CHECK_FALSE(said);  // the client is gone, the hook still waits
  house.sim.run_for(11s);
  CHECK(said);
  leaves.hello().envelope();
  leaves.client().close();
  house.run();
  CHECK(house.policy.disconnects == 2);
  CHECK(house.server->sessions() == 1);
  house.sim.run_for(11s);
  CHECK(house.server->sessions() == 0);
  house.policy.hooked.clear();  // no hook: nobody is called
  Dialogue plain(house);
  plain.hello().send("QUIT").expect(221).expect_end();
  CHECK(house.policy.disconnects == 2);
}

TEST_CASE("a drain lets the hooks of idle sessions run, not beyond its deadline") {
  House house;
  bool said = false;
  house.policy.at_disconnect = [&](SessionState&) { return slow_goodbye(&said); };
  Dialogue one(house);
  one.hello();
  bool done = false;
  SUBCASE("with time") {
    house.nursery->spawn(drain_within(&house, 20s, &done));
    house.sim.run_for(15s);
    CHECK(said);
  }
  SUBCASE("without") {
    house.nursery->spawn(drain_within(&house, 5s, &done));
    house.sim.run_for(6s);
    CHECK_FALSE(said);
  }
  CHECK(done);
  CHECK(house.policy.disconnects == 1);
  CHECK(house.server->sessions() == 0);
}
