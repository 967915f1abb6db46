#include "mailets_for_tests.h"
#include "postern/transport.h"

namespace postern::mailets {
namespace {

TEST_CASE("go, deliver, relay, discard, quarantine and hold say what they are") {
  Mail m;
  CHECK(m.act("go", value("local"))->pipeline == "local");
  const auto deliver = m.act("deliver", table({{"folder", value("Junk")}, {"flags", list("\\Seen", "$Junk")}}));
  CHECK(deliver->kind == ActionResult::Kind::kFinal);
  CHECK(deliver->step.folder == "Junk");
  CHECK(deliver->step.flags.size() == 2);
  CHECK(m.act("deliver")->step.folder.empty());
  const auto relay = m.act("relay", table({{"tls", value("dane")}, {"gateway", value("mx.example")}}));
  CHECK(relay->step.kind == PlanStep::Kind::kRelay);
  CHECK(relay->step.options.at("gateway") == "mx.example");
  CHECK(m.complaint("relay", table({{"tls", value("yes")}})).starts_with("tls must be one of"));
  for (const char* wrong : {"mx.example, mx2.example", "mx.example\n", "mx.example 25"})
    CHECK(m.complaint("relay", table({{"gateway", value(wrong)}})).contains("neither a host nor the name of a route"));
  CHECK(m.act("discard", value("trap"))->verdict.kind == Verdict::Kind::kDiscard);
  CHECK(m.act("quarantine", value("odd"))->verdict.reason == "odd");
  CHECK(m.act("hold", value("10m"))->verdict.hold == 10min);
  CHECK_FALSE(m.complaint("hold", value(0)).empty());
  CHECK_FALSE(m.complaint("deliver", table({{"folder", value("a\nb")}})).empty());
}

TEST_CASE("relay takes every word for TLS that a route takes") {
  Mail m;
  for (const std::string_view word : kTlsWords) {
    CAPTURE(word);
    CHECK(m.act("relay", table({{"tls", value(std::string(word))}}))->step.options.at("tls") == word);
  }
  const std::string complaint = m.complaint("relay", table({{"tls", value("mta_sts")}}));
  CHECK(complaint.contains("mta-sts"));
  CHECK(complaint.contains("dane-or-mta-sts-or-opportunistic"));
}

TEST_CASE("a priority is the mail's, for whomever its rule ran") {
  Mail m;
  CHECK(m.act("priority", value(-3), only(1))->kind == ActionResult::Kind::kNext);
  CHECK(m.mail.envelope.priority == -3);
  CHECK(m.select("has_priority", table({{"at_most", value(-1)}})) == "0-2");
  CHECK(m.complaint("priority") == "needs priority");
  CHECK(m.complaint("priority", value(-10)) == "priority must be from -9 to 9");
}

TEST_CASE("refusals carry code, enhanced code and text") {
  Mail m;
  CHECK(m.act("bounce", list("5.7.1", "no"))->verdict.reply == Reply{550, "5.7.1", "no"});
  CHECK(m.act("bounce", list("4.7.1", "wait"))->verdict.kind == Verdict::Kind::kDefer);
  CHECK(m.act("reject", ScriptValue{ScriptValue::List{value(554), value("5.6.0"), value("bad")}, {}})
            ->verdict.reply.code == 554);
  CHECK(m.act("defer", ScriptValue{ScriptValue::List{value(451), value("4.7.1"), value("later")}, {}})->verdict.kind ==
        Verdict::Kind::kDefer);
}

TEST_CASE("header mailets edit what they say and leave the rest as it came") {
  Mail m(
      "Subject:  odd   spacing\r\nX-Spam-A: 1\r\nx-spam-b: 2\r\nBcc: secret@example.org\r\nX-Old: a\r\nX-Old: b\r\n");
  REQUIRE(m.act("remove_header", value("Bcc")));
  REQUIRE(m.act("remove_header_prefix", value("X-Spam-")));
  REQUIRE(m.act("set_header", list("X-Old", "new\r\nInjected: yes")));
  const std::string after = m.header_after();
  CHECK(after.find("Subject:  odd   spacing\r\n") == 0);
  CHECK(after.find("Bcc") == std::string::npos);
  CHECK(after.find("pam-") == std::string::npos);
  CHECK(HeaderBlock(after).count("X-Old") == 1);
  CHECK(HeaderBlock(after).count("Injected") == 0);
  const auto trail = Trail::decode(m.mail.trail.bytes());
  CHECK(std::count_if(trail->begin(), trail->end(),
                      [](const TrailEntry& e) { return e.kind == TrailEntry::Kind::kEdit; }) == 4);
}

TEST_CASE("a name in a field is encoded, its address or id is not") {
  Mail m("Subject: x\r\n");
  REQUIRE(m.act("set_header", list("List-Id", "Die Größe <crew.example.org>")));
  REQUIRE(m.act("set_header", list("Cc", "Jörg <j@example.org>, Ünal <u@example.org>, <z@example.org>")));
  REQUIRE(m.act("set_header", list("X-Text", " größer, <als>")));
  const std::string after = m.header_after();
  const HeaderBlock header(after);
  CHECK(header.value("List-Id").ends_with("?= <crew.example.org>"));
  CHECK(header.decoded("List-Id") == "Die Größe <crew.example.org>");
  const auto cc = parse_address_list(header.value("Cc")).items;
  REQUIRE(cc.size() == 3);
  CHECK(cc[0].address()->to_string() == "j@example.org");
  CHECK(decode_words(cc[1].name) == "Ünal");
  CHECK(cc[1].address()->to_string() == "u@example.org");
  CHECK(header.decoded("X-Text") == "größer, <als>");
}

TEST_CASE("a field that an earlier rule added can be taken out again") {
  Mail m("X-Journal-To: forged@example.org\r\nSubject: x\r\n");
  REQUIRE(m.act("set_header", list("X-Journal-To", "bcc@example.org")));
  REQUIRE(m.act("set_header", list("X-Trace-A", "1")));
  REQUIRE(m.act("remove_header", value("X-Journal-To")));
  REQUIRE(m.act("remove_header_prefix", value("X-Trace-")));
  CHECK(m.header_after() == "Subject: x\r\n");
}

TEST_CASE("a subject gets its prefix once") {
  Mail m("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n");
  REQUIRE(m.act("subject_prefix", value("[ext]")));
  const std::string once = m.header_after();
  CHECK(HeaderBlock(once).decoded("Subject") == "[ext] Grüße");
  Mail again(once);
  REQUIRE(again.act("subject_prefix", value("[ext]")));
  CHECK(again.mail.edits.empty());
  Mail none("X: y\r\n");
  REQUIRE(none.act("subject_prefix", value("[ext]")));
  CHECK(HeaderBlock(none.header_after()).decoded("Subject") == "[ext]");
}

TEST_CASE("edits of the subject build on each other") {
  Mail m("Subject: [spam] buy\r\n");
  REQUIRE(
      m.act("replace_content", table({{"subject", table({{"pattern", value("\\[spam\\] *")}, {"with", value("")}})}})));
  REQUIRE(m.act("subject_prefix", value("[a]")));
  REQUIRE(m.act("subject_prefix", value("[b]")));
  CHECK(HeaderBlock(m.header_after()).value("Subject") == "[b] [a] buy");
}

TEST_CASE("a missing Message-ID is made, a present one is left") {
  Mail m;
  REQUIRE(m.act("require_message_id"));
  const std::string id = HeaderBlock(m.header_after()).value("Message-ID");
  CHECK(id.ends_with("@ours.example>"));
  Mail has("Message-ID: <a@b>\r\n");
  REQUIRE(has.act("require_message_id"));
  CHECK(has.mail.edits.empty());
}

TEST_CASE("notes belong to the mail or to the recipients they were set for, and can become fields") {
  Mail m;
  REQUIRE(m.act("set_note", ScriptValue{ScriptValue::List{value("score"), value(5)}, {}}));
  REQUIRE(m.act("set_note", value("spam"), only(1)));
  CHECK(std::get<std::int64_t>(m.mail.notes.at("score")) == 5);
  CHECK(m.select("has_note", value("spam")) == "1");
  REQUIRE(m.act("notes_to_headers", table({{"score", value("X-Score")}, {"missing", value("X-Missing")}})));
  CHECK(HeaderBlock(m.header_after()).value("X-Score") == "5");
  CHECK(HeaderBlock(m.header_after()).count("X-Missing") == 0);
  REQUIRE(m.act("remove_note", list("spam", "score")));
  CHECK(m.select("has_note", value("spam")) == "");
  CHECK(m.mail.notes.empty());
}

TEST_CASE("a mail for many is split into batches, of which the first goes now") {
  Mail m;
  for (const char* to : {"a@relayed.example", "b@relayed.example"}) m.add(to);
  REQUIRE(m.act("split", table({{"1", value(2)}, {"pause", value("5m")}})));
  const auto now = m.effects.clock().time_since_epoch();
  const auto wait = [&](std::size_t recipient) {
    const auto& notes = m.mail.recipient_notes.at(recipient);
    const auto found = notes.find("not-before");
    if (found == notes.end()) return std::int64_t{0};
    return std::get<std::int64_t>(found->second) - std::chrono::ceil<std::chrono::seconds>(now).count();
  };
  CHECK(wait(0) == 0);
  CHECK(wait(1) == 0);
  CHECK(wait(2) == 300);
  CHECK(wait(3) == 300);
  CHECK(wait(4) == 600);
  CHECK(m.facts().contains("split: 5 recipients in 3 batches"));
  Mail few;
  REQUIRE(few.act("split", value(3)));
  CHECK(std::ranges::all_of(few.mail.recipient_notes, [](const auto& notes) { return notes.empty(); }));
  Mail long_way;
  REQUIRE(long_way.act("split", table({{"count", value(1)}, {"pause", value("1d")}})));
  CHECK(std::get<std::int64_t>(long_way.mail.recipient_notes[2].at("not-before")) ==
        std::get<std::int64_t>(long_way.mail.recipient_notes[1].at("not-before")));
  CHECK(m.complaint("split") == "needs count");
  CHECK(m.complaint("split", table({{"count", value(1)}, {"pause", value("2d")}})).contains("from 1s to 1d"));
}

TEST_CASE("sub-addresses name folders, unless they could escape") {
  Mail m;
  for (const char* to : {"bob+news@ours.example", "\"bob+../etc\"@ours.example", "bob+.hidden@ours.example"}) {
    m.directory.accounts[to] = "bob";
    m.add(to);
  }
  REQUIRE(m.act("sub_addressing"));
  CHECK(m.mail.recipient_notes[0].empty());
  CHECK(std::get<std::string>(m.mail.recipient_notes[3].at("folder")) == "news");
  CHECK(m.mail.recipient_notes[4].empty());
  CHECK(m.mail.recipient_notes[5].empty());
}

TEST_CASE("postmaster of any domain of ours goes to one account, and to nobody else") {
  Mail m;
  m.add("PostMaster@ours.example");
  REQUIRE(m.act("postmaster_alias", value("admin@ours.example")));
  CHECK(m.mail.envelope.recipients[3].address == address("admin@ours.example"));
  CHECK(m.mail.envelope.recipients[3].orcpt == "rfc822;PostMaster@ours.example");
  CHECK(m.mail.lookups[3].account == "admin");
  CHECK(m.mail.envelope.recipients[0].address == address("bob@ours.example"));
  const auto missing = m.act("postmaster_alias", value("someone@foreign.example"));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == "postmaster.nobody");
}

TEST_CASE("our own recipients are folded to lower case and found again, foreign ones are left") {
  Mail m;
  m.add("EVE@ours.example");
  m.add("Foo@foreign.example");
  REQUIRE(m.act("lower_case_recipient"));
  CHECK(m.mail.envelope.recipients[3].address == address("eve@ours.example"));
  CHECK(m.mail.lookups[3].account == "eve");
  CHECK(m.mail.envelope.recipients[4].address == address("Foo@foreign.example"));
}

TEST_CASE("log, count and add_delivered_to do their work and let the next rule go on") {
  Mail m;
  CHECK(m.act("log", list("seen", "warn"))->kind == ActionResult::Kind::kNext);
  CHECK(m.effects.logged == "warn:seen");
  REQUIRE(m.act("count", value("mails")));
  CHECK(m.effects.counted["mails"] == 1);
  CHECK_FALSE(m.complaint("log", list("x", "loud")).empty());
  REQUIRE(m.act("add_delivered_to", {}, only(1)));
  CHECK(m.mail.recipient_notes[0].empty());
  CHECK(std::get<bool>(m.mail.recipient_notes[1].at("delivered-to")));
}

}  // namespace
}  // namespace postern::mailets
