// What rules are asked and told of mail under way.
#include <functional>

#include "desk_for_tests.h"
#include "postern/queue_event.h"

namespace postern::queue {

namespace {

using Kind = PlanStep::Kind;

/// Hooks of the queue, and nothing else of a policy.
class Hooks final : public Policy {
 public:
  Task<Verdict> connect(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> ehlo(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> starttls(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> auth(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> mail(Transaction&) override { co_return Verdict{}; }
  Task<Verdict> rcpt(Transaction&, Recipient) override { co_return Verdict{}; }
  Task<Verdict> data(Transaction&) override { co_return Verdict{}; }
  Task<Decision> message(Transaction&) override { co_return Decision{}; }
  Task<void> disconnect(SessionState&) override { co_return; }
  Task<Result<MessageId>> commit(Transaction&, Draft, const Decision&) override { co_return MessageId(); }
  void refused(SessionState&, Transaction*, std::string_view) override {}
  bool has_hooks(Stage stage) const override {
    return wanted.empty() || std::ranges::find(wanted, stage) != wanted.end();
  }
  Task<Verdict> queue_event(QueueEvent& event) override {
    struct Counting {
      explicit Counting(int& the_count) : count(++the_count) {}
      ~Counting() { --count; }
      int& count;
    } const counting(under_way);
    most = std::max(most, under_way);
    co_await sleep_for(takes);
    std::string line(to_string(event.stage));
    for (const std::uint32_t one : event.recipients)
      line += " " + event.envelope.recipients.at(one).address.to_string();
    line += " to " + event.destination;
    if (event.reply.code != 0 && event.stage >= Stage::kDelivered)
      line += " said " + std::to_string(event.reply.code) + " by " + event.host;
    seen.push_back(line);
    if (!answer) co_return Verdict{};
    co_return answer(event);
  }
  std::size_t count(std::string_view beginning) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(seen, [&](const std::string& one) { return one.starts_with(beginning); }));
  }
  std::vector<Stage> wanted;  ///< empty: all
  std::function<Verdict(QueueEvent&)> answer;
  std::vector<std::string> seen;
  Duration takes = 1ms;
  int under_way = 0, most = 0;
};

struct Hooked : World {
  explicit Hooked(QueueSettings the_settings = {}) : World(std::move(the_settings)) {
    stop();
    World::transport = &out;
    World::policy = &hooks;
    start();
  }
  ~Hooked() { stop(); }
  FakeTransport out;
  Hooks hooks;
};

Verdict hold_for(Duration duration) {
  Verdict verdict;
  verdict.kind = Verdict::Kind::kHold;
  verdict.hold = duration;
  return verdict;
}

}  // namespace

TEST_CASE("hooks are told of mail from its arrival to its end, each about its recipients") {
  Hooked world;
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    if (request.envelope.recipients[one].address.local() == "bad") {
      AttemptResult result = deferred(one, "mx.far.example", {550, "5.1.1", "nobody"});
      result.kind = AttemptResult::Kind::kRefused;
      return result;
    }
    if (request.envelope.recipients[one].address.local() == "later" && request.attempts == 0)
      return deferred(one, "mx.far.example", {451, "4.2.0", "busy"});
    return delivered(one);
  };
  world.commit({"eve@x.example", "good@far.example", "bad@far.example", "later@far.example"},
               {World::deliver({0}, "eve"), World::step(Kind::kRelay, {1, 2, 3})});
  world.sim.run_for(30min);
  const auto& seen = world.hooks.seen;
  CHECK(world.queued().empty());
  CHECK(std::ranges::find(seen, "queued eve@x.example good@far.example bad@far.example later@far.example to ") !=
        seen.end());
  CHECK(std::ranges::find(seen, "route good@far.example bad@far.example later@far.example to far.example") !=
        seen.end());
  CHECK(std::ranges::find(seen, "attempt good@far.example bad@far.example later@far.example to far.example") !=
        seen.end());
  CHECK(std::ranges::find(seen, "delivered eve@x.example to eve said 250 by ") != seen.end());
  CHECK(std::ranges::find(seen, "delivered good@far.example to far.example said 250 by mx.far.example") != seen.end());
  CHECK(std::ranges::find(seen, "bounced bad@far.example to  said 550 by mx.far.example") != seen.end());
  CHECK(std::ranges::find(seen, "deferred later@far.example to  said 451 by mx.far.example") != seen.end());
  CHECK(std::ranges::find(seen, "attempt later@far.example to far.example") != seen.end());
  CHECK(world.hooks.count("delivered") == 3);
  CHECK(world.hooks.count("bounced") == 1);
}

TEST_CASE("a hook at route says where mail goes in this turn; the plan stays as it was") {
  Hooked world;
  world.hooks.answer = [](QueueEvent& event) {
    if (event.stage == Stage::kRoute) {
      event.options["gateway"] = "inside.example:26";
      event.options["sender"] = "forged@elsewhere.example";  // not a hook's
    }
    return Verdict{};
  };
  std::map<std::string, std::string> options;
  world.out.answer = [&](const AttemptRequest& request, std::uint32_t one) {
    options = request.step.options;
    return request.attempts == 0 ? deferred(one, "h", {451, "4.2.0", "busy"}) : delivered(one);
  };
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(1s);
  CHECK(options == std::map<std::string, std::string>{{"gateway", "inside.example:26"}});
  world.hooks.answer = nullptr;
  world.sim.run_for(30min);
  CHECK(options.empty());
  CHECK(world.queued().empty());
}

TEST_CASE("a hook at attempt puts mail off, by a time or by the schedule, and refuses it for good") {
  Hooked world;
  world.hooks.wanted = {Stage::kAttempt};
  int asked = 0;
  world.hooks.answer = [&](QueueEvent&) {
    switch (++asked) {
      case 1:
        return hold_for(10min);
      case 2:
        return Verdict::defer(451, "4.7.1", "not at night");
      default:
        return Verdict{};
    }
  };
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(9min);
  CHECK(asked == 1);
  world.sim.run_for(70s);
  CHECK(asked == 2);
  CHECK(world.out.attempts == 0);
  CHECK(world.queued().at(0).recipients.at(0).note.find("not at night") != std::string::npos);
  world.sim.run_for(2h);
  CHECK(world.out.sent == std::vector<std::string>{"far.example"});

  world.hooks.answer = [](QueueEvent&) { return Verdict::reject(550, "5.7.1", "never"); };
  world.commit({"eve@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(1min);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("who is held back at attempt is shown as held, since when and why, also after a restart, and can be let go") {
  Hooked world;
  world.hooks.wanted = {Stage::kAttempt};
  world.hooks.answer = [](QueueEvent&) {
    Verdict verdict = hold_for(1h);
    verdict.reason = "not at night";
    verdict.rule = "night.lua:3";
    return verdict;
  };
  const std::string id = world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})}).to_string();
  world.sim.run_for(1s);
  const auto shown = [&world, &id] {
    Desk desk(world);
    return desk.ask("queue.show", {{"id", id}}).at(0);
  };
  const std::string first = shown();
  CHECK(first.find("\"state\":\"held\"") != std::string::npos);
  CHECK(first.find("\"why\":\"hook night.lua:3: not at night\"") != std::string::npos);
  const auto since = [](const std::string& row) { return row.substr(row.find("\"since\":\"")); };
  REQUIRE(first.find("\"since\":\"20") != std::string::npos);
  world.stop();
  world.start();
  world.sim.run_for(130min);  // asked again, twice: it has been held since the first time
  CHECK(world.hooks.count("attempt") == 3);
  CHECK(since(shown()) == since(first));
  Desk desk(world);
  CHECK(desk.ask("queue.list", {{"query", "held"}}).size() == 1);
  CHECK(desk.ask("queue.list", {{"query", "waiting"}}).empty());
  CHECK(world.out.attempts == 0);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.hooks.count("attempt") == 3);
  CHECK(world.out.sent == std::vector<std::string>{"far.example"});
}

