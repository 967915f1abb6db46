// New source addresses: what they may send on a day, who sends instead, and that a restart forgets nothing.
#include "warm_up.h"

#include <fmt/format.h>

#include "postern/config.h"
#include "relay_for_tests.h"
#include "tls_for_tests.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

constexpr UtcDay kToday = std::chrono::year(2026) / 1 / 1;  // on which simulated worlds begin

SourceSettings source(const char* since, std::vector<std::uint32_t> warm_up, const char* address = "198.51.100.1") {
  SourceSettings out;
  out.address = *IpAddress::parse(address);
  out.since = since;
  out.warm_up = std::move(warm_up);
  return out;
}

std::string table(const char* address, const char* more = "") {
  return fmt::format("[[delivery.source]]\naddress = \"{0}\"\nehlo = \"[{0}]\"\n{1}\n", address, more);
}

struct Warm : World {
  explicit Warm(const std::string& settings) : World(settings) { dns.a("example.org", "192.0.2.1"); }
  FakeHost host{*this, "192.0.2.1"};
  AttemptResult one() {
    const auto results = deliver(*mail("a@here.example", {"b@example.org"}));
    REQUIRE(results.size() == 1);
    return results[0];
  }
  std::uint32_t sent(const char* address) {
    return warm_up->sent(*IpAddress::parse(address), utc_day(sim.worker(0).wall()));
  }
};

}  // namespace

TEST_CASE("a schedule says what each day may have, and is over at its end") {
  const SourceSettings one = source("2026-01-01", {50, 100});
  CHECK(warm_up_limit(one, kToday - std::chrono::days(1)) == 0);
  CHECK(warm_up_limit(one, kToday) == 50);
  CHECK(warm_up_limit(one, kToday + std::chrono::days(1)) == 100);
  CHECK(!warm_up_limit(one, kToday + std::chrono::days(2)));
  CHECK(!warm_up_limit(source("", {}), kToday));
}

TEST_CASE("a day's share is counted once for all pools of an address, and anew the next day") {
  const std::vector<SourceSettings> all = {source("2026-01-01", {2, 3}), source("", {}, "198.51.100.2")};
  WarmUp counts(all);
  const WallTime noon = kToday + 12h;
  CHECK(counts.take(all[0], noon));
  CHECK(counts.take(all[0], noon));
  CHECK_FALSE(counts.take(all[0], noon));
  counts.give_back(all[0], noon);
  CHECK(counts.take(all[0], noon));
  CHECK_FALSE(counts.take(all[0], noon));
  for (int at = 0; at < 100; ++at) CHECK(counts.take(all[1], noon));
  for (int at = 0; at < 3; ++at) CHECK(counts.take(all[0], noon + 24h));
  CHECK_FALSE(counts.take(all[0], noon + 24h));
  for (int at = 0; at < 100; ++at) CHECK(counts.take(all[0], noon + 48h));
  counts.give_back(all[0], noon + 96h);
  CHECK(counts.sent(all[0].address, kToday + std::chrono::days(2)) == 100);
}

TEST_CASE("a clock that was wrong for a while does not end a warm-up") {
  const SourceSettings one = source("2026-01-01", {1, 2});
  WarmUp counts({one});
  CHECK(counts.take(one, kToday + 1000 * 24h));
  CHECK(counts.take(one, kToday + 12h));
  CHECK_FALSE(counts.take(one, kToday + 12h));
  CHECK(counts.take(one, kToday + 25h));
  CHECK(counts.take(one, kToday + 23h));  // by the share of the day that has begun elsewhere
  CHECK_FALSE(counts.take(one, kToday + 23h));
}

TEST_CASE("a source that has sent its share is passed over, and the others of its pool go on") {
  Warm world("idle_time = \"0s\"\n" + table("198.51.100.1", "weight = 1000\nsince = \"2026-01-01\"\nwarm_up = [3, 5]") +
             table("198.51.100.2"));
  for (int at = 0; at < 10; ++at) CHECK(world.one().kind == Kind::kDelivered);
  CHECK(world.sent("198.51.100.1") == 3);
  CHECK(std::ranges::count(world.host.commands, "EHLO [198.51.100.1]") == 3);
  CHECK(std::ranges::count(world.host.commands, "EHLO [198.51.100.2]") == 7);
  CHECK(world.log.count("relay.warm_up") == 0);
}

TEST_CASE("when all sources have sent their share mail waits untried, is told of once, and leaves the next day") {
  Warm world(table("198.51.100.1", "since = \"2026-01-01\"\nwarm_up = [2, 1]"));
  CHECK(world.one().kind == Kind::kDelivered);
  CHECK(world.one().kind == Kind::kDelivered);
  for (int at = 0; at < 2; ++at) {
    const AttemptResult result = world.one();
    CHECK(result.kind == Kind::kDeferred);
    CHECK_FALSE(result.attempted);
    REQUIRE(result.retry_after);
    CHECK(*result.retry_after > 1min);
    CHECK(*result.retry_after <= 10min);
    CHECK(result.reply.text.find("warm_up") != std::string::npos);
  }
  CHECK(world.host.mails.size() == 2);
  CHECK(world.log.count("relay.warm_up") == 1);
  world.sim.run_for(24h);
  CHECK(world.one().kind == Kind::kDelivered);
  CHECK_FALSE(world.one().attempted);
  CHECK(world.log.count("relay.warm_up") == 2);
}

