// Dialogues: an answer for each recipient, on LMTP and with PRDR.
#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

namespace {

/// Recipients named "no" are refused after the text.
Decision split_decision(Transaction& t) {
  Decision decision;
  for (const Recipient& recipient : t.envelope.recipients)
    decision.outcomes.push_back(
        {recipient.address.local() == "no" ? Reply{550, "5.7.1", "not for no"} : Reply{250, "2.1.5", "Ok"}, "test"});
  return decision;
}

Dialogue& to_three(Dialogue& talk, std::string_view mail) {
  talk.send(mail).expect(250).send("RCPT TO:<yes@y.example>").expect(250);
  return talk.send("RCPT TO:<no@y.example>").expect(250).send("RCPT TO:<also@y.example>").expect(250);
}

}  // namespace

TEST_CASE("LMTP says LHLO and answers each recipient") {
  House house("role = \"lmtp\"");
  house.policy.at_message = split_decision;
  Dialogue talk(house);
  talk.expect(220)
      .send("EHLO a.example")
      .expect(500, "LHLO")
      .send("HELO a.example")
      .expect(500)
      .send("MAIL FROM:<a@x.example>")
      .expect(503);
  talk.send("LHLO a.example").expect(250);
  CHECK(!talk.has("PRDR"));
  to_three(talk, "MAIL FROM:<a@x.example>").send("DATA").expect(354).raw("\r\nx\r\n.\r\n");
  talk.expect(250).expect(550, "not for no").expect(250).expect_silence();
  CHECK(house.messages.at(0).prefix.find(" with LMTP id ") != std::string::npos);
}

TEST_CASE("LMTP: what is wrong with the text is said as often as there are recipients") {
  House house("role = \"lmtp\"");
  Dialogue talk(house);
  talk.expect(220).send("LHLO a.example").expect(250);
  to_three(talk, "MAIL FROM:<a@x.example>")
      .send("DATA")
      .expect(354)
      .raw("\r\nx\ny\r\n.\r\n")
      .expect(550)
      .expect(550)
      .expect(550);
  talk.expect_silence();
  house.policy.commit_fault = Fault{"spool.full", ""};
  house.policy.at_message = split_decision;
  to_three(talk, "MAIL FROM:<a@x.example>")
      .raw("BDAT 2 LAST\r\n\r\n")
      .expect(452)
      .expect(550)
      .expect(452)
      .expect_silence();
}

TEST_CASE("LMTP: all refused is said one by one") {
  House house("role = \"lmtp\"");
  house.policy.at_message = [](Transaction& t) { return FakePolicy::all(t, {450, "4.2.2", "full"}); };
  Dialogue talk(house);
  talk.expect(220).send("LHLO a.example").expect(250);
  to_three(talk, "MAIL FROM:<a@x.example>")
      .send("DATA")
      .expect(354)
      .raw("\r\nx\r\n.\r\n")
      .expect(450)
      .expect(450)
      .expect(450)
      .expect_silence();
}

TEST_CASE("PRDR answers each between 353 and a last word") {
  House house;
  house.policy.at_message = split_decision;
  Dialogue talk(house);
  to_three(talk.hello(), "MAIL FROM:<a@x.example> PRDR").send("DATA").expect(354).raw("\r\nx\r\n.\r\n");
  talk.expect(353).expect(250).expect(550).expect(250).expect(250, "queued as").expect_silence();
  CHECK(house.messages.size() == 1);
}

TEST_CASE("PRDR with one recipient, or with nothing to tell apart, gives one answer") {
  House house;
  Dialogue talk(house);
  talk.hello().send("MAIL FROM:<a@x.example> PRDR").expect(250).send("RCPT TO:<b@y.example>").expect(250);
  talk.send("DATA").expect(354).raw("\r\nx\r\n.\r\n").expect(250).expect_silence();
  to_three(talk, "MAIL FROM:<a@x.example> PRDR")
      .send("DATA")
      .expect(354)
      .raw("\r\nx\ny\r\n.\r\n")
      .expect(550)
      .expect_silence();
}

TEST_CASE("without PRDR a message that some recipients refuse is accepted") {
  House house;
  house.policy.at_message = split_decision;
  Dialogue talk(house);
  to_three(talk.hello(), "MAIL FROM:<a@x.example>")
      .send("DATA")
      .expect(354)
      .raw("\r\nx\r\n.\r\n")
      .expect(250)
      .expect_silence();
}