TEST_CASE("a hold at route is let go as well, and what goes wrong after it is a wait like any other") {
  Hooked world;
  world.hooks.wanted = {Stage::kRoute};
  world.hooks.answer = [](QueueEvent&) { return hold_for(24h); };
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
    return deferred(one, "mx.far.example", {451, "4.2.0", "busy"});
  };
  const std::string id = world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})}).to_string();
  world.sim.run_for(1s);
  Desk desk(world);
  CHECK(desk.ask("queue.list").at(0).find("\"state\":\"held\"") != std::string::npos);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.out.attempts == 1);
  const std::string row = desk.ask("queue.show", {{"id", id}}).at(0);
  CHECK(row.find("\"state\":\"waiting\"") != std::string::npos);
  CHECK(row.find("busy") != std::string::npos);
  CHECK(row.find("since") == std::string::npos);
  CHECK(row.find("let go") == std::string::npos);  // where it goes is as before
  CHECK(desk.ask("queue.release", {{"id", id}}) == Answer{"queue.not_held"});
}

TEST_CASE("who has been let go leaves also when a hook at route holds others of the same step") {
  Hooked world;
  world.hooks.wanted = {Stage::kRoute, Stage::kAttempt};
  bool at_route = false;
  world.hooks.answer = [&](QueueEvent& event) {
    const bool held =
        at_route ? event.stage == Stage::kRoute : event.stage == Stage::kAttempt && event.destination[0] == 'f';
    return held ? hold_for(24h) : Verdict{};
  };
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    if (request.envelope.recipients.at(one).address.domain().to_string() == "far.example") return delivered(one);
    return deferred(one, "mx.near.example", {451, "4.2.0", "busy"});
  };
  const std::string id =
      world.commit({"bob@far.example", "eve@near.example"}, {World::step(Kind::kRelay, {0, 1})}).to_string();
  world.sim.run_for(1s);
  REQUIRE(world.out.tried == std::vector<std::string>{"near.example"});
  at_route = true;
  Desk desk(world);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.out.tried == std::vector<std::string>{"near.example", "far.example"});
  CHECK(desk.ask("queue.show", {{"id", id}}).at(1).find("\"state\":\"held\"") != std::string::npos);
}

