// Mailets that bring in mail: what they send, to whom, and when they leave it.
#include <doctest/doctest.h>

#include "bring.h"
#include "mailets_for_tests.h"
#include "postern/mime.h"

namespace postern::mailets {
namespace {

ScriptValue strings(std::vector<std::string> items) {
  ScriptValue::List out;
  for (std::string& one : items) out.push_back({std::move(one), {}});
  return {std::move(out), {}};
}

TEST_CASE("forward sends the mail on as it is at its place, and ends it for its recipients") {
  Mail m("Subject: hello\r\nReceived: from a by b; date\r\n");
  m.draft->prepend("Received: by us\r\n");
  m.mail.edits.append("X-Checked", "yes");
  m.mail.envelope.recipients[0].notify = kNotifySuccess;
  const auto result = m.act("forward", strings({"carol@foreign.example", "eve@ours.example"}), only(0));
  REQUIRE(result);
  CHECK(result->kind == ActionResult::Kind::kFinal);
  CHECK(result->verdict.kind == Verdict::Kind::kDiscard);
  CHECK(result->verdict.reason == "sent on: forward carol@foreign.example, eve@ours.example");
  REQUIRE(m.mail.brought.size() == 1);
  const BroughtMail& sent = m.mail.brought[0];
  CHECK(sent.envelope.sender == m.mail.envelope.sender);
  REQUIRE(sent.envelope.recipients.size() == 2);
  CHECK(sent.envelope.recipients[0].address == address("carol@foreign.example"));
  CHECK(sent.envelope.recipients[0].orcpt == "rfc822;bob@ours.example");
  CHECK(sent.envelope.recipients[0].notify == kNotifySuccess);
  CHECK(sent.fixed_recipients);
  CHECK(m.whole() ==
        "Received: by us\r\nSubject: hello\r\nReceived: from a by b; date\r\nX-Checked: yes\r\n\r\nbody\r\n");
}

TEST_CASE("a mail is not sent again by what sent it") {
  Mail m;
  m.mail.brought_by = {"copy_to eve@ours.example", "forward bob@ours.example"};
  CHECK(m.act("forward", value("bob@ours.example"))->kind == ActionResult::Kind::kNext);
  CHECK(m.act("copy_to", value("eve@ours.example"))->kind == ActionResult::Kind::kNext);
  CHECK(m.mail.brought.empty());
  CHECK(m.facts().contains("not again: forward bob@ours.example"));
  CHECK(m.act("forward", value("eve@ours.example"))->kind == ActionResult::Kind::kFinal);
  CHECK(m.mail.brought.size() == 1);
}

TEST_CASE("copy_to goes on, and forward does when it is to keep the mail") {
  Mail m;
  CHECK(m.act("copy_to", value("archive@ours.example"))->kind == ActionResult::Kind::kNext);
  CHECK(m.mail.brought[0].envelope.recipients[0].orcpt.empty());  // of several recipients
  CHECK(m.act("forward", table({{"to", value("a@b.example")}, {"keep", value(true)}}))->kind ==
        ActionResult::Kind::kNext);
  CHECK(m.mail.brought.size() == 2);
  CHECK(m.complaint("forward") == "needs to");
  CHECK(m.complaint("copy_to", value("nobody")) == "\"nobody\" is not a mail address");
  CHECK((*m.rules->action("copy_to")->make(value("x@foreign.example")))->sends_to().size() == 1);
}

TEST_CASE("an edit that only some recipients have is in the copy of them") {
  Mail m;
  HeaderEdits all, some;
  all.append("X-All", "1");
  some.append("X-Some", "1");
  auto made = m.rules->action("copy_to")->make(value("archive@ours.example"));
  const RecipientSet who = only(1);
  RuleCall call{m.mail, who, m.effects, Stage::kMessage};
  call.edits_of_all = &all;
  call.edits_of_some = &some;
  REQUIRE(m.run((*made)->run(call)));
  CHECK(m.whole().starts_with("Subject: hello\r\nX-All: 1\r\nX-Some: 1\r\n\r\n"));
}

TEST_CASE("redirect gives a mail another face") {
  Mail m(
      "From: Alice <alice@elsewhere.example>\r\nSender: desk@elsewhere.example\r\nTo: team@ours.example\r\nCc: "
      "x@y.example\r\nSubject: plan\r\n");
  REQUIRE(m.act("redirect", table({{"to", strings({"eve@ours.example"})},
                                   {"from", value("team@ours.example")},
                                   {"reply_to", value("team@ours.example")},
                                   {"sender", value("owner-team@ours.example")},
                                   {"prefix", value("[team]")},
                                   {"to_header", value(true)}})));
  CHECK(m.mail.brought[0].envelope.sender == address("owner-team@ours.example"));
  const std::string text = m.whole();
  const HeaderBlock header(text);
  CHECK(header.value("From") == "team@ours.example");
  CHECK_FALSE(header.find("Sender"));
  CHECK_FALSE(header.find("Cc"));
  CHECK(header.value("To") == "eve@ours.example");
  CHECK(header.value("Subject") == "[team] plan");
  CHECK(header.value("Reply-To") == "team@ours.example");
}

TEST_CASE("resend puts its fields on top") {
  Mail m;
  REQUIRE(m.act("resend", table({{"1", value("eve@ours.example")}, {"sender", value("bob@ours.example")}})));
  const std::string text = m.whole();
  CHECK(text.starts_with("Resent-Date: "));
  const HeaderBlock header(text);
  CHECK(header.value("Resent-From") == "bob@ours.example");
  CHECK(header.value("Resent-To") == "eve@ours.example");
  CHECK(header.value("Resent-Message-ID").ends_with("@ours.example>"));
  CHECK(text.contains("Subject: hello\r\n"));
}

TEST_CASE("a long body is copied in pieces, octet by octet") {
  Mail m;
  std::string text = "Subject: long\r\n\r\n";
  for (int i = 0; i < 60'000; ++i) text += "line " + std::to_string(i) + "\r\n";
  m.message(text);
  REQUIRE(m.act("copy_to", value("eve@ours.example")));
  CHECK(m.whole() == text);
}

TEST_CASE("a notice to the postmaster holds the story and what was asked for") {
  Mail m("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@elsewhere.example>\r\n");
  m.mail.notes["error"] = std::string("Eicar found");
  REQUIRE(m.act("notify_postmaster",
                table({{"text", value("A virus.")}, {"note", value("error")}, {"attach", value("message")}}), only(0)));
  REQUIRE(m.mail.brought.size() == 1);
  const BroughtMail& notice = m.mail.brought[0];
  CHECK(notice.envelope.sender.is_null());
  CHECK(notice.envelope.recipients[0].address == address("postmaster@ours.example"));
  CHECK(notice.envelope.recipients[0].notify == kNotifyNever);
  CHECK(notice.fixed_recipients);
  const std::string text = m.whole();
  const HeaderBlock header(text);
  CHECK(header.value("Auto-Submitted") == "auto-generated");
  CHECK(header.value("In-Reply-To") == "<1@elsewhere.example>");
  MimeReader reader;
  reader.feed(text);
  const MimeStructure structure = reader.finish();
  REQUIRE(structure.parts.size() == 4);
  CHECK(structure.parts[2].type + "/" + structure.parts[2].subtype == "message/rfc822");
  const MimePart& first = structure.parts[1];
  BodyDecoder decoder(first.encoding);
  std::string story;
  decoder.feed(std::string_view(text).substr(first.body_start, first.size()), story);
  decoder.finish(story);
  CHECK(story.starts_with("A virus.\r\n\r\nEicar found\r\n\r\nSender:    <Alice@elsewhere.example>\r\n"));
  CHECK(story.contains("Recipient: <bob@ours.example>\r\nSubject:   Gr\u00fc\u00dfe\r\n"));
  CHECK(text.contains(
      "\r\n\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@elsewhere.example>\r\n\r\nbody\r\n"));
}

TEST_CASE("a notice is well-formed, whatever its words are") {
  Mail m("Subject: " + std::string(1'500, 's') + "\r\n");
  REQUIRE(m.act(
      "notify_postmaster",
      table({{"text", value("x")}, {"attach", value("none")}, {"from_name", value("Desk, \"main\" <a@b.example>")}})));
  const std::string text = m.whole();
  CHECK(HeaderBlock(text).value("From") == "\"Desk, \\\"main\\\" <a@b.example>\" <postmaster@ours.example>");
  CHECK(text.contains("charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n"));
  CHECK_FALSE(text.contains(std::string(998, 's')));
}

TEST_CASE("mail for an address that is not ASCII asks for SMTPUTF8") {
  Mail m;
  REQUIRE(m.act("forward", value("j\u00fcrg@foreign.example")));
  CHECK(m.mail.brought.at(0).envelope.smtputf8);
  REQUIRE(m.act("copy_to", value("jurg@foreign.example")));
  CHECK_FALSE(m.mail.brought.at(1).envelope.smtputf8);
}

TEST_CASE("notices about what this server made are not written") {
  Mail m;
  m.session.made_here = true;
  REQUIRE(m.act("notify_postmaster", value("x")));
  CHECK(m.mail.brought.empty());
}

TEST_CASE("a sender is told only when nobody else could be meant") {
  const auto told = [](Mail& m, bool strangers = false) {
    REQUIRE(m.act("notify_sender", table({{"text", value("wait")}, {"strangers", value(strangers)}})));
    return m.mail.brought.size();
  };
  Mail stranger;
  CHECK(told(stranger) == 0);
  CHECK(stranger.facts().contains("notify_sender: no: nobody has shown"));
  CHECK(told(stranger, true) == 1);
  Mail user;
  user.session.client.auth_user = "bob";
  CHECK(told(user) == 1);
  CHECK(user.mail.brought[0].envelope.recipients[0].address == address("Alice@elsewhere.example"));
  CHECK_FALSE(user.mail.brought[0].fixed_recipients);
  for (const char* field : {"List-Id: <a.b>", "Auto-Submitted: auto-replied", "Precedence: bulk",
                            "List-Unsubscribe: <mailto:x@y>", "X-Auto-Response-Suppress: OOF, AutoReply"}) {
    Mail list(std::string(field) + "\r\n");
    CAPTURE(field);
    CHECK(told(list, true) == 0);
  }
  for (const char* sender : {"", "MAILER-DAEMON@x.example", "owner-list@x.example", "list-request@x.example"}) {
    Mail program;
    program.mail.envelope.sender = address(sender);
    CHECK(told(program, true) == 0);
  }
}

ScriptValue away() {
  return table({{"text", value("I am away.\nBob")}, {"days", value(3)}});
}

/// A function of a script, as engines hand it over.
class Gives final : public Matcher, public AddressSource {
 public:
  explicit Gives(std::vector<Address> gives) : gives_(std::move(gives)) {}
  Task<Result<RecipientSet>> match(RuleCall call) override {
    return Task<Result<RecipientSet>>::ready(call.recipients);
  }
  Task<Result<std::vector<Address>>> addresses(RuleCall) override {
    return Task<Result<std::vector<Address>>>::ready(gives_);
  }

 private:
  std::vector<Address> gives_;
};
ScriptValue function_that_gives(std::vector<Address> gives) {
  return value(std::shared_ptr<Matcher>(std::make_shared<Gives>(std::move(gives))));
}

TEST_CASE("a function says for each mail where it goes; what it gives counts as chosen by the mail") {
  Mail m;
  const Address eve = address("eve@ours.example");
  const auto done = m.act("redirect", table({{"to", function_that_gives({eve, eve})}, {"to_header", value(true)}}));
  REQUIRE(done);
  CHECK(done->kind == ActionResult::Kind::kFinal);
  REQUIRE(m.mail.brought.size() == 1);
  CHECK(m.mail.brought[0].envelope.recipients.size() == 1);
  CHECK_FALSE(m.mail.brought[0].fixed_recipients);
  CHECK(m.mail.brought[0].why == "redirect eve@ours.example");
  CHECK(m.whole().contains("To: eve@ours.example\r\n"));
  CHECK((*m.rules->action("forward")->make(function_that_gives({eve})))->sends_to().empty());
  REQUIRE(m.act("copy_to", function_that_gives({eve})));
  CHECK(m.mail.brought.size() == 2);
}

TEST_CASE("a function that gives no address leaves the mail as it is, and one that gives too many fails") {
  Mail m;
  const auto done = m.act("forward", function_that_gives({}));
  REQUIRE(done);
  CHECK(done->kind == ActionResult::Kind::kNext);
  CHECK(m.mail.brought.empty());
  std::vector<Address> many;
  for (std::size_t i = 0; i <= kMaxTargets; ++i) many.push_back(address("u" + std::to_string(i) + "@ours.example"));
  const auto failed = m.act("forward", function_that_gives(many));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == "mailet.targets");
  CHECK(m.complaint("forward", value(m.matcher("all"))).contains("must be strings"));
}

TEST_CASE("vacation answers once, for those whom the mail names") {
  Mail m(
      "From: alice@elsewhere.example\r\nTo: Bob <bob@ours.example>, other@x.example\r\nSubject: lunch\r\nMessage-ID: "
      "<2@x>\r\n");
  REQUIRE(m.act("vacation", away()));
  REQUIRE(m.mail.brought.size() == 1);  // not for eve, who is not named
  const BroughtMail& answer = m.mail.brought[0];
  CHECK(answer.envelope.sender.is_null());
  CHECK(answer.envelope.recipients[0].address == address("Alice@elsewhere.example"));
  CHECK_FALSE(answer.fixed_recipients);
  const std::string text = m.whole();
  const HeaderBlock header(text);
  CHECK(header.value("From") == "bob@ours.example");
  CHECK(header.value("To") == "Alice@elsewhere.example");
  CHECK(header.value("Subject") == "Auto: lunch");
  CHECK(header.value("Auto-Submitted") == "auto-replied (vacation)");
  CHECK(header.value("References") == "<2@x>");
  CHECK(text.ends_with("\r\n\r\nI am away.\r\nBob\r\n"));
  REQUIRE(m.effects.keys.size() == 1);
  CHECK(m.effects.keys[0].kind == KeyValueRequest::Kind::kGet);  // nothing is counted before the answer is committed
  REQUIRE(answer.once);
  CHECK(answer.once->expiry == std::chrono::hours(72));
  CHECK(answer.once->key == m.effects.keys[0].key);
  REQUIRE(m.act("vacation", away()));
  CHECK(m.mail.brought.size() == 1);
  REQUIRE(m.act("vacation", table({{"text", value("another text")}})));
  CHECK(m.mail.brought.size() == 2);
  const std::string key = m.mail.brought[0].once->key;
  m.mail.brought.clear();  // as if that mail had come to nothing, and is tried again
  REQUIRE(m.act("vacation", away()));
  CHECK(m.mail.brought.size() == 1);
  m.mail.brought.clear();
  m.effects.counted[key] = 1;  // or to its commit
  REQUIRE(m.act("vacation", away()));
  CHECK(m.mail.brought.empty());
}

TEST_CASE("vacation answers for other addresses of a recipient, and with the text of their note") {
  Mail m("To: robert@ours.example\r\n");
  REQUIRE(m.act("vacation", away()));
  CHECK(m.mail.brought.empty());
  m.mail.recipient_notes.resize(3);
  m.mail.recipient_notes[0]["vacation"] = std::string("Gone fishing.");
  REQUIRE(m.act("vacation", table({{"addresses", strings({"robert@ours.example"})}})));
  REQUIRE(m.mail.brought.size() == 1);
  CHECK(m.whole().ends_with("\r\n\r\nGone fishing.\r\n"));
}

TEST_CASE("without a store, for a forged sender or for themselves vacation answers nobody") {
  Mail broken("To: bob@ours.example\r\n");
  broken.effects.no_kv = true;
  REQUIRE(broken.act("vacation", away()));
  CHECK(broken.mail.brought.empty());
  Mail self("To: bob@ours.example\r\n");
  self.mail.envelope.sender = address("BOB@ours.example");
  REQUIRE(self.act("vacation", away()));
  CHECK(self.mail.brought.empty());
  Mail list("To: bob@ours.example\r\nPrecedence: list\r\n");
  REQUIRE(list.act("vacation", away()));
  CHECK(list.mail.brought.empty());
  CHECK(list.effects.keys.empty());
}

}  // namespace
}  // namespace postern::mailets
