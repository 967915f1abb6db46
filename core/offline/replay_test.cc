#include "core/offline/replay.h"

#include <doctest/doctest.h>

#include "core/offline/recorded_mail.h"
#include "core/pipeline/archive.h"
#include "core/pipeline/fixture_for_tests.h"

namespace postern {
namespace {

/// Asks the world in every way that there is, and lets the answers decide.
class Asking final : public Action {
 public:
  Task<Result<ActionResult>> run(RuleCall call) override { return ask(call); }
  static Task<Result<ActionResult>> ask(RuleCall call) {
    const DnsAnswer mx = co_await call.effects.dns("elsewhere.example", RecordType::kMx);
    const auto now = call.effects.clock().time_since_epoch().count();
    const double random = call.effects.random();
    const AddressLookup eve = co_await call.effects.directory().find(address("eve@ours.example"));
    const auto stored = co_await call.effects.kv("memory", {.kind = KeyValueRequest::Kind::kIncrement, .key = "n"});
    call.transaction.edits.append("X-Asked", std::to_string(mx.records.size()) + " " + std::to_string(now) + " " +
                                                 std::to_string(random) + " " + eve.account + " " +
                                                 (stored ? "yes" : stored.error().code));
    call.effects.trail().edit(call.stage, "asking", std::to_string(now) + " " + std::to_string(random) + eve.account);
    co_return ActionResult{};
  }
};

/// Rules that use hooks, splits, edits, verdicts and all effects. `spare` says whom they let off.
std::shared_ptr<RuleSet> asking_rules(bool spare = false) {
  auto rules = std::make_shared<RuleSet>();
  PipelineRules& root = rules->pipelines["root"];
  root.name = "root";
  root.rules.push_back(make_rule("ask", nullptr, {std::make_shared<Asking>()}));
  root.rules.push_back(
      make_rule("first", only({0}), {set_field("X-First", "yes"), deliver_to(spare ? "Spared" : "A")}));
  root.rules.push_back(make_rule("second", only({1}), {say(Verdict::reject(550, "5.7.1", "not you"))}));
  root.rules.push_back(make_rule("rest", nullptr, {deliver_to("INBOX")}));
  Hook greet;
  greet.stage = Stage::kEhlo;
  greet.name = "greet";
  greet.handler = std::make_shared<FnHook>([](const HookCall& call) -> Result<Verdict> {
    call.session.notes["greeted"] = std::string(call.session.client.ehlo);
    if (call.session.client.ehlo == "bad.example") return Verdict::reject(550, "5.7.1", "not that name");
    return Verdict{};
  });
  Hook named = greet;
  named.stage = Stage::kRcpt;
  named.name = "named";
  named.handler = std::make_shared<FnHook>([](const HookCall& call) -> Result<Verdict> {
    const auto tries = call.session.notes.contains("tries") ? std::get<std::int64_t>(call.session.notes["tries"]) : 0;
    call.session.notes["tries"] = tries + 1;
    if (tries >= 3) return Verdict::defer(451, "4.7.1", "too often");
    return Verdict{};
  });
  rules->hooks = {greet, named};
  rules->hash = spare ? 2 : 1;
  return rules;
}

struct Recorded {
  PolicyWorld world;