TEST_CASE("a route that cannot be found waits, and is asked for again") {
  Hooked world;
  world.hooks.wanted = {Stage::kRoute};
  bool broken = true;
  world.hooks.answer = [&](QueueEvent&) {
    return broken ? Verdict::defer(451, "4.3.0", "the hook failed") : Verdict{};
  };
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(10s);
  CHECK(world.out.attempts == 0);
  CHECK(world.queued().size() == 1);
  broken = false;
  world.sim.run_for(1h);
  CHECK(world.out.sent == std::vector<std::string>{"far.example"});
}

TEST_CASE("what a hook at route puts off does not go elsewhere because an administrator wants it now") {
  Hooked world;
  world.hooks.wanted = {Stage::kRoute};
  world.hooks.answer = [](QueueEvent&) { return Verdict::defer(451, "4.3.0", "the hook failed"); };
  const auto id = world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(10s);
  const std::size_t before = world.hooks.count("route");
  REQUIRE(world.queue->shard(0).retry(id));
  world.sim.run_for(1s);
  CHECK(world.hooks.count("route") > before);
  CHECK(world.out.attempts == 0);
  CHECK(world.queued().size() == 1);
}

TEST_CASE("hooks at route that wait for long keep no mailbox waiting, and are asked for so many at one time") {
  QueueSettings settings;
  settings.local_concurrency = 2;
  settings.hook_concurrency = 3;
  Hooked world(settings);
  world.hooks.wanted = {Stage::kRoute};
  world.hooks.takes = 10min;
  for (int i = 0; i < 8; ++i) world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(1s);
  world.commit({"eve@x.example"}, {World::deliver({0}, "eve")});
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"eve"});
  CHECK(world.hooks.under_way == 3);

  world.commit({"joe@x.example"}, {World::deliver({0}, "joe")}, false);  // and those that a start finds
  world.crash_and_restart();
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"eve", "joe"});
  CHECK(world.hooks.most <= 3);
  world.sim.run_for(2h);
  CHECK(world.out.sent.size() == 8);
  CHECK(world.hooks.most == 3);
  CHECK(world.queued().empty());
}

