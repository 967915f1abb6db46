#include "dsn.h"

#include <doctest/doctest.h>

#include "dsn_text.h"
#include "postern/mime.h"
#include "postern/text.h"

using namespace postern;
using namespace postern::queue;

namespace {

Address address(std::string_view text) {
  auto parsed = Address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

struct Case {
  Case() {
    envelope.sender = address("ann@example.org");
    envelope.recipients.emplace_back().address = address("bob@far.example");
    facts.original = MessageId(0x1234567890ULL);
    facts.message_id = "report.2.f0";
    facts.envelope = &envelope;
    facts.hostname = "mx.example.org";
    facts.from_name = "Mail Delivery System";
    facts.from = address("postmaster@example.org");
    facts.to = envelope.sender;
    facts.now = WallTime(std::chrono::seconds(1'800'000'000));
    facts.header = "Subject: Lunch\r\nMessage-ID: <1@example.org>\r\nDate: Mon, 1 Jan 2026 00:00:00 +0000\r\n";
    facts.boundary = "report-b";
    Outcome& one = facts.outcomes.emplace_back();
    one.reply = {550, "5.1.1", "No such user"};
    one.host = "mx.far.example";
    one.attempts = 1;
    one.last_attempt = facts.now;
  }
  std::string text(std::string_view content) {
    const Dsn dsn = compose_dsn(facts);
    return dsn.head + std::string(content) + dsn.tail;
  }
  Envelope envelope;
  DsnFacts facts;
};

/// The parts as a reader of mail finds them.
struct Parts {
  explicit Parts(const std::string& text) {
    MimeReader reader;
    reader.feed(text);
    structure = reader.finish();
    for (const std::uint32_t index : structure.children(0)) {
      const MimePart& part = structure.parts[index];
      bodies.push_back(text.substr(part.body_start, part.end - part.body_start));
      types.push_back(part.type + "/" + part.subtype);
    }
  }
  MimeStructure structure;
  std::vector<std::string> bodies, types;
};

bool has(const std::string& text, std::string_view what) {
  if (text.contains(what)) return true;
  MESSAGE(text);
  return false;
}

}  // namespace

TEST_CASE("a failure report has three parts: for people, for programs, and the header") {
  Case c;
  const std::string text = c.text(c.facts.header);
  const Parts parts(text);
  REQUIRE(parts.types.size() == 3);
  CHECK(parts.structure.root().subtype == "report");
  CHECK(*parts.structure.root().parameter("report-type") == "delivery-status");
  CHECK(parts.structure.root().closed);
  CHECK(parts.types[0] == "text/plain");
  CHECK(parts.types[1] == "message/delivery-status");
  CHECK(parts.types[2] == "text/rfc822-headers");
  CHECK(parts.bodies[2] == c.facts.header);
  const HeaderBlock header(text);
  CHECK(header.value("subject") == "Not delivered: Lunch");
  CHECK(header.value("to") == "<ann@example.org>");
  CHECK(header.value("from") == "\"Mail Delivery System\" <postmaster@example.org>");
  CHECK(header.value("auto-submitted") == "auto-replied");
  CHECK(header.value("in-reply-to") == "<1@example.org>");
  CHECK(compose_dsn(c.facts).body == BodyType::k7Bit);
  CHECK_FALSE(compose_dsn(c.facts).smtputf8);
}

TEST_CASE("the part for people begins with what happened and what to do, and ends with the detail") {
  Case c;
  const std::string words = people_part(c.facts);
  const std::size_t what = words.find("could not be delivered");
  const std::size_t why = words.find("There is no mailbox with this address.");
  const std::size_t advice = words.find("What you can do: Check the address");
  const std::size_t detail = words.find("Technical detail");
  const std::size_t reply = words.find("mx.far.example said: 550 5.1.1 No such user");
  CHECK(what < why);
  CHECK(why < advice);
  CHECK(advice < detail);
  CHECK(detail < reply);
  CHECK(reply != words.npos);
  for (const std::string_view line : split(words, '\n')) CHECK(line.size() <= 77);
}

TEST_CASE("the status part has the fields of RFC 3464, with ENVID and ORCPT decoded") {
  Case c;
  c.envelope.envid = "QQ+2B314";
  c.envelope.recipients[0].orcpt = "rfc822;Bob+2Bx@example.com";
  const Parts parts(c.text(c.facts.header));
  const HeaderBlock message(parts.bodies[1]);
  CHECK(message.value("original-envelope-id") == "QQ+314");
  CHECK(message.value("reporting-mta") == "dns; mx.example.org");
  CHECK(message.count("arrival-date") == 1);
  const HeaderBlock one(std::string_view(parts.bodies[1]).substr(message.body_offset()));
  CHECK(one.value("original-recipient") == "rfc822; Bob+x@example.com");
  CHECK(one.value("final-recipient") == "rfc822; bob@far.example");
  CHECK(one.value("action") == "failed");
  CHECK(one.value("status") == "5.1.1");
  CHECK(one.value("remote-mta") == "dns; mx.far.example");
  CHECK(one.value("diagnostic-code") == "smtp; 550 5.1.1 No such user");
  CHECK(one.count("last-attempt-date") == 1);
  CHECK(one.count("will-retry-until") == 0);
}

TEST_CASE("without ENVID there is no Original-Envelope-Id, and our own words are no SMTP reply") {
  Case c;
  c.facts.outcomes[0].host.clear();
  c.facts.outcomes[0].reply = {550, "5.4.4", "no server takes mail for far.example"};
  const Parts parts(c.text(c.facts.header));
  CHECK_FALSE(parts.bodies[1].contains("Original-Envelope-Id"));
  CHECK_FALSE(parts.bodies[1].contains("Original-Recipient"));
  CHECK_FALSE(parts.bodies[1].contains("Remote-MTA"));
  CHECK(has(parts.bodies[1], "Diagnostic-Code: x-postern; 550 5.4.4 no server takes mail for far.example"));
  CHECK(has(parts.bodies[0], "mx.example.org said: 550 5.4.4"));
}

TEST_CASE("a warning says that nothing need be done, and until when we try") {
  Case c;
  c.facts.outcomes[0].kind = Outcome::Kind::kDelayed;
  c.facts.outcomes[0].reply = {450, "4.2.2", "over quota"};
  c.facts.original = MessageId();
  c.facts.outcomes[0].will_retry_until = c.facts.now + std::chrono::hours(24 * 5);
  const Parts parts(c.text(c.facts.header));
  CHECK(has(parts.bodies[1], "Action: delayed"));
  CHECK(has(parts.bodies[1], "Status: 4.2.2"));
  CHECK(has(parts.bodies[1], "Will-Retry-Until: "));
  CHECK(has(parts.bodies[0], "you need not do anything"));
  CHECK(has(parts.bodies[0], "5 days"));
  CHECK_FALSE(parts.bodies[0].contains("What you can do"));
}

TEST_CASE("a lost final reply is told as such, and not as a plain failure") {
  Case c;
  c.facts.outcomes[0].may_have_been_delivered = true;
  c.facts.outcomes[0].reply = {451, "4.4.2", "connection lost after the final dot"};
  const std::string words = people_part(c.facts);
  CHECK(has(words, "It may have been delivered all the same"));
  CHECK_FALSE(words.contains("What you can do"));
}

TEST_CASE("delivered, relayed and expanded have their own words") {
  Case c;
  c.facts.outcomes[0].reply = {250, "2.1.5", "OK"};
  const std::pair<Outcome::Kind, std::string_view> kinds[] = {{Outcome::Kind::kDelivered, "delivered"},
                                                              {Outcome::Kind::kRelayed, "relayed"},
                                                              {Outcome::Kind::kExpanded, "expanded"}};
  for (const auto& [kind, word] : kinds) {
    c.facts.outcomes[0].kind = kind;
    const Parts parts(c.text(c.facts.header));
    CHECK(has(parts.bodies[1], "Action: " + std::string(word) + "\r\nStatus: 2.1.5\r\n"));
    CHECK_FALSE(parts.bodies[0].contains("class:"));
  }
}

TEST_CASE("an address in UTF-8 makes the status part a global one") {
  Case c;
  c.envelope.smtputf8 = true;
  c.envelope.recipients[0].address = address("пример@far.example");
  c.envelope.recipients[0].orcpt = "utf-8;\\x{43F}@far.example";
  c.facts.header = "Subject: Привет\r\n";
  const Parts parts(c.text(c.facts.header));
  CHECK(parts.types[1] == "message/global-delivery-status");
  CHECK(parts.types[2] == "message/global-headers");
  CHECK(has(parts.bodies[1], "Final-Recipient: utf-8; пример@far.example"));
  CHECK(has(parts.bodies[1], "Original-Recipient: utf-8; п@far.example"));
  const Dsn dsn = compose_dsn(c.facts);
  CHECK(dsn.body == BodyType::k8BitMime);
  CHECK_FALSE(dsn.smtputf8);  // its own recipient is plain, and so is its header
  const Dsn head = compose_dsn(c.facts);
  CHECK(is_ascii(std::string_view(head.head).substr(0, head.head.find("\r\n\r\n"))));
  c.facts.to = address("аня@example.org");
  CHECK(compose_dsn(c.facts).smtputf8);
}

TEST_CASE("an ORCPT of type utf-8 stays encoded where only ASCII may stand") {
  Case c;
  // The part is global as soon as one address in it is; this one is about another recipient.
  c.envelope.recipients[0].orcpt = "rfc822;caf+C3+A9@far.example";
  const Parts parts(c.text(c.facts.header));
  CHECK(parts.types[1] == "message/delivery-status");
  CHECK(has(parts.bodies[1], "Original-Recipient: rfc822; caf??@far.example"));
}

TEST_CASE("what a server says cannot break out of its field") {
  Case c;
  c.facts.outcomes[0].reply.text = "no\r\nAction: delivered\n\n--report-b--\n\x01" + std::string(5000, 'x');
  c.facts.outcomes[0].host = "evil\r\nStatus: 2.0.0";
  c.envelope.envid = "x+0D+0AStatus:+202.0.0";
  c.envelope.recipients[0].orcpt = "rfc822;x+0D+0AAction:+20delivered";
  const Parts parts(c.text(c.facts.header));
  REQUIRE(parts.types.size() == 3);
  CHECK_FALSE(parts.bodies[1].contains("\nAction: delivered"));
  CHECK_FALSE(parts.bodies[1].contains("\nStatus: 2.0.0"));
  CHECK(parts.bodies[1].size() < 3000);
  for (const std::string_view line : split(c.text(c.facts.header), '\n')) CHECK(line.size() < 998);
}

TEST_CASE("the whole message comes back when it is to, whatever stands in it") {
  Case c;
  c.facts.full = true;
  const std::string whole = std::string(c.facts.header) + "\r\n--report-\r\nhello\r\n";
  const Parts parts(c.text(whole));
  CHECK(parts.types.back() == "message/rfc822");
  CHECK(parts.bodies.back() == whole);
}

TEST_CASE("a header that is returned alone is bounded, in whole lines") {
  std::string header;
  while (header.size() < 2 * kMaxReturnedHeader) header += "X-Line: " + std::string(90, 'y') + "\r\n";
  const std::string_view cut = returned_header(header);
  CHECK(cut.size() <= kMaxReturnedHeader);
  CHECK(cut.size() > kMaxReturnedHeader - 200);
  CHECK(cut.ends_with("\r\n"));
  CHECK(returned_header("A: b\r\n") == "A: b\r\n");
}

TEST_CASE("many recipients: people get fifty of them, programs all") {
  Case c;
  for (int i = 0; i < 120; ++i) {
    c.envelope.recipients.emplace_back().address = address("r" + std::to_string(i) + "@far.example");
    Outcome one = c.facts.outcomes[0];
    one.recipient = static_cast<std::uint32_t>(i + 1);
    c.facts.outcomes.push_back(one);
  }
  const Parts parts(c.text(c.facts.header));
  CHECK(has(parts.bodies[0], "and 71 more"));
  CHECK(parts.bodies[1].contains("r119@far.example"));
}

TEST_CASE("text is cleaned without cutting a character in two") {
  CHECK(clean_text("a\r\n b\t\tc", 100, true) == "a b c");
  CHECK(clean_text("ééé", 3, true) == "é");
  CHECK(clean_text("é", 10, false) == "??");
  CHECK(is_valid_utf8(clean_text("\xff\xfe", 10, true)));
  CHECK(clean_text("", 10, true).empty());
}