  explicit Recorded(std::shared_ptr<RuleSet> rules = asking_rules()) {
    world.rules = std::move(rules);
    world.directory.aliases["team@ours.example"] = {"bob@ours.example", "eve@ours.example"};
    world.dns.mx("elsewhere.example", 10, "mx.elsewhere.example");
    world.install();
  }
  /// One mail, whatever becomes of it.
  void send(Talk& talk, const std::vector<std::string>& recipients) {
    if (talk.from("alice@elsewhere.example").refuses())
      return world.policy->refused(talk.session, &*talk.mail, "refused");
    for (const std::string& one : recipients) static_cast<void>(talk.to(one));
    if (talk.mail->envelope.recipients.empty()) return world.policy->refused(talk.session, &*talk.mail, "no recipient");
    const Decision decision = talk.send();
    if (decision.refuses_all()) return world.policy->refused(talk.session, &*talk.mail, decision.reply().text);
    REQUIRE(talk.commit(decision));
  }
  void session(std::string_view ip, const std::vector<std::vector<std::string>>& mails,
               std::string ehlo = "c.example") {
    Talk talk(world, ip);
    talk.session.client.port = 4321;
    talk.session.client.local_port = 25;
    talk.session.client.local_ip = *IpAddress::parse("192.0.2.1");
    talk.session.client.ehlo.clear();
    talk.connect();
    talk.session.client.ehlo = std::move(ehlo);
    if (world.run(world.policy->ehlo(talk.session)).refuses())
      return world.policy->refused(talk.session, nullptr, "ehlo");
    for (const auto& recipients : mails) send(talk, recipients);
  }
  void several() {
    session("203.0.113.9", {{"bob@ours.example"}, {"bob@ours.example", "eve@ours.example", "bob@ours.example"}});
    session("203.0.113.10", {{"team@ours.example"}, {"nobody@ours.example"}, {"x@abroad.example", "bob@ours.example"}});
    session("203.0.113.11", {{"postmaster@ours.example"}}, "bad.example");
    world.trails->flush(world.sim.worker(0));
    world.sim.run_until_idle();
  }

