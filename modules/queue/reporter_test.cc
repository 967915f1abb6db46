#include "reporter.h"

#include <doctest/doctest.h>

#include <memory>

#include "postern/nursery.h"
#include "postern/sim.h"

using namespace postern;
using namespace postern::queue;

namespace {

Address address(std::string_view text) {
  auto parsed = Address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

/// example.org is ours, with ann and postmaster; everything else is far away.
class OurDirectory final : public Directory {
 public:
  DomainKind domain_kind(std::string_view domain) const override {
    return domain == "example.org" ? DomainKind::kLocal : DomainKind::kForeign;
  }
  std::string default_domain() const override { return "example.org"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address asked) override {
    AddressLookup out;
    out.kind = AddressLookup::Kind::kNoSuchUser;
    const bool says_nothing = silent || answers-- == 0;
    if (says_nothing) out.kind = AddressLookup::Kind::kTemporary;
    if (!says_nothing && (asked.local() == "ann" || asked.local() == "postmaster")) {
      out.kind = AddressLookup::Kind::kAccount;
      out.account = asked.local();
    }
    return Task<AddressLookup>::ready(std::move(out));
  }
  bool silent = false;
  int answers = -1;  ///< after so many it is silent once
};

class Taker final : public Queue {
 public:
  void accepted(QueuedMessage message) override { taken.push_back(std::move(message)); }
  std::vector<QueuedMessage> taken;
};

/// "root" that says one thing to all.
class OneWord final : public Policy {
 public:
  explicit OneWord(Queue& the_queue) : queue(the_queue) {}
  Task<Verdict> connect(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> ehlo(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> starttls(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> auth(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> mail(Transaction&) override { co_return Verdict{}; }
  Task<Verdict> rcpt(Transaction&, Recipient) override { co_return Verdict{}; }
  Task<Verdict> data(Transaction&) override { co_return Verdict{}; }
  Task<Decision> message(Transaction& transaction) override {
    REQUIRE(transaction.draft != nullptr);
    seen_header = transaction.draft->header();
    relay = transaction.relay.at(0);
    Decision decision;
    decision.outcomes.push_back({reply, "root#1"});
    if (reply.positive()) {
      PlanStep& step = decision.plan.steps.emplace_back();
      step.kind = PlanStep::Kind::kRelay;
      step.recipients.push_back(0);
    }
    co_return decision;
  }
  Task<void> disconnect(SessionState&) override { co_return; }
  Task<Result<MessageId>> commit(Transaction& transaction, Draft draft, const Decision& decision) override {
    AcceptMeta meta;
    transaction.envelope.encode(meta.envelope);
    decision.plan.encode(meta.plan);
    auto id = co_await draft.commit(std::move(meta));
    if (id) queue.accepted({*id, transaction.envelope, decision.plan, 0, {}});
    co_return id;
  }
  void refused(SessionState&, Transaction*, std::string_view) override { ++refusals; }
  Queue& queue;
  Reply reply{250, "2.0.0", "fine"};
  std::string seen_header;
  bool relay = false;
  int refusals = 0;
};

struct World {
  World() { envelope.sender = address("ann@example.org"); }

  Reporter reporter() {
    return Reporter({.spool = *spool,
                     .policy = use_policy ? &policy : nullptr,
                     .queue = &queue,
                     .directory = &directory,
                     .hostname = "mx.example.org",
                     .settings = settings});
  }
  void add(std::string_view recipient, std::uint8_t notify = kNotifyUnset) {
    Recipient& one = envelope.recipients.emplace_back();
    one.address = address(recipient);
    one.notify = notify;
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    Nursery nursery(sim.worker(0));
    nursery.spawn(detail::store(std::move(task), &out));
    sim.run_until([&] { return nursery.size() == 0; }, 10s);
    REQUIRE(out);
    return std::move(*out);
  }
  Task<Result<MessageId>> store(std::string text) {
    Draft draft = spool->begin(sim.worker(0));
    if (auto ok = co_await draft.append(text); !ok) co_return std::unexpected(ok.error());
    AcceptMeta meta;
    envelope.encode(meta.envelope);
    meta.recipients = static_cast<std::uint32_t>(envelope.recipients.size());
    co_return co_await draft.commit(std::move(meta));
  }
  void commit(std::string text = "Subject: Lunch\r\nMessage-ID: <1@example.org>\r\n\r\nToday?\r\n") {
    auto stored = run(store(std::move(text)));
    REQUIRE(stored);
    id = *stored;
  }
  static Outcome failed(std::uint32_t recipient, Reply reply = {550, "5.1.1", "No such user"}) {
    Outcome out;
    out.recipient = recipient;
    out.reply = std::move(reply);
    out.host = "mx.far.example";
    out.attempts = 1;
    return out;
  }
  Result<std::size_t> report(std::vector<Outcome> outcomes) {
    Reporter one = reporter();
    return run(one.report(id, envelope, std::move(outcomes), log.log()));
  }
  Task<Result<std::string>> read(MessageId which) {
    auto reader = co_await spool->open(sim.worker(0), which);
    if (!reader) co_return std::unexpected(reader.error());
    std::string out;
    while (true) {
      auto piece = co_await reader->next();
      if (!piece || piece->empty()) break;
      out += *piece;
    }
    co_return out;
  }
  std::string text_of(std::size_t taken) {
    REQUIRE(taken < queue.taken.size());
    auto text = run(read(queue.taken[taken].id));
    REQUIRE(text);
    return *text;
  }
  Task<Result<std::vector<MessageInfo>>> list() { co_return co_await spool->list(sim.worker(0), MessageId(), 100); }
  RecipientInfo standing(std::uint32_t recipient) {
    auto all = run(list());
    REQUIRE(all);
    for (const MessageInfo& info : *all)
      if (info.id == id) return info.recipients.at(recipient);
    FAIL("the message is gone");
    return {};
  }

  SimRuntime sim{{.seed = 3}};
  std::unique_ptr<Spool> spool = make_memory_spool();
  CaptureLog log;
  OurDirectory directory;
  Taker queue;
  OneWord policy{queue};
  bool use_policy = false;
  ReportSettings settings;
  Envelope envelope;
  MessageId id;
};

}  // namespace

TEST_CASE("one report about all recipients that failed together, from nobody, to the sender") {
  World w;
  w.add("bob@far.example");
  w.add("eve@far.example");
  w.commit();
  CHECK(w.report({World::failed(0), World::failed(1, {552, "5.2.2", "full"})}) == 1);
  REQUIRE(w.queue.taken.size() == 1);
  const QueuedMessage& sent = w.queue.taken[0];
  CHECK(sent.envelope.sender.is_null());
  CHECK(sent.envelope.recipients.at(0).address == address("ann@example.org"));
  CHECK(sent.plan.steps.at(0).account == "ann");
  const std::string text = w.text_of(0);
  CHECK(text.starts_with("Received: by mx.example.org"));
  CHECK(text.contains("bob@far.example"));
  CHECK(text.contains("The recipient's mailbox is full."));
  CHECK(text.contains("Today?"));  // small, and nothing was said: the whole message comes back
}

TEST_CASE("RET decides what comes back, and large messages come back as their header") {
  World w;
  w.add("bob@far.example");
  w.add("eve@far.example");  // the message stays for her
  w.envelope.ret = DsnReturn::kHeaders;
  w.commit();
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK_FALSE(w.text_of(0).contains("Today?"));
  w.envelope.ret = DsnReturn::kFull;
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK(w.text_of(1).contains("Today?"));
  w.settings.return_limit = {10};
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK_FALSE(w.text_of(2).contains("Today?"));
}

TEST_CASE("NOTIFY decides who is told of what") {
  World w;
  w.add("never@far.example", kNotifyNever);
  w.add("success@far.example", kNotifySuccess);
  w.add("failure@far.example", kNotifyFailure);
  w.add("delay@far.example", kNotifyDelay);
  w.add("unset@far.example");
  w.commit();
  const auto told = [&](Outcome::Kind kind) {
    std::string out;
    Reporter reporter = w.reporter();
    for (std::uint32_t i = 0; i < 5; ++i) {
      Outcome one = World::failed(i);
      one.kind = kind;
      out += reporter.wanted(w.envelope, one) ? 'x' : '-';
    }
    return out;
  };
  CHECK(told(Outcome::Kind::kFailed) == "--x-x");
  CHECK(told(Outcome::Kind::kDelayed) == "---xx");
  CHECK(told(Outcome::Kind::kDelivered) == "-x---");
  CHECK(told(Outcome::Kind::kRelayed) == "-x---");
  CHECK(w.report({World::failed(0), World::failed(1), World::failed(2), World::failed(4)}) == 1);
  const std::string text = w.text_of(0);
  CHECK_FALSE(text.contains("never@"));
  CHECK_FALSE(text.contains("success@"));
  CHECK(text.contains("failure@"));
}

TEST_CASE("failures and successes of one turn are told in one report each") {
  World w;
  w.add("bob@far.example");
  w.add("eve@far.example", kNotifySuccess);
  w.commit();
  Outcome good = World::failed(1, {250, "2.1.5", "OK"});
  good.kind = Outcome::Kind::kDelivered;
  CHECK(w.report({World::failed(0), good}) == 2);
  CHECK(w.text_of(0).contains("Action: delivered"));
  CHECK(w.text_of(1).contains("Action: failed"));  // last: a fault on the way must not tell it twice
}

TEST_CASE("what has no sender is told to the postmaster once, and then to nobody") {
  World w;
  w.envelope.sender = Address();
  w.add("bob@far.example");
  w.commit();
  Outcome late = World::failed(0);
  late.kind = Outcome::Kind::kDelayed;
  CHECK(w.report({late}) == 0);
  CHECK(w.report({World::failed(0)}) == 1);
  const QueuedMessage sent = w.queue.taken.at(0);
  CHECK(sent.envelope.sender.is_null());
  CHECK(sent.envelope.recipients.at(0).address == address("postmaster@example.org"));
  CHECK(w.text_of(0).contains("Auto-Submitted: auto-generated"));

  // That report fails in its turn.
  w.envelope = sent.envelope;
  w.id = sent.id;
  CHECK(w.report({World::failed(0)}) == 0);
  CHECK(w.log.count("report.undeliverable") == 1);
  CHECK(w.queue.taken.size() == 1);
}

TEST_CASE("double bounces can be turned off") {
  World w;
  w.settings.double_bounces = false;
  w.envelope.sender = Address();
  w.add("bob@far.example");
  w.commit();
  CHECK(w.report({World::failed(0)}) == 0);
}

TEST_CASE("a sender of ours that does not exist: the postmaster is told instead") {
  World w;
  w.envelope.sender = address("cron@example.org");
  w.add("bob@far.example");
  w.commit();
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK(w.queue.taken.at(0).envelope.recipients.at(0).address == address("postmaster@example.org"));
}

TEST_CASE("a sender elsewhere is told through relay") {
  World w;
  w.envelope.sender = address("ann@else.example");
  w.add("bob@example.org");
  w.commit();
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK(w.queue.taken.at(0).plan.steps.at(0).kind == PlanStep::Kind::kRelay);
}

TEST_CASE("while the directory does not answer, nothing is lost: the intent stands and the call is made again") {
  World w;
  w.add("bob@far.example");
  w.commit();
  w.directory.silent = true;
  auto failed = w.report({World::failed(0)});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == "report.directory");
  w.directory.silent = false;
  CHECK(w.report({World::failed(0)}) == 1);
}

TEST_CASE("a failure is durable before its report: a crash between makes no second report and no second attempt") {
  World w;
  w.add("bob@far.example");
  w.add("eve@far.example");
  w.commit();
  Outcome lost = World::failed(1, {451, "4.4.2", "connection lost after the final dot"});
  lost.may_have_been_delivered = true;
  CHECK(w.report({World::failed(0), lost}) == 1);
  CHECK(w.run(w.list())->size() == 1);  // the report; the original is done
  // The crash: the done marks were lost, and both are read back.
  const auto read_back = [&](const Outcome& one) {
    RecipientInfo info;
    info.note = Reporter::note_of(one, w.queue.taken.at(0).id);
    return Reporter::from_note(one.recipient, info);
  };
  auto first = read_back(World::failed(0));
  auto second = read_back(lost);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->reply == Reply{550, "5.1.1", "No such user"});
  CHECK(first->host == "mx.far.example");
  CHECK_FALSE(first->may_have_been_delivered);
  CHECK(second->may_have_been_delivered);
  CHECK(first->earlier == w.queue.taken.at(0).id);
  CHECK(w.report({*first, *second}) == 0);
  CHECK(w.queue.taken.size() == 1);
}

TEST_CASE("a crash between the intent and the report: the report is made then") {
  World w;
  w.add("bob@far.example");
  w.commit();
  RecipientInfo info;
  info.attempts = 3;
  info.note = Reporter::note_of(World::failed(0), MessageId(12345));
  auto again = Reporter::from_note(0, info);
  REQUIRE(again);
  CHECK(again->attempts == 3);
  CHECK(w.report({*again}) == 1);
  CHECK(w.text_of(0).contains("550 5.1.1 No such user"));
}

TEST_CASE("other notes are no intents, and long replies are cut to the length of a note") {
  RecipientInfo info;
  for (const char* note : {"", "relay.deferred: 450 later", "report:", "report:xyz 550 - - no", "report:!"}) {
    info.note = note;
    CHECK_FALSE(Reporter::from_note(0, info));
  }
  Outcome wide = World::failed(0, {550, "", std::string(500, 'w')});
  wide.host = "a host with blanks in it" + std::string(300, 'h');
  info.note = Reporter::note_of(wide, MessageId(99));
  CHECK(info.note.size() <= kNoteLimit);
  auto back = Reporter::from_note(0, info);
  REQUIRE(back);
  CHECK(back->reply.code == 550);
  CHECK(back->reply.enhanced.empty());
  CHECK(back->reply.text.starts_with("wwww"));
  info.state = RecipientState::kDone;
  CHECK_FALSE(Reporter::from_note(0, info));
}

TEST_CASE("reports go through the pipeline like other mail") {
  World w;
  w.use_policy = true;
  w.envelope.sender = address("ann@else.example");
  w.add("bob@far.example");
  w.commit();
  CHECK(w.report({World::failed(0)}) == 1);
  CHECK(w.policy.relay);  // our own report may leave
  CHECK(w.policy.seen_header.contains("Auto-Submitted: auto-replied"));
  CHECK(w.queue.taken.at(0).envelope.sender.is_null());
}

TEST_CASE("a pipeline that defers a report gets it again; one that refuses it has the last word") {
  World w;
  w.use_policy = true;
  w.add("bob@far.example");
  w.commit();
  w.policy.reply = {451, "4.3.0", "not now"};
  CHECK_FALSE(w.report({World::failed(0)}));
  w.policy.reply = {550, "5.7.1", "never"};
  CHECK(w.report({World::failed(0)}) == 0);
  CHECK(w.policy.refusals == 1);
  CHECK(w.log.count("report.refused") == 1);
}

TEST_CASE("more recipients than a report may have make several") {
  World w;
  w.settings.max_recipients = 2;
  std::vector<Outcome> all;
  for (std::uint32_t i = 0; i < 5; ++i) {
    w.add("r" + std::to_string(i) + "@far.example");
    all.push_back(World::failed(i));
  }
  w.commit();
  CHECK(w.report(std::move(all)) == 3);
}

TEST_CASE("a message that was recalled meanwhile has nobody to be told about") {
  World w;
  w.add("bob@far.example");
  w.id = MessageId(777);
  CHECK(w.report({World::failed(0)}) == 0);
}

TEST_CASE("of several reports the last cannot be made: those that the first were about are done") {
  World w;
  w.settings.max_recipients = 1;
  w.add("bob@far.example");
  w.add("eve@far.example");
  w.commit();
  w.directory.answers = 1;
  CHECK_FALSE(w.report({World::failed(0), World::failed(1)}));
  REQUIRE(w.queue.taken.size() == 1);
  CHECK(w.standing(0).state == RecipientState::kDone);
  CHECK(w.standing(1).state != RecipientState::kDone);
}

TEST_CASE("a success is durable before its report, too, and a second report has the first one's Message-ID") {
  World w;
  w.add("bob@far.example", kNotifySuccess);
  w.add("eve@far.example", kNotifySuccess);
  w.add("joe@far.example");  // the message stays for him
  w.commit();
  std::vector<Outcome> good{World::failed(0, {250, "2.1.5", "OK"}), World::failed(1, {250, "2.1.5", "OK"})};
  for (Outcome& one : good) one.kind = Outcome::Kind::kRelayed;
  CHECK(w.report(good) == 1);
  RecipientInfo info;
  info.note = Reporter::note_of(good[1], w.queue.taken.at(0).id);
  auto again = Reporter::from_note(1, info);
  REQUIRE(again);
  CHECK(again->kind == Outcome::Kind::kRelayed);
  CHECK(again->reply == Reply{250, "2.1.5", "OK"});
  CHECK(again->earlier == w.queue.taken.at(0).id);
  CHECK(w.report({*again}) == 0);
  CHECK(w.report(good) == 1);  // as when the first one is gone already
  const auto message_id = [&](std::size_t which) {
    const std::string text = w.text_of(which);
    const std::size_t at = text.find("Message-ID: <report.");
    REQUIRE(at != text.npos);
    return text.substr(at, text.find('\r', at) - at);
  };
  CHECK(message_id(0) == message_id(1));
}

TEST_CASE("an end that is owed is read back as it was, and a token is none") {
  Outcome wide = World::failed(3, {554, "5.7.1", "never " + std::string(300, 'w')});
  wide.may_have_been_delivered = true;
  wide.last_attempt = WallTime(std::chrono::seconds(1'700'000'000));
  RecipientInfo info;
  info.state = RecipientState::kPlaced;
  info.attempts = 2;
  info.note = Reporter::owed_note(wide);
  CHECK(info.note.size() <= kNoteLimit);
  CHECK(Reporter::is_owed(info));
  const auto back = Reporter::from_note(3, info);
  REQUIRE(back);
  CHECK(back->recipient == 3);
  CHECK(back->attempts == 2);
  CHECK(back->may_have_been_delivered);
  CHECK(back->last_attempt == wide.last_attempt);
  CHECK(back->reply.code == 554);
  CHECK_FALSE(back->earlier);
  for (const char* token : {"bob/07az0x0q00000-0", "owed:/07az0x0q00000-0", "owed:f/07az0x0q00000-0", "owed:f@x 1"}) {
    info.note = token;
    CHECK_FALSE(Reporter::is_owed(info));
    CHECK_FALSE(Reporter::from_note(3, info));
  }
}
