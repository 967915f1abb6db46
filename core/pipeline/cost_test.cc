// What rules and trails cost. The bounds are wide (debug builds, busy machines, sanitizers); the message shows the
// figure.
#include <doctest/doctest.h>

#include <ctime>

#include "core/pipeline/fixture_for_tests.h"

namespace postern {
namespace {

/// Of this thread, so that a busy machine does not count.
double cpu_micros() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

TEST_CASE("five native rules and their trail cost microseconds") {
  PolicyWorld world;
  world.rules = std::make_shared<RuleSet>();
  PipelineRules& root = world.rules->pipelines["root"];
  root.name = "root";
  for (int i = 1; i < 5; ++i) root.rules.push_back(make_rule("root#" + std::to_string(i), only({}), {deliver_to("x")}));
  root.rules.push_back(make_rule("root#5", only({0}), {deliver_to("INBOX")}));
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  talk.send();
  struct Loop {
    static Task<Verdict> run(PolicyWorld* world, Transaction* mail, int rounds) {
      for (int i = 0; i < rounds; ++i) {
        mail->trail.clear();
        const Decision decision = co_await world->policy->message(*mail);
        if (decision.plan.steps.size() != 1) co_return Verdict::reject(550, "5.0.0", "wrong");
      }
      co_return Verdict{};
    }
  };
  constexpr int kRounds = 20'000;
  world.run(Loop::run(&world, &*talk.mail, 100));
  const double before = cpu_micros();
  CHECK_FALSE(world.run(Loop::run(&world, &*talk.mail, kRounds)).decided());
  const double each = (cpu_micros() - before) / kRounds;
  MESSAGE("one message through five rules with its trail: ", each, " us");
  CHECK(each < 100);
}

TEST_CASE("a transaction from MAIL to its plan costs microseconds") {
  PolicyWorld world;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  talk.send();
  struct Loop {
    static Task<Verdict> run(PolicyWorld* world, SessionState* session, Draft* draft, int rounds) {
      const Address sender = address("alice@elsewhere.example");
      const Address recipient = address("bob@ours.example");
      for (int i = 0; i < rounds; ++i) {
        Transaction mail(*session);
        mail.envelope.sender = sender;
        if ((co_await world->policy->mail(mail)).refuses()) co_return Verdict::reject(550, "5.0.0", "mail");
        if ((co_await world->policy->rcpt(mail, {recipient, "", kNotifyUnset})).refuses())
          co_return Verdict::reject(550, "5.0.0", "rcpt");
        mail.draft = draft;
        const Decision decision = co_await world->policy->message(mail);
        if (decision.plan.steps.size() != 1) co_return Verdict::reject(550, "5.0.0", "message");
      }
      co_return Verdict{};
    }
  };
  constexpr int kRounds = 5'000;
  const double before = cpu_micros();
  CHECK_FALSE(world.run(Loop::run(&world, &talk.session, &*talk.draft, kRounds)).decided());
  const double each = (cpu_micros() - before) / kRounds;
  MESSAGE("one transaction of one recipient: ", each, " us");
  CHECK(each < 200);
}

}  // namespace
}  // namespace postern