  ReplayTotals replay(std::shared_ptr<RuleSet> rules, std::vector<ReplayFinding>& findings, std::size_t jobs = 2) {
    PreparedRules prepared;
    prepared.gate = std::make_shared<const GateConfig>(world.gate);
    Metrics metrics(1);
    for (std::size_t i = 0; i < jobs; ++i)
      prepared.workers.push_back(compile_rules(rules, prepared.gate, world.settings, metrics));
    Replay replay(prepared, world.directory, nullptr, "mail.example");
    return replay.run(world.disk, {.trails = "/trail", .archive = "/archive", .since = {}, .until = {}},
                      {.finding = [&](const ReplayFinding& one) { findings.push_back(one); }, .progress = {}});
  }
};

std::string told(const std::vector<ReplayFinding>& findings) {
  std::string out;
  for (const ReplayFinding& one : findings) {
    out += one.id + "\n";
    for (const DecisionChange& change : one.changes)
      out += std::string(change.added ? "+ " : "- ") + std::string(to_string(change.line.stage)) + " " +
             change.line.text + "\n";
    for (const auto& asked : one.unanswered) out += "? " + asked.effect + " " + asked.question + " " + asked.why + "\n";
  }
  return out;
}

TEST_CASE("a replay under unchanged rules differs nowhere: hooks, aliases, several mails of a session, refusals") {
  Recorded recorded;
  recorded.several();
  std::vector<ReplayFinding> findings;
  const ReplayTotals totals = recorded.replay(asking_rules(), findings);
  CHECK_MESSAGE(findings.empty(), told(findings));
  CHECK(totals.replayed == 6);
  CHECK(totals.differ == 0);
  CHECK(totals.unanswered == 0);
  CHECK(totals.bodyless == 4);  // reached DATA; nothing was archived
  CHECK(totals.cut + totals.damaged + totals.brought + totals.other == 0);
}

TEST_CASE("with the text every effect, edit and route of the message is led again, and differs nowhere either") {
  Recorded recorded;
  Talk talk(recorded.world);
  talk.connect();
  recorded.world.run(recorded.world.policy->ehlo(talk.session));
  talk.from("alice@elsewhere.example");
  talk.to("team@ours.example");
  talk.to("bob@ours.example");
  REQUIRE(talk.commit(talk.send()));
  TrailRecord record;
  record.session = "s1";
  record.trail = talk.mail->trail.bytes();
  for (const bool spare : {false, true}) {
    const auto mail = recorded_mail(record, "Subject: hi\r\n\r\nhello\r\n");
    REQUIRE(mail);
    CHECK(mail->reached_message);
    OfflineMachine machine({.directory = recorded.world.directory});
    PreparedRules prepared;
    prepared.gate = std::make_shared<const GateConfig>(recorded.world.gate);
    prepared.workers.push_back(
        compile_rules(asking_rules(spare), prepared.gate, recorded.world.settings, machine.metrics()));
    machine.install(prepared);
    RecordedAnswers answers(mail->entries);
    const auto result = machine.run(mail->mail, answers);
    REQUIRE(result);
    CHECK(answers.unanswered().empty());
    const auto changes =
        changes_between(decisions_in(mail->entries, Stage::kMessage), decisions_in(result->trail, Stage::kMessage));
    REQUIRE(changes.size() == (spare ? 2 : 0));
    if (!spare) continue;
    CHECK_FALSE(changes[0].added);
    CHECK(changes[0].line.what == DecisionLine::What::kRoute);
    CHECK(changes[1].line.text.find("folder Spared") != std::string::npos);
  }
}

TEST_CASE("a hook that is new asks what nobody answered: that is told, and never guessed") {
  Recorded recorded;
  recorded.several();
  auto changed = asking_rules();
  struct Asks final : HookHandler {
    static Task<Result<Verdict>> ask(HookCall call) {
      const DnsAnswer answer = co_await call.effects.dns("9.113.0.203.bl.example", RecordType::kA);
      co_return answer.ok() ? Verdict::reject(550, "5.7.1", "listed") : Verdict{};
    }
    Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }
  };
  Hook hook;
  hook.stage = Stage::kMail;
  hook.name = "lists";
  hook.handler = std::make_shared<Asks>();
  changed->hooks.push_back(hook);
  std::vector<ReplayFinding> findings;
  const ReplayTotals totals = recorded.replay(changed, findings, 1);
  CHECK(totals.unanswered == 5);  // all that came to MAIL
  CHECK(totals.differ == 0);
  CHECK(totals.findings == 5);
  REQUIRE_FALSE(findings.empty());
  CHECK(findings[0].unanswered[0].effect == "dns.a");
  CHECK(findings[0].unanswered[0].question == "9.113.0.203.bl.example");
}

/// Brings in a copy.
class Copies final : public Action {
 public:
  explicit Copies(std::string to) : to_(std::move(to)) {}
  Task<Result<ActionResult>> run(RuleCall call) override {
    auto draft = call.effects.begin_draft();
    if (!draft) co_return std::unexpected(draft.error());
    if (auto ok = co_await draft->append("Subject: copy\r\n\r\ncopy\r\n"); !ok) co_return std::unexpected(ok.error());
    BroughtMail mail{.envelope = {}, .draft = std::move(*draft), .rule = {}, .why = "copy_to " + to_};
    mail.envelope.sender = address("alice@elsewhere.example");
    mail.envelope.recipients.push_back({address(to_), "", kNotifyUnset});
    call.transaction.brought.push_back(std::move(mail));
    co_return ActionResult{};
  }

 private:
  std::string to_;
};

/// Judges a copy by what it asks, and remembers what it drew.
class Judges final : public Action {
 public:
  explicit Judges(std::vector<std::string>& drawn) : drawn_(drawn) {}
  Task<Result<ActionResult>> run(RuleCall call) override { return judge(call, &drawn_); }

