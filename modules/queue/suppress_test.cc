#include "suppress.h"

#include <doctest/doctest.h>

#include <memory>

#include "control_for_tests.h"
#include "postern/nursery.h"
#include "postern/sim.h"
#include "postern/text.h"
#include "suppress_arf.h"

using namespace postern;
using namespace postern::queue;

namespace {

Address address(std::string_view text) {
  auto parsed = text.empty() ? Parsed<Address>(Address()) : Address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

struct World {
  explicit World(SuppressionSettings the_settings = {}) : settings(std::move(the_settings)) { restart(); }
  void restart() {
    list = std::make_unique<SuppressionList>(env, "/state", sim.worker(0), settings);
    opened = run(list->open());
  }
  template <class T>
  T run(Task<T> task, unsigned worker = 1) {
    std::optional<T> out;
    Nursery nursery(sim.worker(worker));
    nursery.spawn(detail::store(std::move(task), &out));
    sim.run_until([&] { return nursery.size() == 0; }, 60s);
    REQUIRE(out);
    return std::move(*out);
  }
  Suppression entry(std::string recipient, std::string scope = "*", Duration life = 24h) {
    const WallTime now = sim.worker(0).wall();
    return {.scope = std::move(scope),
            .recipient = std::move(recipient),
            .since = now,
            .until = now + std::chrono::duration_cast<WallTime::duration>(life),
            .why = "for a test"};
  }
  bool add(Suppression one) { return run(list->add(std::move(one))).has_value(); }
  bool listed(std::string_view sender, std::string_view recipient) {
    const bool maybe = list->may_be_listed(address(sender), address(recipient));
    const bool yes = run(list->find(address(sender), address(recipient))).has_value();
    CHECK((maybe || !yes));  // the filter never hides an entry
    return yes;
  }
  std::string ask(const std::string& command, std::map<std::string, std::string, std::less<>> args) {
    FakeControl commands;
    add_suppression_commands(commands, *list);
    Rows rows;
    auto done = run(commands.handlers.at(command)({command, std::move(args)}, rows), 0);
    std::string out = done ? "" : done.error().code;
    for (const std::string& row : rows.all) out += row + "\n";
    return out;
  }

  SimRuntime sim{{.seed = 9, .workers = 2}};
  FaultEnv env{4};
  SuppressionSettings settings;
  Result<void> opened;
  std::unique_ptr<SuppressionList> list;
};

std::string arf(std::string_view fields, std::string_view original) {
  return "From: fbl@provider.example\r\nMIME-Version: 1.0\r\n"
         "Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n"
         "--b\r\nContent-Type: text/plain\r\n\r\nA complaint.\r\n"
         "--b\r\nContent-Type: message/feedback-report\r\n\r\n" +
         std::string(fields) + "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + std::string(original) +
         "\r\nhello\r\n--b--\r\n";
}

}  // namespace

TEST_CASE("an entry holds for its scope and its recipient, without regard to case") {
  World w;
  REQUIRE(w.add(w.entry("bob@far.example")));
  REQUIRE(w.add(w.entry("eve@far.example", "@example.org")));
  REQUIRE(w.add(w.entry("joe@far.example", "ann@example.org")));
  REQUIRE(w.add(w.entry("@dead.example", "@example.org")));
  CHECK(w.listed("ann@example.org", "BOB@Far.Example"));
  CHECK(w.listed("", "bob@far.example"));
  CHECK(w.listed("any@example.org", "eve@far.example"));
  CHECK_FALSE(w.listed("any@else.example", "eve@far.example"));
  CHECK_FALSE(w.listed("", "eve@far.example"));
  CHECK(w.listed("Ann@example.org", "joe@far.example"));
  CHECK_FALSE(w.listed("tom@example.org", "joe@far.example"));
  CHECK(w.listed("ann@example.org", "whoever@dead.example"));
  CHECK_FALSE(w.listed("ann@example.org", "tim@far.example"));
}

TEST_CASE("it survives a restart and a power cut") {
  World w;
  REQUIRE(w.add(w.entry("bob@far.example")));
  REQUIRE(w.add(w.entry("eve@far.example")));
  CHECK(w.run(w.list->remove("*", "EVE@far.example")) == true);
  CHECK(w.run(w.list->remove("*", "eve@far.example")) == false);
  w.env.power_loss(1);
  w.restart();
  REQUIRE(w.opened);
  CHECK(w.listed("", "bob@far.example"));
  CHECK_FALSE(w.listed("", "eve@far.example"));
}

TEST_CASE("an entry ends by itself, a longer one wins, and one for ever stays") {
  World w;
  REQUIRE(w.add(w.entry("bob@far.example", "*", 1h)));
  REQUIRE(w.add(w.entry("bob@far.example", "*", 10min)));
  Suppression for_ever = w.entry("eve@far.example");
  for_ever.until = WallTime::max();
  REQUIRE(w.add(for_ever));
  w.sim.run_for(30min);
  CHECK(w.listed("", "bob@far.example"));
  w.sim.run_for(31min);
  CHECK_FALSE(w.listed("", "bob@far.example"));
  w.restart();
  CHECK(w.list->size() == 1);
  CHECK(w.listed("", "eve@far.example"));
}

TEST_CASE("a torn last line is cut, a damaged one passed over, and the next change mends the file") {
  World w;
  REQUIRE(w.add(w.entry("bob@far.example")));
  REQUIRE(w.add(w.entry("eve@far.example")));
  std::string text = w.env.content("/state/suppression");
  text[5] ^= 1;
  w.env.set_content("/state/suppression", text + "+\t*\ttorn");
  w.restart();
  REQUIRE(w.opened);
  CHECK(w.list->size() == 1);
  CHECK(w.listed("", "eve@far.example"));
  REQUIRE(w.add(w.entry("joe@far.example")));
  w.restart();
  CHECK(w.list->size() == 2);
  CHECK_FALSE(w.env.content("/state/suppression").contains("torn"));
}

TEST_CASE("a disk that fails is told of, and the list works on and recovers") {
  World w;
  w.env.fail_sync(5, 0);
  auto failed = w.run(w.list->add(w.entry("bob@far.example")));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == "suppress.file");
  CHECK(w.listed("", "bob@far.example"));
  REQUIRE(w.add(w.entry("eve@far.example")));
  w.env.power_loss(2);
  w.restart();
  CHECK(w.listed("", "bob@far.example"));
  CHECK(w.listed("", "eve@far.example"));
}

