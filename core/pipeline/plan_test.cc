#include <doctest/doctest.h>

#include "postern/pipeline.h"
#include "postern/random.h"

namespace postern {
namespace {

Plan sample() {
  Plan plan;
  PlanStep deliver;
  deliver.recipients = {0, 5, 4};
  deliver.account = "bob";
  deliver.folder = "Junk";
  deliver.flags = {"\\Seen", "$Junk"};
  deliver.header_edits = std::string("\0\1edits", 7);
  deliver.not_before = WallTime(std::chrono::seconds(1767225600));
  PlanStep relay;
  relay.kind = PlanStep::Kind::kRelay;
  relay.recipients = {1};
  relay.options = {{"gateway", "mx.example"}, {"tls", "dane"}};
  relay.reason = "why";
  plan.steps = {deliver, relay};
  return plan;
}

bool same(const PlanStep& a, const PlanStep& b) {
  return a.kind == b.kind && a.recipients == b.recipients && a.account == b.account && a.folder == b.folder &&
         a.flags == b.flags && a.options == b.options && a.reason == b.reason && a.header_edits == b.header_edits &&
         a.not_before == b.not_before;
}

TEST_CASE("a plan comes back from its bytes as it was") {
  const Plan plan = sample();
  std::string bytes;
  plan.encode(bytes);
  const auto back = Plan::decode(bytes);
  REQUIRE(back);
  REQUIRE(back->steps.size() == 2);
  CHECK(same(back->steps[0], plan.steps[0]));
  CHECK(same(back->steps[1], plan.steps[1]));
}

TEST_CASE("a plan of a later version, or cut short anywhere, is a fault") {
  std::string bytes;
  sample().encode(bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(Plan::decode(std::string_view(bytes).substr(0, size)));
  CHECK_FALSE(Plan::decode(bytes + "x"));
  bytes[0] = 2;
  CHECK(Plan::decode(bytes).error().code == "plan.version");
}

TEST_CASE("damaged bytes of a plan never crash") {
  std::string bytes;
  sample().encode(bytes);
  Prng random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) damaged[random.below(damaged.size())] = static_cast<char>(random.next());
    if (auto plan = Plan::decode(damaged))
      for (const PlanStep& step : plan->steps) CHECK(step.recipients.size() <= bytes.size());
  }
}

TEST_CASE("sets of recipients obey set algebra below and above 64") {
  for (const std::size_t size : {0UL, 1UL, 63UL, 64UL, 65UL, 128UL, 200UL}) {
    const RecipientSet all = RecipientSet::all(size), none = RecipientSet::none(size);
    CHECK(all.count() == size);
    CHECK(all.full());
    CHECK(none.empty());
    CHECK((all - all) == none);
    CHECK((none | all) == all);
    RecipientSet some = none;
    for (std::size_t i = 0; i < size; i += 3) some.insert(i);
    CHECK((some & all) == some);
    CHECK(((all - some) | some) == all);
    CHECK(((all - some) & some).empty());
    for (std::size_t i = 0; i < size; ++i) CHECK(some.contains(i) == (i % 3 == 0));
    some.insert(size);
    CHECK_FALSE(some.contains(size));
  }
}

TEST_CASE("a set is written as ranges") {
  RecipientSet set = RecipientSet::none(100);
  for (const std::size_t i : {0UL, 1UL, 2UL, 3UL, 7UL, 63UL, 64UL, 99UL}) set.insert(i);
  CHECK(set.to_string() == "0-3,7,63-64,99");
  set.erase(2);
  set.erase(64);
  CHECK(set.to_string() == "0-1,3,7,63,99");
  CHECK(RecipientSet::none(5).to_string().empty());
}

TEST_CASE("a reply on the wire has its code on every line and nothing injected") {
  CHECK(Reply{250, "2.0.0", "fine"}.wire() == "250 2.0.0 fine\r\n");
  CHECK(Reply{550, "5.7.1", "one\ntwo"}.wire() == "550-5.7.1 one\r\n550 5.7.1 two\r\n");
  CHECK(Reply{550, "5.7.1", "a\r\n250 ok\tb\x7f"}.wire() == "550-5.7.1 a\r\n550 5.7.1 250 ok b \r\n");
  CHECK(Reply{354, "", "go"}.wire() == "354 go\r\n");
  CHECK(Reply{250, "2.0.0", ""}.wire() == "250 2.0.0\r\n");
}

TEST_CASE("a decision answers for all only when all are refused, and rather 4xx than 5xx") {
  Decision decision;
  decision.outcomes = {{Reply{550, "5.1.1", "no"}, "a"}, {Reply{250, "2.0.0", "ok"}, "b"}};
  CHECK(decision.reply().code == 250);
  CHECK(decision.refuses_some());
  CHECK_FALSE(decision.refuses_all());
  decision.outcomes[1].reply = Reply{451, "4.3.0", "later"};
  CHECK(decision.refuses_all());
  CHECK(decision.reply().code == 451);
}

}  // namespace
}  // namespace postern