 private:
  static Task<Result<ActionResult>> judge(RuleCall call, std::vector<std::string>* drawn) {
    const std::string name = call.transaction.envelope.recipients[0].address.local();
    drawn->push_back(name + " " + std::to_string(call.effects.random()));
    ActionResult out;
    const DnsAnswer listed = co_await call.effects.dns(name + ".list.example", RecordType::kA);
    if (!listed.ok()) co_return out;
    out.kind = ActionResult::Kind::kFinal;
    out.verdict = Verdict::reject(552, "5.3.4", "its copies are refused");
    co_return out;
  }
  std::vector<std::string>& drawn_;
};

std::shared_ptr<RuleSet> copying_rules(std::vector<std::string>& drawn) {
  const auto made_here = std::make_shared<FnMatcher>([](const RuleCall& call) {
    return Result<RecipientSet>(call.transaction.session.made_here ? call.recipients
                                                                   : RecipientSet::none(call.recipients.size()));
  });
  auto rules = std::make_shared<RuleSet>();
  PipelineRules& root = rules->pipelines["root"];
  root.name = "root";
  root.rules.push_back(make_rule("judge", made_here, {std::make_shared<Judges>(drawn), deliver_to("Copies")}));
  root.rules.push_back(make_rule("copy", nullptr,
                                 {std::make_shared<Copies>("eve@ours.example"),
                                  std::make_shared<Copies>("bob@ours.example"), deliver_to("INBOX")}));
  rules->hash = 1;
  return rules;
}

TEST_CASE("a mail that is refused for one that it brought in is led again with the answers of all its copies") {
  std::vector<std::string> drawn, drawn_again;
  Recorded recorded(copying_rules(drawn));
  PolicyWorld& world = recorded.world;
  ArchiveSettings all;
  all.keep = ArchiveKeep::kAll;
  Archive archive(all, "/archive", world.disk, world.sim.make_lane("archive"), world.metrics);
  world.policy = std::make_unique<PipelinePolicy>(PipelinePolicy::Options{
      .workers = 1, .metrics = world.metrics, .trails = world.trails.get(), .archive = &archive});
  world.policy->attach(world.directory, &world.queue);
  world.policy->attach_spool(*world.spool, "mail.example");
  world.policy->start(world.sim.worker(0), world.dns, world.log.log());
  world.install();
  world.dns.a("bob.list.example", "127.0.0.2");  // eve's copy is well, bob's is refused, and with it the mail
  recorded.session("203.0.113.9", {{"bob@ours.example"}});
  world.trails->flush(world.sim.worker(0));
  world.sim.run_for(1s);
  CHECK(world.queue.messages.empty());
  REQUIRE(drawn.size() == 2);
  std::vector<ReplayFinding> findings;
  const ReplayTotals totals = recorded.replay(copying_rules(drawn_again), findings, 1);
  CHECK_MESSAGE(findings.empty(), told(findings));
  CHECK(totals.replayed == 1);
  CHECK(totals.bodyless == 0);
  CHECK(totals.brought == 2);
  CHECK(drawn_again == drawn);
}

TEST_CASE("a limit and times bound what is replayed") {
  Recorded recorded;
  recorded.several();
  PreparedRules prepared;
  prepared.gate = std::make_shared<const GateConfig>(recorded.world.gate);
  Metrics metrics(1);
  prepared.workers.push_back(compile_rules(asking_rules(), prepared.gate, recorded.world.settings, metrics));
  Replay replay(prepared, recorded.world.directory, nullptr, "mail.example");
  Replay::Options options{.trails = "/trail", .archive = "/archive", .since = {}, .until = {}, .limit = 2};
  CHECK(replay.run(recorded.world.disk, options, {}).replayed == 2);
  options.limit = 100;
  options.since = WallTime::max();
  CHECK(replay.run(recorded.world.disk, options, {}).replayed == 0);
}

TEST_CASE("what a trail says of session and envelope is what the session had") {
  PolicyWorld world;
  world.install();
  Talk talk(world, "2001:db8::7", SessionRole::kSubmissions);
  ClientInfo& client = talk.session.client;
  client.port = 1234;
  client.local_port = 465;
  client.local_ip = *IpAddress::parse("2001:db8::1");
  client.listener = "submissions";
  client.tls_version = "TLSv1.3";
  client.tls_cipher = "TLS_AES_128_GCM_SHA256";
  client.tls_sni = "mail.ours.example";
  client.ehlo.clear();
  client.esmtp = false;
  talk.connect();
  client.ehlo = "[192.0.2.3]";
  client.esmtp = true;
  world.run(world.policy->ehlo(talk.session));
  client.auth_user = "bob";
  client.auth_mechanism = "PLAIN";
  world.run(world.policy->auth(talk.session));
  talk.session.notes = {{"a=b", std::string("x=y")}, {"n", std::int64_t{-5}}, {"t", true}, {"d", 0.5}};
  talk.mail.emplace(talk.session);
  Envelope& envelope = talk.mail->envelope;
  envelope.sender = address("bob@ours.example");
  envelope.size = 4096;
  envelope.body = BodyType::k8BitMime;
  envelope.smtputf8 = true;
  envelope.ret = DsnReturn::kFull;
  envelope.envid = "QQ314159";
  envelope.priority = -3;
  envelope.deliver_by = DeliverBy{.when = WallTime(5s), .return_if_late = true, .trace = true};
  envelope.hold_until = WallTime(7s);
  talk.mail->answers_each = true;
  world.run(world.policy->mail(*talk.mail));
  const Recipient asked{address("eve@ours.example"), "rfc822;eve+40ours.example", kNotifySuccess | kNotifyFailure};
  world.run(world.policy->rcpt(*talk.mail, asked));
  TrailRecord record;
  record.trail = talk.mail->trail.bytes();
  const auto mail = recorded_mail(record, std::nullopt);
  REQUIRE(mail);
  REQUIRE(mail->mail.steps.size() == 3);
  CHECK(mail->mail.steps[0].client.tls_sni == "mail.ours.example");
  CHECK(mail->mail.steps[0].client.ehlo.empty());
  CHECK(mail->mail.steps[2].client == client);
  CHECK(mail->mail.notes.size() == 4);
  CHECK(mail->mail.notes[0] == std::pair<std::string, NoteValue>("a=b", std::string("x=y")));
  CHECK(mail->mail.notes[1].second == NoteValue(0.5));
  CHECK(mail->mail.notes[2].second == NoteValue(std::int64_t{-5}));
  CHECK(mail->mail.answers_each);
  REQUIRE(mail->mail.recipients.size() == 1);
  CHECK(mail->mail.recipients[0] == asked);
  Envelope without = talk.mail->envelope;
  without.recipients.clear();
  CHECK(mail->mail.envelope == without);
  CHECK_FALSE(mail->reached_message);
}

TEST_CASE("a transaction that differs and asks what is unknown is one finding") {
  Recorded recorded;
  recorded.several();
  auto changed = asking_rules();
  struct Asks final : HookHandler {
    static Task<Result<Verdict>> ask(HookCall call) {
      static_cast<void>(co_await call.effects.dns("9.113.0.203.bl.example", RecordType::kA));
      co_return Verdict::reject(550, "5.7.1", "listed");
    }
    Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }
  };
  Hook hook;
  hook.stage = Stage::kMail;
  hook.name = "lists";
  hook.handler = std::make_shared<Asks>();
  changed->hooks.push_back(hook);
  std::vector<ReplayFinding> findings;
  const ReplayTotals totals = recorded.replay(changed, findings);
  CHECK(totals.unanswered == 5);
  CHECK(totals.differ == 5);
  CHECK(totals.findings == 5);
  CHECK(findings.size() == 5);
}

TEST_CASE("a login that no session came before is nothing to replay") {
  Trail trail;
  trail.start(WallTime{}, "s1", 1);
  trail.fact(Stage::kAuth, "mechanism", "PLAIN");
  TrailRecord record;
  record.trail = trail.bytes();
  const auto mail = recorded_mail(record, std::nullopt);
  REQUIRE_FALSE(mail);
  CHECK(mail.error().code == "replay.other");
}

TEST_CASE("a full trail cannot be replayed, and says so") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("a@b.example");
  for (int i = 0; i < 100; ++i) talk.mail->trail.fact(Stage::kMail, "filler", std::string(4000, 'x'));
  TrailRecord record;
  record.trail = talk.mail->trail.bytes();
  const auto mail = recorded_mail(record, std::nullopt);
  REQUIRE_FALSE(mail);
  CHECK(mail.error().code == "replay.cut");
}

}  // namespace
}  // namespace postern