TEST_CASE("a message that goes over to the hooks leaves its place among deliveries to the next at once") {
  QueueSettings settings;
  settings.local_concurrency = 1;
  Hooked world(settings);
  world.hooks.wanted = {Stage::kRoute};
  world.hooks.takes = 10min;
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})}, false);
  world.commit({"joe@x.example"}, {World::deliver({0}, "joe")}, false);
  world.stop();
  world.start();
  world.sim.run_for(1s);
  CHECK(world.hooks.under_way == 1);
  CHECK(world.accounts() == std::vector<std::string>{"joe"});
}

TEST_CASE("what was asked for is let go on while a slow hook keeps it from memory, and is not collected again") {
  QueueSettings settings;
  settings.routes["far.example"].release = "on request";
  Hooked world(settings);
  world.hooks.wanted = {Stage::kRoute};
  world.hooks.takes = 10s;
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(1min);
  CHECK(world.out.attempts == 0);
  std::size_t count = 0;
  REQUIRE(world.queue->shard(0).request("far.example", &count));
  CHECK(count == 1);
  world.sim.run_for(5s);  // another one passes meanwhile, which has nothing to do with hooks
  world.commit({"eve@far.example"}, {World::deliver({0}, "eve")});
  world.sim.run_for(1min);
  CHECK(world.out.sent == std::vector<std::string>{"far.example"});
}

TEST_CASE("a hook that holds mail for no time at all is not asked without end") {
  Hooked world;
  world.hooks.wanted = {Stage::kAttempt};
  world.hooks.answer = [](QueueEvent&) { return hold_for(0s); };
  world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(10s);
  CHECK(world.hooks.count("attempt") >= 2);
  CHECK(world.hooks.count("attempt") <= 11);
  CHECK(world.out.attempts == 0);
}

TEST_CASE("what is taken back or dropped while a hook is asked is not sent") {
  Hooked world;
  world.hooks.wanted = {Stage::kRoute, Stage::kAttempt};
  world.hooks.takes = 10s;
  const auto id = world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(5s);
  static_cast<void>(world.queue->shard(0).recall(id));
  world.sim.run_for(1min);
  CHECK(world.out.sent.empty());
}

TEST_CASE("thousands of recipients that end alike are told together, and none is left out") {
  Hooked world;
  world.hooks.wanted = {Stage::kDelivered, Stage::kDeferred, Stage::kBounced};
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    if (one % 3 == 0) return delivered(one);
    AttemptResult result = deferred(one, "mx.far.example", {450, "4.2.1", "busy"});
    if (one % 3 == 1 || request.attempts > 0) {
      result.kind = AttemptResult::Kind::kRefused;
      result.reply = {550, "5.1.1", "nobody"};
    }
    return result;
  };
  std::vector<std::string> recipients;
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < 6000; ++i) {
    recipients.push_back("r" + std::to_string(i) + "@far.example");
    all.push_back(i);
  }
  world.commit(recipients, {World::step(Kind::kRelay, all)});
  world.sim.run_for(1h);
  std::size_t named = 0;
  for (const std::string& line : world.hooks.seen)
    if (!line.starts_with("deferred")) named += static_cast<std::size_t>(std::ranges::count(line, '@'));
  CHECK(named == 6000);
  CHECK(world.metrics.render().find("postern_queue_hooks_skipped_total 0") != std::string::npos);
}

TEST_CASE("slow hooks that are only told hold no mail, and are told no more than they can bear") {
  Hooked world;
  world.hooks.wanted = {Stage::kDelivered};
  world.hooks.takes = 1h;
  for (int i = 0; i < 1100; ++i) world.commit({"bob@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(10min);
  CHECK(world.out.sent.size() == 1100);
  CHECK(world.metrics.render().find("postern_queue_hooks_skipped_total 100") != std::string::npos);
}

}  // namespace postern::queue
