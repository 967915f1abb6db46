// Whole stories, as somebody at a support desk reads them.
#include <doctest/doctest.h>

#include "core/cli/story.h"
#include "core/cli/story_queue.h"
#include "core/cli/story_words.h"
#include "postern/random.h"

namespace postern {
namespace {

const WallTime kTen{std::chrono::seconds(1767261600)};  // 2026-01-01 10:00:00

Trail session(std::string_view ip = "203.0.113.9") {
  Trail trail;
  trail.start(kTen, "s1", 0xabc);
  trail.fact(Stage::kConnect, "client", ip);
  trail.fact(Stage::kConnect, "listener", "mx");
  trail.effect(Stage::kConnect, "dns.reverse", ip, "confirmed mail.far.example", 2000);
  return trail;
}

void mail_from(Trail& trail, std::string_view sender) {
  trail.fact(Stage::kEhlo, "ehlo", "mail.far.example");
  trail.start(kTen + 1s, "s1", 0xabc);
  trail.fact(Stage::kMail, "sender", sender);
}

TrailRecord record_of(const Trail& trail, bool accepted, std::string outcome) {
  TrailRecord record;
  record.when = kTen + 3s;
  record.accepted = accepted;
  record.message = accepted ? "0dw5zgspg2000" : "";
  record.session = "s1";
  record.client = "203.0.113.9";
  record.sender = "ann@far.example";
  record.outcome = std::move(outcome);
  record.trail = trail.bytes();
  return record;
}

std::string told(const TrailRecord& record, const QueueNews& news = {}) {
  return render(record, tell(record), news);
}

TEST_CASE("the story of a mail that an alias led to a mailbox") {
  Trail trail = session();
  mail_from(trail, "<ann@far.example>");
  trail.gate(Stage::kRcpt, "sales@ours.example", "stranger/anonymous/alias", "deliver");
  trail.fact(Stage::kMessage, "alias", "sales@ours.example -> bob@ours.example");
  trail.fact(Stage::kMessage, "alias", "sales@ours.example -> carl@ours.example");
  trail.rule(Stage::kMessage, "root#1", "mail.lua:5", "0-1", "", 3);
  trail.effect(Stage::kMessage, "dns.a", "9.113.0.203.bl.example", "nxdomain", 12'345);
  trail.effect(Stage::kMessage, "clock.now", "", "1767261600000000", 0);
  trail.rule(Stage::kMessage, "local#1", "mail.lua:9", "0-1", "0-1", 3);
  trail.fact(Stage::kMessage, "plan", "deliver to bob folder INBOX [0]");
  trail.fact(Stage::kMessage, "plan", "deliver to carl folder INBOX [1]");
  trail.reply(Stage::kMessage, 250, "accepted");
  QueueNews news{QueueNews::State::kWaiting, {}};
  news.recipients.push_back({{"recipient", "bob@ours.example"},
                             {"state", "waiting"},
                             {"attempts", 2},
                             {"next", "2026-01-01T11:00:00Z"},
                             {"why", "the disk is full"}});
  CHECK(told(record_of(trail, true, "accepted"), news) ==
        R"(The mail 0dw5zgspg2000 was accepted on 2026-01-01 10:00:03 UTC.

10:00:00  203.0.113.9 connected to us. It came in at the entrance "mx". Its name in the DNS is mail.far.example, and this name leads back to it.
          It introduced itself as mail.far.example.
10:00:01  It had a mail from ann@far.example.
          It named the recipient sales@ours.example. It is an alias here, and all that it leads to is ours.
          sales@ours.example is an alias for bob@ours.example. sales@ours.example is an alias for carl@ours.example. We asked the DNS for the address of 9.113.0.203.bl.example: there is no such name (this took 12 ms).
          The rule root#1 (mail.lua:5) had nothing to say about it.
          The rule local#1 (mail.lua:9) applied to bob@ours.example and carl@ours.example. So the mail for bob@ours.example goes into the folder INBOX of the mailbox bob. So the mail for carl@ours.example goes into the folder INBOX of the mailbox carl.
          The mail was stored safely, and the sender was told that we have it.

What that means:
  bob@ours.example goes into the folder INBOX of the mailbox bob. [decided by the rule local#1 at mail.lua:9]
  carl@ours.example goes into the folder INBOX of the mailbox carl. [decided by the rule local#1 at mail.lua:9]

Since then:
  The mail for bob@ours.example waits after 2 attempts; the last one ended with "the disk is full"; the next one is at 2026-01-01T11:00:00Z.

For reference: session s1, mail 0dw5zgspg2000, client 203.0.113.9, times in UTC.
)");
}

TEST_CASE("the story of somebody who wanted us to pass mail on") {
  Trail trail = session();
  mail_from(trail, "<ann@far.example>");
  trail.gate(Stage::kRcpt, "victim@elsewhere.example", "stranger/anonymous/foreign", "550 refused");
  trail.reply(Stage::kRcpt, 550, "5.7.1 relaying denied");
  CHECK(told(record_of(trail, false, "quit before DATA")) ==
        R"(A recipient was not accepted on 2026-01-01 10:00:03 UTC.

10:00:00  203.0.113.9 connected to us. It came in at the entrance "mx". Its name in the DNS is mail.far.example, and this name leads back to it.
          It introduced itself as mail.far.example.
10:00:01  It had a mail from ann@far.example.
          It named the recipient victim@elsewhere.example. It is not one of ours, and we do not pass on mail of a stranger. The sender was told: "550 5.7.1 relaying denied".
10:00:03  Then it ended: quit before DATA.

What that means:
  victim@elsewhere.example was refused; the sender was told "550 5.7.1 relaying denied". [decided by the relay gate]

For reference: session s1, client 203.0.113.9, times in UTC.
)");
}

TEST_CASE("the story of a mail that a rule threw away, when nothing of it waits") {
  Trail trail = session();
  mail_from(trail, "<>");
  trail.gate(Stage::kRcpt, "bob@ours.example", "stranger/anonymous/account", "deliver");
  trail.rule(Stage::kMessage, "noise", "mail.lua:7", "0", "0", 3);
  trail.verdict(Stage::kMessage, "noise", "discard: automatic answers are not wanted [0]");
  trail.fact(Stage::kMessage, "plan", "discard [0]");
  trail.reply(Stage::kMessage, 250, "accepted");
  const std::string story = told(record_of(trail, true, "accepted"), {QueueNews::State::kGone, {}});
  CHECK(story.find("It had a mail from nobody (it is a report of another mail server).") != std::string::npos);
  CHECK(story.find("The rule noise (mail.lua:7) decided about bob@ours.example: it took it and threw it away "
                   "(automatic answers are not wanted).") != std::string::npos);
  CHECK(story.find("  bob@ours.example gets nothing: the mail was accepted and thrown away (automatic answers are not "
                   "wanted). [decided by the rule noise at mail.lua:7]\n") != std::string::npos);
  CHECK(story.find("Nothing of the mail waits any more") != std::string::npos);
}

TEST_CASE("the story of a mail that was put off because a rule failed") {
  Trail trail = session();
  mail_from(trail, "<ann@far.example>");
  trail.gate(Stage::kRcpt, "bob@ours.example", "stranger/anonymous/account", "deliver");
  trail.effect(Stage::kMessage, "directory.find", "bob@ours.example", "account bob", 0);
  trail.error(Stage::kMessage, "root#2", "lua.error at mail.lua:8: attempt to index a nil value");
  trail.verdict(Stage::kMessage, "root#2", "defer 451 4.3.0 try again later [0]");
  trail.rule(Stage::kMessage, "root#2", "mail.lua:7", "0", "", 3);  // as the pipeline writes them
  trail.reply(Stage::kMessage, 451, "4.3.0 try again later");
  CHECK(told(record_of(trail, false, "try again later")) ==
        R"(A mail was not accepted on 2026-01-01 10:00:03 UTC.

10:00:00  203.0.113.9 connected to us. It came in at the entrance "mx". Its name in the DNS is mail.far.example, and this name leads back to it.
          It introduced itself as mail.far.example.
10:00:01  It had a mail from ann@far.example.
          It named the recipient bob@ours.example. It has a mailbox here.
          The rule root#2 (mail.lua:7) failed: lua.error at mail.lua:8: attempt to index a nil value.
          The rule root#2 (mail.lua:7) decided about bob@ours.example: it asked the sender to try again later, with the words "451 4.3.0 try again later".
          The sender was told: "451 4.3.0 try again later".

What that means:
  bob@ours.example was put off; the sender's server was told "451 4.3.0 try again later" and should try again. [decided by the rule root#2 at mail.lua:7]

For reference: session s1, client 203.0.113.9, times in UTC.
)");
}

TEST_CASE("the story of a session that a check ended at once, and of what was not kept") {
  Trail trail = session();
  trail.rule(Stage::kConnect, "mail.lua:3", "mail.lua:3", "", "", 3);
  trail.verdict(Stage::kConnect, "mail.lua:3", "disconnect 554 5.7.1 go away");
  TrailRecord record = record_of(trail, false, "go away");
  record.sender.clear();
  CHECK(told(record) ==
        R"(A session was refused on 2026-01-01 10:00:03 UTC.

10:00:00  203.0.113.9 connected to us. It came in at the entrance "mx". Its name in the DNS is mail.far.example, and this name leads back to it.
          The rule mail.lua:3 ended the connection with the words "554 5.7.1 go away".

For reference: session s1, client 203.0.113.9, times in UTC.
)");
  TrailRecord summary;
  summary.when = kTen;
  summary.client = "192.0.2.0/24";
  summary.outcome = "37 more sessions of 192.0.2.0/24 were not kept";
  CHECK(tell(summary).title == "2026-01-01 10:00:00 UTC: 37 more sessions of 192.0.2.0/24 were not kept.");
}

TEST_CASE("a session without any mail is told, too") {
  CHECK(tell(record_of(session(), false, "it went without sending mail")).lines.back().text ==
        "Then it ended: it went without sending mail.");
}

TEST_CASE("recipients are named by what they were at that moment, and lists are short") {
  CHECK(story::parse_numbers("0-2,7") == std::vector<std::size_t>{0, 1, 2, 7});
  CHECK(story::parse_numbers("nonsense").empty());
  CHECK(story::parse_numbers("5-4").empty());
  std::vector<std::size_t> numbers;
  CHECK(story::split_numbers("deliver to a folder [b] [0-1]", numbers) == "deliver to a folder [b]");
  CHECK(numbers.size() == 2);
  CHECK(story::list_of({"a"}) == "a");
  CHECK(story::list_of({"a", "b", "c"}) == "a, b and c");
  CHECK(story::list_of(std::vector<std::string>(10, "x")) == "x, x, x, x, x, x, x, x and 2 more");
}

TEST_CASE("the story as data has what the text has") {
  Trail trail = session();
  mail_from(trail, "<ann@far.example>");
  trail.gate(Stage::kRcpt, "victim@elsewhere.example", "stranger/anonymous/foreign", "550 refused");
  trail.reply(Stage::kRcpt, 550, "5.7.1 relaying denied");
  const TrailRecord record = record_of(trail, false, "quit before DATA");
  const auto row = story_json(record, tell(record), {});
  CHECK(row["story"][0]["at"] == "2026-01-01T10:00:00Z");
  CHECK(row["fates"][0]["recipient"] == "victim@elsewhere.example");
  CHECK(row["fates"][0]["rule"] == "the relay gate");
  CHECK(row["steps"].size() == 9);
  CHECK_FALSE(row.contains("queue"));
}

TEST_CASE("damaged trails and what peers wrote do no harm") {
  Trail trail = session("\x1b[2J");
  mail_from(trail, "<ann\n@far.example>");
  CHECK(told(record_of(trail, false, "x\x07")).find('\x1b') == std::string::npos);
  trail.fact(Stage::kMessage, "plan", "deliver to a [0-99999999999]");
  trail.fact(Stage::kMessage, "alias", "no arrow");
  trail.gate(Stage::kRcpt, "", "", "");
  Prng random(3);
  for (int round = 0; round < 300; ++round) {
    TrailRecord record = record_of(trail, random.below(2) == 0, "x");
    for (int i = 0; i < 3; ++i) record.trail[random.below(record.trail.size())] = static_cast<char>(random.next());
    static_cast<void>(told(record));
  }
}

TrailRecord queue_record(Stage stage, std::string_view destination, std::string_view host, const Reply& reply,
                         std::string_view next = {}) {
  Trail trail;
  trail.start(kTen + 4s, "queue-0dw5zgspg2000", 0xabc);
  if (!destination.empty()) trail.fact(stage, "destination", destination);
  if (!host.empty()) trail.fact(stage, "host", host);
  if (!next.empty()) trail.fact(stage, "next", next);
  trail.reply(stage, reply.code, reply.enhanced + " " + reply.text);
  TrailRecord record = record_of(trail, true, std::string(to_string(stage)));
  record.when = kTen + 5s;
  record.session = "queue-0dw5zgspg2000";
  record.client.clear();
  record.recipients = {"bob@far.example"};
  return record;
}

TEST_CASE("the story of a mail goes on to its end") {
  Trail trail = session();
  mail_from(trail, "<ann@ours.example>");
  trail.reply(Stage::kMessage, 250, "accepted");
  QueueNews news{.state = QueueNews::State::kGone};
  news.events = {
      queue_record(Stage::kDeferred, "far.example", "mx.far.example", {451, "4.2.0", "busy"}, "2026-01-01T10:01:00Z"),
      queue_record(Stage::kDelivered, "far.example", "mx.far.example", {250, "2.0.0", "ok"}),
      queue_record(Stage::kDelivered, "bob", "", {250, "2.1.5", "Delivered"}),
      queue_record(Stage::kBounced, "", "mx.far.example", {550, "5.1.1", "nobody\x1b[2J"})};
  const std::string story = told(record_of(trail, true, "accepted"), news);
  CHECK(
      story.find("Since then:\n"
                 "  2026-01-01 10:00:05  bob@far.example: not yet; mx.far.example said \"451 4.2.0 busy\". It is tried "
                 "again at 2026-01-01T10:01:00Z.\n"
                 "  2026-01-01 10:00:05  bob@far.example: taken by mx.far.example, which said \"250 2.0.0 ok\".\n"
                 "  2026-01-01 10:00:05  bob@far.example: put into the mailbox bob.\n"
                 "  2026-01-01 10:00:05  bob@far.example: given up; mx.far.example said \"550 5.1.1 "
                 "nobody\\x1b[2J\". The sender is told.\n"
                 "  Nothing of the mail waits any more.\n") != std::string::npos);
  const auto json = story_json(record_of(trail, true, "accepted"), tell(record_of(trail, true, "accepted")), news);
  CHECK(json.at("events").size() == 4);
  CHECK(json.at("events").at(1).at("host") == "mx.far.example");
}

TEST_CASE("what a hook made of a mail under way is told with its rule") {
  Trail trail;
  trail.start(kTen, "queue-0dw5zgspg2000", 0xabc);
  trail.fact(Stage::kRoute, "destination", "far.example");
  trail.rule(Stage::kRoute, "mail.lua:9", "mail.lua:9", "", "", 5);
  trail.fact(Stage::kRoute, "route", "gateway = inside:25");
  TrailRecord record = record_of(trail, true, "route");
  record.session = "queue-0dw5zgspg2000";
  record.recipients = {"bob@far.example"};
  CHECK(is_of_queue(record));
  CHECK(queue_sentence(record) ==
        "bob@far.example: at \"route\" the rule mail.lua:9 chose the way: gateway = inside:25.");
}

}  // namespace
}  // namespace postern
