#include "core/dns/caching_resolver.h"

#include <doctest/doctest.h>

#include <deque>
#include <map>

#include "core/dns/loop_for_tests.h"

using namespace postern;
using namespace postern::dns;

namespace {

// Keeps what was asked until the test answers it.
class FakeWire final : public Wire {
 public:
  struct Asked {
    std::string name;
    RecordType type;
    std::function<void(DnsAnswer)> done;
  };
  explicit FakeWire(std::deque<Asked>& asked) : asked_(asked) {}
  ~FakeWire() override {
    for (Asked& question : asked_)
      if (question.done) question.done(DnsAnswer{});
  }
  void send(const std::string& name, RecordType type, std::function<void(DnsAnswer)> done) override {
    asked_.push_back({name, type, std::move(done)});
  }

 private:
  std::deque<Asked>& asked_;
};

struct World {
  explicit World(DnsSettings settings = {})
      : resolver(std::make_unique<CachingResolver>(loop.executor(), settings, std::make_unique<FakeWire>(asked))) {}
  void answer(std::size_t index, DnsStatus status) {
    DnsAnswer out;
    out.status = status;
    out.ttl = 60s;
    if (out.ok()) out.records.emplace_back(TxtRecord{"text"});
    std::exchange(asked[index].done, nullptr)(out);
  }
  TestLoop loop;
  std::deque<FakeWire::Asked> asked;
  std::unique_ptr<CachingResolver> resolver;
  std::map<int, DnsStatus> heard;
};

constexpr Deadline kLong = Deadline::after(10s);

Task<void> ask(World* world, int who, std::string name, Deadline deadline) {
  DnsAnswer answer = co_await world->resolver->query(std::move(name), RecordType::kTxt, deadline);
  world->heard[who] = answer.status;
}

Task<void> one_question_for_many(World* world) {
  Nursery nursery(world->loop.executor());
  nursery.spawn(ask(world, 1, "Example.org", kLong));
  nursery.spawn(ask(world, 2, "example.ORG.", kLong));
  nursery.spawn(ask(world, 3, "other.org", kLong));
  co_await sleep_for(1ms);
  CHECK(world->asked.size() == 2);
  CHECK(world->asked[0].name == "example.org");
  CHECK(world->resolver->stats().outstanding == 2);
  CHECK(world->heard.empty());
  world->answer(0, DnsStatus::kOk);
  world->answer(1, DnsStatus::kNxDomain);
  co_await nursery.join();
  CHECK(world->heard[1] == DnsStatus::kOk);
  CHECK(world->heard[2] == DnsStatus::kOk);
  CHECK(world->heard[3] == DnsStatus::kNxDomain);
  co_await ask(world, 4, "example.org", kLong);
  co_await ask(world, 5, "other.org", kLong);
  CHECK(world->heard[4] == DnsStatus::kOk);
  CHECK(world->heard[5] == DnsStatus::kNxDomain);
  CHECK(world->asked.size() == 2);
  const DnsStats stats = world->resolver->stats();
  CHECK(stats.questions == 5);
  CHECK(stats.coalesced == 1);
  CHECK(stats.hits == 2);
  CHECK(stats.sent == 2);
  CHECK(stats.outstanding == 0);
  CHECK(stats.cache_entries == 2);
}

Task<void> late_answers(World* world) {
  Nursery nursery(world->loop.executor());
  nursery.spawn(ask(world, 1, "slow.org", Deadline::after(5ms)));
  co_await nursery.join();
  CHECK(world->heard[1] == DnsStatus::kTimeout);

  nursery.spawn(ask(world, 2, "slow.org", kLong));
  co_await sleep_for(1ms);
  CHECK(world->asked.size() == 1);  // joined the first question, which is still on its way
  nursery.cancel();
  co_await nursery.join();
  CHECK_FALSE(world->heard.contains(2));

  world->answer(0, DnsStatus::kOk);
  co_await sleep_for(1ms);
  CHECK_FALSE(world->heard.contains(2));
  co_await ask(world, 3, "slow.org", kLong);
  CHECK(world->heard[3] == DnsStatus::kOk);
  CHECK(world->asked.size() == 1);
}

Task<void> too_many(World* world) {
  Nursery nursery(world->loop.executor());
  nursery.spawn(ask(world, 1, "a.org", kLong));
  nursery.spawn(ask(world, 2, "b.org", kLong));
  nursery.spawn(ask(world, 3, "c.org", kLong));
  nursery.spawn(ask(world, 4, "a.org", kLong));
  co_await sleep_for(1ms);
  CHECK(world->heard.size() == 1);
  CHECK(world->heard[3] == DnsStatus::kOverloaded);
  world->answer(0, DnsStatus::kServfail);
  world->answer(1, DnsStatus::kOk);
  co_await nursery.join();
  CHECK(world->heard[4] == DnsStatus::kServfail);
  nursery.spawn(ask(world, 5, "c.org", kLong));  // an overload is not remembered
  co_await sleep_for(1ms);
  REQUIRE(world->asked.size() == 3);
  world->answer(2, DnsStatus::kOk);
  co_await nursery.join();
  CHECK(world->heard[5] == DnsStatus::kOk);
  CHECK(world->resolver->stats().overloaded == 1);
  CHECK(world->resolver->stats().failed == 1);
}

Task<void> no_name(World* world) {
  co_await ask(world, 1, "a..org", kLong);
  CHECK(world->heard[1] == DnsStatus::kNxDomain);
  CHECK(world->asked.empty());
}

Task<void> ends_while_waiting(World* world) {
  Nursery nursery(world->loop.executor());
  nursery.spawn(ask(world, 1, "a.org", kLong));
  co_await sleep_for(1ms);
  world->resolver.reset();
  co_await nursery.join();
  CHECK(world->heard[1] == DnsStatus::kServfail);
}

}  // namespace

TEST_CASE("one question goes out for all who ask it, and the cache answers later ones") {
  World world;
  world.loop.run(one_question_for_many(&world));
}

TEST_CASE("a late answer wakes nobody who has left, and still serves the next") {
  World world;
  world.loop.run(late_answers(&world));
}

TEST_CASE("questions beyond the limit are refused at once, known ones still join") {
  DnsSettings settings;
  settings.max_outstanding = 2;
  World world(settings);
  world.loop.run(too_many(&world));
}

TEST_CASE("what is no name does not exist, and nobody is asked") {
  World world;
  world.loop.run(no_name(&world));
}

TEST_CASE("who waits when the resolver ends gets a failure") {
  World world;
  world.loop.run(ends_while_waiting(&world));
}