TEST_CASE("a connection that is not made costs nothing of the share, and each transaction costs one") {
  Warm world("max_recipients = 1\nback_off = \"1s\"\n" +
             table("198.51.100.1", "since = \"2026-01-01\"\nwarm_up = [3]"));
  world.host.greeting = "554 5.3.2 no";
  CHECK(world.one().kind == Kind::kRefused);
  CHECK(world.sent("198.51.100.1") == 0);
  world.host.greeting = "220 mx.example.org ready";
  world.deliver(*world.mail("a@here.example", {"b@example.org", "c@example.org"}));
  CHECK(world.sent("198.51.100.1") == 2);
}

TEST_CASE("an address that the plan names keeps to its share as well") {
  Warm world(table("198.51.100.1", "since = \"2026-01-01\"\nwarm_up = [1]") + table("198.51.100.2"));
  for (const bool first : {true, false}) {
    const auto letter = world.mail("a@here.example", {"b@example.org"});
    letter->step.options["source"] = "198.51.100.1";
    CHECK(world.deliver(*letter)[0].attempted == first);
  }
}

TEST_CASE("the count outlives a restart and a power cut, and another day's does not matter") {
  testing::TlsWorld world;
  const std::vector<SourceSettings> all = {source("2026-01-01", {5, 5})};
  const auto now = [&] { return world.executor.wall(); };
  {
    auto counts = std::make_shared<WarmUp>(all);
    WarmUpKeeper keeper(world.env, "warm-up", counts, world.log.log());
    keeper.load(utc_day(now()));
    Nursery nursery(world.executor);
    nursery.spawn(keeper.run());
    for (int at = 0; at < 4; ++at) CHECK(counts->take(all[0], now()));
    world.sim.run_for(WarmUpKeeper::kWriteEvery + 1s);
    const auto before = world.env.operations();
    world.sim.run_for(1min);
    CHECK(world.env.operations() == before);  // nothing new, nothing written
    nursery.cancel();
    world.sim.run_until_idle();
  }
  world.env.power_loss(3);
  auto counts = std::make_shared<WarmUp>(all);
  WarmUpKeeper(world.env, "warm-up", counts, world.log.log()).load(utc_day(now()));
  CHECK(counts->sent(all[0].address, utc_day(now())) == 4);
  CHECK(counts->take(all[0], now()));
  CHECK_FALSE(counts->take(all[0], now()));
  world.sim.run_for(24h);
  counts = std::make_shared<WarmUp>(all);
  WarmUpKeeper(world.env, "warm-up", counts, world.log.log()).load(utc_day(now()));
  CHECK(counts->sent(all[0].address, utc_day(now())) == 0);
  for (const char* text : {"", "postern warm-up 2\n2026-01-01\n198.51.100.1 3\n",
                           "postern warm-up 1\n2026-01-01\n198.51.100.1 x\nnobody 3\n198.51.100.9 3\n"}) {
    counts->take_text(text, kToday);
    CHECK(counts->sent(all[0].address, kToday) == 0);
  }
}

TEST_CASE("a disk that fails is told of, and the count is written when it is well") {
  testing::TlsWorld world;
  const std::vector<SourceSettings> all = {source("2026-01-01", {5})};
  const auto counts = std::make_shared<WarmUp>(all);
  WarmUpKeeper keeper(world.env, "warm-up", counts, world.log.log());
  keeper.load(kToday);
  CHECK(counts->take(all[0], kToday + 1h));
  world.env.fail_write(28, 0);
  world.run(keeper.flush());
  CHECK(world.log.count("relay.warm_up_write") == 1);
  world.run(keeper.flush());
  CHECK(world.env.content("warm-up/counts").find("198.51.100.1 1\n") != std::string::npos);
}

TEST_CASE("an address that stands in two pools warms up in one way, or is told of") {
  const auto warned = [](const std::string& second) {
    ConfigSchemas schemas;
    schemas.add<DeliverySettings>();
    Diagnostics diagnostics;
    Config::parse(schemas, "t.toml",
                  "[[delivery.source]]\naddress = \"198.51.100.1\"\nsince = \"2026-02-28\"\nwarm_up = [50]\n"
                  "[[delivery.source]]\npool = \"bulk\"\n" +
                      second,
                  diagnostics);
    return diagnostics.render();
  };
  CHECK(warned("address = \"198.51.100.1\"\nsince = \"2026-02-28\"\nwarm_up = [50]\n").empty());
  CHECK(warned("address = \"198.51.100.2\"\n").empty());
  const std::string told = warned("address = \"198.51.100.1\"\n");
  CHECK(told.find("delivery.warm-up-differs") != std::string::npos);
  CHECK(told.find("t.toml:7:") != std::string::npos);
  CHECK(told.find("in another way at t.toml:2:") != std::string::npos);
}

TEST_CASE("since and warm_up stand together, and a day is one") {
  const auto complaints = [](const std::string& more) {
    ConfigSchemas schemas;
    schemas.add<DeliverySettings>();
    Diagnostics diagnostics;
    Config::parse(schemas, "t.toml", table("198.51.100.1", more.c_str()), diagnostics);
    return diagnostics.render();
  };
  CHECK(complaints("since = \"2026-02-28\"\nwarm_up = [50, 100]").empty());
  CHECK(complaints("warm_up = [50]").find("stand together") != std::string::npos);
  CHECK(complaints("since = \"2026-02-28\"").find("stand together") != std::string::npos);
  for (const char* day : {"2026-02-30", "tomorrow", "2026-2-3", "2026-02-28T00:00:00Z"}) {
    CAPTURE(day);
    CHECK(complaints(fmt::format("since = \"{}\"\nwarm_up = [5]", day)).find("is no day") != std::string::npos);
  }
}

}  // namespace postern::relay::test