TEST_CASE("the file does not grow with what is gone") {
  World w;
  for (int i = 0; i < 3000; ++i) REQUIRE(w.add(w.entry("bob@far.example", "*", 24h + i * 1s)));
  CHECK(w.env.content("/state/suppression").size() < 150'000);
  w.restart();
  CHECK(w.list->size() == 1);
}

TEST_CASE("beyond its room, what ends soonest goes") {
  SuppressionSettings settings;
  settings.max_entries = 100;
  World w(settings);
  for (int i = 0; i < 101; ++i) REQUIRE(w.add(w.entry("r" + std::to_string(i) + "@far.example", "*", 24h + i * 1h)));
  CHECK(w.list->size() <= 100);
  CHECK(w.list->size() >= 90);
  CHECK_FALSE(w.listed("", "r0@far.example"));
  CHECK(w.listed("", "r100@far.example"));
}

TEST_CASE("what could break the file or match anybody is refused") {
  World w;
  for (const char* recipient : {"", "bob", "@", "a b@far.example", "bob@far.example\n+\t*", "*"})
    CHECK_FALSE(w.add(w.entry(recipient)));
  for (const char* scope : {"", "example.org", "@", "x\ty@z.example"})
    CHECK_FALSE(w.add(w.entry("bob@far.example", scope)));
  Suppression odd = w.entry("bob@far.example");
  odd.why = "two\nlines\tand tabs" + std::string(500, 'w');
  REQUIRE(w.add(odd));
  w.restart();
  CHECK(w.list->size() == 1);
}

TEST_CASE("lines are read back as they were written, and nothing else is") {
  const Suppression entry{.scope = "@example.org",
                          .recipient = "bob@far.example",
                          .reason = SuppressReason::kComplained,
                          .since = WallTime(std::chrono::seconds(1000)),
                          .until = WallTime::max(),
                          .why = "abuse"};
  const std::string line = suppression_line(entry, true);
  auto back = parse_suppression_line(line);
  REQUIRE(back);
  CHECK(back->add);
  CHECK(back->entry == entry);
  for (std::size_t i = 0; i < line.size() - 1; ++i) {
    std::string damaged = line;
    damaged[i] ^= 4;
    CHECK_FALSE(parse_suppression_line(damaged));
  }
  CHECK_FALSE(parse_suppression_line(""));
  CHECK_FALSE(parse_suppression_line("+\t*\t*"));
}

TEST_CASE("a hard bounce teaches it, for the sender's domain; a policy refusal does not") {
  World w;
  const Address ann = address("ann@example.org");
  CHECK(w.run(w.list->learn(ann, address("gone@far.example"), {550, "5.1.1", "no such user"})) == true);
  CHECK(w.run(w.list->learn(ann, address("strict@far.example"), {550, "5.7.1", "not from you"})) == false);
  CHECK(w.run(w.list->learn(ann, address("full@far.example"), {552, "5.2.2", "full"})) == false);
  CHECK(w.run(w.list->learn(Address(), address("gone2@far.example"), {550, "5.1.1", "no such user"})) == false);
  CHECK(w.listed("tom@example.org", "gone@far.example"));
  CHECK_FALSE(w.listed("tom@else.example", "gone@far.example"));
  CHECK_FALSE(w.listed("ann@example.org", "strict@far.example"));
}

namespace {

const FeedbackProof& proof() {
  static const FeedbackProof kProof({"a secret of sixteen letters"});
  return kProof;
}

std::string field(World& w, std::string_view sender, std::string_view recipient) {
  return std::string(FeedbackProof::kField) + ": " +
         proof().make(address(sender), address(recipient), w.sim.worker(0).wall()) + "\r\n";
}

std::string named(std::string_view sender, std::string_view recipient) {
  return "Feedback-Type: abuse\r\nUser-Agent: P/1\r\nVersion: 1\r\nOriginal-Mail-From: <" + std::string(sender) +
         ">\r\nOriginal-Rcpt-To: <" + std::string(recipient) + ">\r\n";
}

}  // namespace

TEST_CASE("a complaint that returns our proof teaches it, for the sender alone") {
  World w;
  const std::string text = arf(
      named("news@example.org", "Bob@far.example"),
      field(w, "news@example.org", "bob@far.example") + "From: news@example.org\r\nMessage-ID: <9@example.org>\r\n");
  CHECK(w.run(w.list->learn_complaint(text, proof())) == 1);
  CHECK(w.listed("news@example.org", "bob@far.example"));
  CHECK_FALSE(w.listed("ann@example.org", "bob@far.example"));
  const auto all = w.run(w.list->list("", "", 10));
  REQUIRE(all.size() == 1);
  CHECK(all[0].reason == SuppressReason::kComplained);
  CHECK(all[0].why == "abuse (P/1) <9@example.org>");
  CHECK_FALSE(w.run(w.list->learn_complaint("Subject: hello\r\n\r\nhi\r\n", proof())));
}

TEST_CASE("a stranger's word enters nobody: no proof, another's proof, an old one, or one by another secret") {
  World w;
  const std::string claim = named("news@example.org", "bob@far.example");
  const std::string from = "From: news@example.org\r\n";
  const auto entries = [&](const std::string& original) {
    return w.run(w.list->learn_complaint(arf(claim, original), proof())).value();
  };
  CHECK(entries(from) == 0);
  CHECK(entries(from + "Postern-Feedback: 20000 AAAAAAAAAAAAAAAAAAAAAA\r\n") == 0);
  CHECK(entries(from + "Postern-Feedback: \r\n") == 0);
  // Eve got mail herself, and complains for Bob.
  CHECK(entries(from + field(w, "news@example.org", "eve@far.example")) == 0);
  // The proof is of another sender's mail.
  CHECK(entries(from + field(w, "ann@example.org", "bob@far.example")) == 0);
  const FeedbackProof other({"another secret, as long"});
  CHECK(entries(from + "Postern-Feedback: " +
                other.make(address("news@example.org"), address("bob@far.example"), w.sim.worker(0).wall()) + "\r\n") ==
        0);
  const std::string now = field(w, "news@example.org", "bob@far.example");
  w.sim.run_for(24h * (FeedbackProof::kMaxAge + 1));
  CHECK(entries(from + now) == 0);
  CHECK(w.list->size() == 0);
}

TEST_CASE("the addresses may stand in the returned header alone, and the proof says which of them are meant") {
  World w;
  const std::string text =
      arf("Feedback-Type: abuse\r\n", field(w, "bounce@example.org", "eve@far.example") +
                                          "Return-Path: <bounce@example.org>\r\nFrom: News <news@example.org>\r\n"
                                          "To: bob@far.example, eve@far.example\r\n");
  CHECK(w.run(w.list->learn_complaint(text, proof())) == 1);
  CHECK(w.listed("bounce@example.org", "eve@far.example"));
  CHECK_FALSE(w.listed("bounce@example.org", "bob@far.example"));
  const auto read = parse_arf(text);
  REQUIRE(read);
  CHECK(read->senders.size() == 2);
  CHECK(read->recipients.size() == 2);
}

TEST_CASE("what goes from the list goes from the filter, too") {
  World w;
  const auto maybe = [&](std::string_view recipient) {
    return w.list->may_be_listed(address("ann@example.org"), address(recipient));
  };
  REQUIRE(w.add(w.entry("bob@far.example")));
  REQUIRE(w.add(w.entry("bob@far.example", "*", 48h)));  // the same again is counted once
  REQUIRE(w.add(w.entry("eve@far.example", "*", 1h)));
  CHECK(maybe("bob@far.example"));
  CHECK(w.run(w.list->remove("*", "bob@far.example")) == true);
  CHECK_FALSE(maybe("bob@far.example"));
  w.sim.run_for(3h);
  REQUIRE(w.add(w.entry("joe@far.example")));
  CHECK(w.list->size() == 1);
  CHECK_FALSE(maybe("eve@far.example"));
  CHECK(maybe("joe@far.example"));
}

TEST_CASE("what is learnt without a wait holds at once, and is on disk soon after") {
  World w;
  Nursery background(w.sim.worker(0));
  w.list->set_background([&](Task<void> task) { background.spawn(std::move(task)); });
  w.list->learn_later(address("ann@example.org"), address("gone@far.example"), {550, "5.1.1", "no such user"});
  w.list->learn_later(address("ann@example.org"), address("strict@far.example"), {550, "5.7.1", "not from you"});
  w.list->learn_later(Address(), address("gone2@far.example"), {550, "5.1.1", "no such user"});
  w.sim.run_for(1s);
  CHECK(w.listed("tom@example.org", "gone@far.example"));
  CHECK(w.list->size() == 1);
  w.env.power_loss(3);
  w.restart();
  CHECK(w.listed("tom@example.org", "gone@far.example"));
}

TEST_CASE("not every feedback report is a complaint, and not every report is feedback") {
  CHECK(parse_arf(arf("Feedback-Type: opt-out\r\n", ""))->is_complaint());
  CHECK_FALSE(parse_arf(arf("Feedback-Type: not-spam\r\n", ""))->is_complaint());
  CHECK_FALSE(parse_arf(arf("Feedback-Type: auth-failure\r\n", ""))->is_complaint());
  CHECK_FALSE(parse_arf(arf("User-Agent: x\r\n", "")));
  std::string other = arf("Feedback-Type: abuse\r\n", "");
  other.replace(other.find("feedback-report;"), 16, "delivery-status;");
  CHECK_FALSE(parse_arf(other));
  CHECK_FALSE(parse_arf(""));
}

TEST_CASE("administrators see, add and remove entries") {
  World w;
  CHECK(w.ask("suppress.add", {{"recipient", "Bob@far.example"}, {"days", "2"}, {"why", "asked by phone"}})
            .contains("\"recipient\":\"bob@far.example\""));
  CHECK(w.ask("suppress.add", {{"recipient", "@far.example"}, {"scope", "@example.org"}})
            .contains("\"until\":\"never\""));
  CHECK(w.ask("suppress.add", {{"recipient", "nonsense"}}) == "suppress.value");
  CHECK(w.ask("suppress.add", {{"recipient", "x@y.example"}, {"days", "0"}}) == "suppress.value");
  CHECK(w.ask("suppress.add", {{"recipient", "x@y.example"}, {"reason", "spite"}}) == "suppress.value");
  CHECK(split(w.ask("suppress.list", {}), '\n').size() == 3);
  CHECK(split(w.ask("suppress.list", {{"match", "BOB"}}), '\n').size() == 2);
  CHECK(split(w.ask("suppress.list", {{"limit", "1"}}), '\n').size() == 2);
  CHECK(w.ask("suppress.list", {{"limit", "x"}}) == "suppress.value");
  CHECK(w.ask("suppress.remove", {{"recipient", "bob@far.example"}}).contains("\"removed\""));
  CHECK(w.ask("suppress.remove", {{"recipient", "bob@far.example"}}) == "suppress.unknown");
}

TEST_CASE("the filter lets nearly all others pass without a question") {
  SuppressionSettings settings;
  settings.max_entries = 2000;
  World w(settings);
  for (int i = 0; i < 2000; ++i) REQUIRE(w.add(w.entry("r" + std::to_string(i) + "@far.example")));
  int asked = 0;
  for (int i = 0; i < 2000; ++i)
    if (w.list->may_be_listed(address("ann@s" + std::to_string(i) + ".example"),
                              address("s@r" + std::to_string(i) + ".example")))
      ++asked;
  CHECK(asked < 200);  // six probes each, of which one in four hundred errs
}

TEST_CASE("a list that is turned off knows nobody") {
  SuppressionSettings settings;
  settings.enabled = false;
  World w(settings);
  CHECK(w.run(w.list->learn(address("a@b.example"), address("c@d.example"), {550, "5.1.1", ""})) == false);
  CHECK_FALSE(w.listed("a@b.example", "c@d.example"));
}
