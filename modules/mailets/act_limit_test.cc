#include <algorithm>
#include <thread>

#include "mailets_for_tests.h"
#include "postern/wait.h"
#include "rate_table.h"

namespace postern::mailets {
namespace {

using Kind = ActionResult::Kind;

WallTime at(Duration after) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(1'000'000min + after));
}

TEST_CASE("a rate moves with its window and does not jump at its end") {
  RateTable table(60s, 1);
  for (std::uint32_t i = 1; i <= 10; ++i) {
    const auto answer = table.take("a", 1, 10, at(0s));
    CHECK(answer.allowed);
    CHECK(answer.rate == i);
  }
  CHECK_FALSE(table.take("a", 1, 10, at(59s)).allowed);
  CHECK_FALSE(table.take("a", 1, 10, at(60s)).allowed);  // all ten are less than a window ago
  CHECK(table.take("a", 5, 10, at(90s)).allowed);        // half of them still count
  CHECK_FALSE(table.take("a", 1, 10, at(90s)).allowed);
  CHECK(table.take("a", 10, 10, at(240s)).rate == 10);
  CHECK_FALSE(table.take("a", 11, 10, at(1h)).allowed);  // never, by itself
}

TEST_CASE("what is refused does not count, and keys do not share") {
  RateTable table(60s, 1);
  CHECK(table.take("a", 3, 4, at(0s)).allowed);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(table.take("a", 2, 4, at(1s)).allowed);
  CHECK(table.take("a", 1, 4, at(1s)).allowed);
  CHECK(table.take("b", 4, 4, at(1s)).allowed);
}

TEST_CASE("a worker whose clock lags a window counts with the others") {
  RateTable table(1s, 1);
  CHECK(table.take("a", 2, 2, at(10s)).allowed);
  CHECK_FALSE(table.take("a", 1, 2, at(9s)).allowed);
  CHECK(table.take("a", 1, 2, at(20s)).allowed);
  CHECK(table.take("a", 2, 2, at(std::chrono::hours(24 * 150))).allowed);
}

TEST_CASE("a flood of other keys does not free one that is at its limit") {
  RateTable table(1h, 7);
  for (int i = 0; i < 5; ++i) CHECK(table.take("busy", 1, 5, at(0s)).allowed);
  for (std::size_t i = 0; i < 4 * RateTable::kSlots; ++i) table.take("stranger" + std::to_string(i), 1, 5, at(1s));
  CHECK_FALSE(table.take("busy", 1, 5, at(2s)).allowed);
}

TEST_CASE("workers that count one key at once let exactly as many pass as may") {
  RateTable table(1h, 3);
  CHECK(table.take("a", 1, 1'500, at(0s)).allowed);
  std::atomic<int> passed{1};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i)
    workers.emplace_back([&] {
      for (int n = 0; n < 1'000; ++n)
        if (table.take("a", 1, 1'500, at(1s)).allowed) ++passed;
    });
  workers.clear();
  CHECK(passed == 1'500);
}

ScriptValue terms(std::string_view per, int count, std::vector<std::pair<std::string, ScriptValue>> more = {}) {
  more.emplace_back("per", value(per));
  more.emplace_back("count", value(count));
  more.emplace_back("window", value("10m"));
  return table(std::move(more));
}

/// A rule that stays, as it does while scripts do.
struct Limit {
  Mail& m;
  std::shared_ptr<Action> action;

  Limit(Mail& mail, const ScriptValue& arguments)
      : m(mail), action(*mail.rules->action("rate_limit")->make(arguments)) {}
  ActionResult operator()(std::optional<RecipientSet> on = {}) {
    const RecipientSet given = on.value_or(RecipientSet::all(3));
    auto result = m.run(action->run({m.mail, given, m.effects, Stage::kMessage}));
    REQUIRE(result);
    return *result;
  }
  bool passes() { return (*this)().kind == Kind::kNext; }
};

Task<int> wait(Duration duration) {
  co_await sleep_for(duration);
  co_return 0;
}

TEST_CASE("a replay takes the recorded rate, and holds a changed limit against it") {
  Mail m;
  const std::string question = "rate_limit alice@elsewhere.example sender/mails/600000000000/";
  m.effects.answers.emplace();
  (*m.effects.answers)[question] = "2 of 2";
  CHECK(Limit(m, terms("sender", 2)).passes());
  CHECK_FALSE(Limit(m, terms("sender", 1)).passes());
  (*m.effects.answers)[question] = "2 of 2, passed";
  CHECK_FALSE(Limit(m, terms("sender", 2)).passes());
  CHECK(Limit(m, terms("sender", 3)).passes());
  m.effects.answers->clear();
  CHECK(Limit(m, terms("sender", 1)).passes());  // nothing is known: nothing is counted
  CHECK(Limit(m, terms("sender", 1)).passes());
  m.effects.answers.reset();
  Limit one(m, terms("sender", 1));
  CHECK(one.passes());
  CHECK_FALSE(one.passes());
}

TEST_CASE("mails past a sender's rate are deferred until the window has moved on") {
  Mail m;
  Limit limit(m, terms("sender", 2));
  CHECK(limit.passes());
  m.mail.envelope.sender = address("ALICE@elsewhere.example");  // the same one
  CHECK(limit.passes());
  const ActionResult third = limit();
  CHECK(third.kind == Kind::kFinal);
  CHECK(third.verdict.kind == Verdict::Kind::kDefer);
  CHECK(third.verdict.reply.code == 451);
  CHECK(third.verdict.reply.enhanced == "4.7.1");
  const auto trail = Trail::decode(m.mail.trail.bytes());
  CHECK(std::ranges::any_of(*trail, [](const TrailEntry& e) {
    return e.kind == TrailEntry::Kind::kEffect && e.question == "alice@elsewhere.example sender/mails/600000000000/" &&
           e.answer == "2 of 2, passed";
  }));
  m.mail.envelope.sender = address("carol@elsewhere.example");
  CHECK(limit.passes());
  m.mail.envelope.sender = Address();  // bounces have nobody to count for
  for (int i = 0; i < 5; ++i) CHECK(limit.passes());
  m.mail.envelope.sender = address("alice@elsewhere.example");
  m.run(wait(30min));
  CHECK(limit.passes());
}

TEST_CASE("recipients can be counted, and what is too much can go elsewhere") {
  Mail m;
  m.session.client.auth_user = "bob";
  Limit limit(m, terms("user", 5, {{"of", value("recipients")}, {"excess", value("slow")}}));
  CHECK(limit.passes());
  const ActionResult second = limit();
  CHECK(second.kind == Kind::kGo);
  CHECK(second.pipeline == "slow");
  CHECK(limit(only(1)).kind == Kind::kNext);  // one of them still fits
  CHECK(limit.action->goes_to() == "slow");
  CHECK_FALSE(limit.action->is_final());
  m.session.client.auth_user.clear();  // a stranger has no account to count for
  for (int i = 0; i < 5; ++i) CHECK(limit.passes());
}

TEST_CASE("clients are counted by address, of IPv6 by network, and limits of other names apart") {
  Mail m;
  Limit limit(m, terms("client", 1)), same(m, terms("client", 1)), all(m, terms("all", 3));
  Limit other(m, terms("client", 1, {{"name", value("other")}}));
  const auto from = [&](std::string_view ip) { m.session.client.ip = *IpAddress::parse(ip); };
  CHECK(limit.passes());
  CHECK_FALSE(limit.passes());
  CHECK_FALSE(same.passes());
  CHECK(other.passes());
  CHECK(all.passes());
  from("192.0.2.2");
  CHECK(limit.passes());
  CHECK(all.passes());
  from("2001:db8:0:1::1");
  CHECK(limit.passes());
  CHECK(all.passes());
  from("2001:db8:0:1:ffff::2");
  CHECK_FALSE(limit.passes());
  CHECK_FALSE(all.passes());
  from("2001:db8:0:2::1");
  CHECK(limit.passes());
}

TEST_CASE("a rate limit's count outlives a reload that makes the new rules before the old ones go") {
  Mail m;
  std::optional<Limit> old(std::in_place, m, terms("client", 1));
  CHECK(old->passes());
  Limit fresh(m, terms("client", 1));
  old.reset();
  CHECK_FALSE(fresh.passes());
}

TEST_CASE("wrong terms of a rate limit are named") {
  Mail m;
  CHECK(m.complaint("rate_limit") == "needs per");
  CHECK(m.complaint("rate_limit", terms("recipient", 1)).starts_with("per must be"));
  CHECK(m.complaint("rate_limit", terms("user", 0)) == "count must be from 1 to 1000000");
  CHECK(m.complaint("rate_limit", terms("user", 1, {{"of", value("octets")}})) == "of must be mails or recipients");
  CHECK(m.complaint("rate_limit", table({{"per", value("user")}, {"count", value(1)}, {"window", value("60d")}})) ==
        "needs a window from 1s to 31d");
}

}  // namespace
}  // namespace postern::mailets
