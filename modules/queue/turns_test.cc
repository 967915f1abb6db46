// Mail for other servers: turns among destinations and senders, windows, priorities, times that senders ask for,
// collected mail.
#include "fixture_for_tests.h"

namespace postern::queue {

namespace {

using Kind = PlanStep::Kind;

struct Relaying : World {
  explicit Relaying(QueueSettings the_settings = {}, unsigned workers = 1) : World(std::move(the_settings), workers) {
    stop();
    World::transport = &out;
    start();
  }
  ~Relaying() { stop(); }
  MessageId send(std::string to, std::string from = "ann@elsewhere.example") {
    return commit(Envelope{.sender = address(from), .recipients = {}}, {std::move(to)}, {step(Kind::kRelay, {0})});
  }
  std::size_t sent_to(std::string_view hop) const {
    return static_cast<std::size_t>(std::ranges::count(out.sent, hop));
  }
  FakeTransport out;
};

/// Nobody there.
AttemptResult no_host(const AttemptRequest&, std::uint32_t one) {
  return deferred(one, "", {451, "4.4.1", "no answer"});
}

}  // namespace

TEST_CASE("the ring takes turns by destination, then by sender, and higher priorities first") {
  struct Entry {
    char name = 0;
    Entry* next_ready = nullptr;
  };
  FairRing<Entry> ring;
  std::vector<Entry> entries;
  for (char name = 'a'; name <= 'g'; ++name) entries.push_back({name});
  ring.push(1, 7, 0, entries[0]);
  ring.push(1, 7, 0, entries[1]);
  ring.push(1, 8, 0, entries[2]);
  ring.push(2, 7, 0, entries[3]);
  ring.push(2, 7, 5, entries[4]);
  ring.push(3, 7, -9, entries[5]);
  const auto order = [&](auto may) {
    std::string out;
    while (Entry* one = ring.pop(may)) out += one->name;
    return out;
  };
  CHECK(order([](std::uint32_t destination) { return destination != 2; }) == "acbf");
  CHECK_FALSE(ring.empty());
  ring.unpark(2);
  CHECK(order([](std::uint32_t) { return true; }) == "ed");
  CHECK(ring.empty());
}

TEST_CASE("every eighth turn is the lowest priority's") {
  struct Entry {
    int number = 0;
    Entry* next_ready = nullptr;
  };
  FairRing<Entry> ring;
  std::vector<Entry> entries(20);
  for (int i = 0; i < 20; ++i) entries[static_cast<std::size_t>(i)].number = i;
  for (std::size_t i = 0; i < 18; ++i) ring.push(1, 1, 9, entries[i]);
  ring.push(2, 1, -9, entries[18]);
  ring.push(3, 1, -9, entries[19]);
  std::vector<int> order;
  while (Entry* one = ring.pop([](std::uint32_t) { return true; })) order.push_back(one->number);
  CHECK(std::ranges::find(order, 18) - order.begin() == 7);
  CHECK(std::ranges::find(order, 19) - order.begin() == 15);
}

TEST_CASE("items are found by their ids through growth and erasure") {
  ItemTable table;
  for (std::uint64_t id = 1; id <= 5000; ++id) CHECK(table.insert(MessageId(id * 977)).second);
  for (std::uint64_t id = 1; id <= 5000; id += 3) table.erase(*table.find(MessageId(id * 977)));
  for (std::uint64_t id = 1; id <= 5000; ++id) CHECK((table.find(MessageId(id * 977)) != nullptr) == (id % 3 != 1));
  CHECK_FALSE(table.insert(MessageId(2 * 977)).second);
  CHECK(table.insert(MessageId(1 * 977)).second);
  CHECK(table.size() == 3334);
}

TEST_CASE("a destination that never answers does not slow another one") {
  QueueSettings settings;
  settings.remote_concurrency = 20;
  Relaying world(settings);
  const auto ten_minutes = [&](bool with_dead) {
    world.out.sent.clear();
    for (int i = 0; i < 300; ++i) {
      if (with_dead) world.send("joe@dead" + std::to_string(i % 40) + ".example");
      world.send("jim@live.example");
      world.sim.run_for(10ms);
    }
    world.sim.run_for(1s);
    return world.sent_to("live.example");
  };
  CHECK(ten_minutes(false) == 300);
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    const bool dead = request.envelope.recipients[one].address.domain().to_string().starts_with("dead");
    return dead ? no_host(request, one) : delivered(one);
  };
  world.out.before_dot = 2ms;
  world.out.slow = [](const std::string& hop) { return hop.starts_with("dead") ? Duration(5min) : Duration(0); };
  CHECK(ten_minutes(true) == 300);
}

TEST_CASE("a destination that was let go on meanwhile does not stand before one that waits to be proven") {
  QueueSettings settings;
  settings.remote_concurrency = 2;  // one of them may be unproven
  Relaying world(settings);
  const Instant begin = world.sim.worker(0).now();
  world.out.slow = [&](const std::string& hop) {
    if (hop == "slow.example") return Duration(1s);
    return hop == "first.example" && world.out.attempts == 1 ? Duration(100ms) : Duration(0);
  };
  world.send("a@first.example");
  world.send("a@slow.example");
  world.send("b@first.example");
  world.sim.run_until([&] { return world.out.sent.size() == 2; }, 5s);
  REQUIRE(world.out.under_way["slow.example"] == 1);
  world.send("a@late.example");
  world.sim.run_until([&] { return world.queue->shard(0).size() == 0; }, 5s);
  CHECK(world.out.sent == std::vector<std::string>{"first.example", "first.example", "slow.example", "late.example"});
  CHECK(world.sim.worker(0).now() - begin < 2s);
}

TEST_CASE("a destination has one attempt until it answers, then few, and so many and no more") {
  QueueSettings settings;
  settings.destination_concurrency = 6;
  Relaying world(settings);
  world.out.before_dot = 1s;
  for (int i = 0; i < 40; ++i) world.send("jim@live.example");
  world.sim.run_for(500ms);
  INFO("attempts " << world.out.attempts << ", most " << world.out.most << ", queued " << world.queue->shard(0).size());
  CHECK(world.out.under_way["live.example"] == 1);
  world.sim.run_for(1s);
  CHECK(world.out.under_way["live.example"] == static_cast<int>(Destination::kFirstWindow) + 1);
  world.sim.run_for(30s);
  CHECK(world.out.most == 6);
  CHECK(world.sent_to("live.example") == 40);
  CHECK(world.queue->shard(0).size() == 0);
}

TEST_CASE("recipients are handed over by next hop: a slow one keeps nobody of the same message waiting") {
  Relaying world;
  world.out.slow = [](const std::string& hop) { return hop == "slow.example" ? Duration(1h) : Duration(0); };
  world.commit({"a@slow.example", "b@fast.example", "c@slow.example", "d@other.example"},
               {World::step(Kind::kRelay, {0, 1, 2, 3})});
  world.sim.run_for(1s);
  CHECK(world.out.attempts == 3);
  CHECK(world.sent_to("fast.example") == 1);
  CHECK(world.sent_to("other.example") == 1);
  world.sim.run_for(2h);
  CHECK(world.sent_to("slow.example") == 2);
  CHECK(world.queued().empty());
}

TEST_CASE("a bulk sender does not stand before another one") {
  QueueSettings settings;
  settings.destination_concurrency = 1;
  Relaying world(settings);
  world.out.before_dot = 1s;
  for (int i = 0; i < 50; ++i) world.send("a@far.example", "bulk@x.example");
  const MessageId id = world.send("a@far.example", "ann@x.example");
  world.sim.run_for(5s);
  const auto left = world.queued();
  CHECK(std::ranges::none_of(left, [&](const MessageInfo& info) { return info.id == id; }));
}

TEST_CASE("a higher priority goes first") {
  QueueSettings settings;
  settings.destination_concurrency = 1;
  Relaying world(settings);
  world.out.before_dot = 1s;
  for (int i = 0; i < 6; ++i) world.send("a@far.example");
  Envelope urgent{.sender = address("ann@x.example"), .recipients = {}};
  urgent.priority = 9;
  const MessageId id = world.commit(urgent, {"a@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(2500ms);
  CHECK(std::ranges::none_of(world.queued(), [&](const MessageInfo& info) { return info.id == id; }));
  CHECK(world.queued().size() >= 4);
}

TEST_CASE("a refused recipient is told and done, a deferred one is tried again") {
  Relaying world;
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
    AttemptResult result = deferred(one, "mx.far.example", {550, "5.1.1", "no such user"});
    result.kind = AttemptResult::Kind::kRefused;
    return result;
  };
  world.send("joe@far.example");
  world.sim.run_for(1s);
  CHECK(world.queued().empty());
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told[0].second.host == "mx.far.example");
  CHECK(world.teller.told[0].second.reply.enhanced == "5.1.1");
}

TEST_CASE("what the transport did not try does not count, and is not read again before its time") {
  Relaying world;
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
    AttemptResult result = deferred(one, "", {451, "4.4.1", "no answer yesterday"});
    result.attempted = false;
    result.retry_after = 10min;
    return result;
  };
  for (int i = 0; i < 30; ++i) world.send("joe@dead.example");
  world.sim.run_for(9min);
  CHECK(world.out.attempts <= static_cast<int>(Destination::kFirstWindow));
  CHECK(world.queued().size() == 30);
  CHECK(world.queued()[0].recipients[0].attempts == 0);
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) { return delivered(one); };
  world.sim.run_for(30min);
  CHECK(world.queued().empty());
}

TEST_CASE("mail for a destination that stays closed is warned about and given up in time all the same") {
  QueueSettings settings;
  settings.warn_after = 1h;
  settings.give_up_after = 3h;
  Relaying world(settings);
  world.out.answer = [](const AttemptRequest&, std::uint32_t one) {
    AttemptResult result = deferred(one, "", {451, "4.4.1", "no answer yesterday"});
    result.attempted = false;
    result.retry_after = 10min;
    return result;
  };
  for (int i = 0; i < 10; ++i) world.send("joe@dead.example");
  world.sim.run_for(2h);
  CHECK(world.teller.count(Outcome::Kind::kDelayed) == 10);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 0);
  world.sim.run_for(2h);
  CHECK(world.teller.count(Outcome::Kind::kDelayed) == 10);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 10);
  CHECK(world.queued().empty());
}

TEST_CASE("mail that must be there by a time is returned when it is not (RFC 2852)") {
  Relaying world;
  world.out.answer = no_host;
  Envelope envelope{.sender = address("ann@x.example"), .recipients = {}};
  envelope.deliver_by = DeliverBy{world.sim.worker(0).wall() + std::chrono::minutes(10), true, false};
  world.commit(envelope, {"a@far.example"}, {World::step(Kind::kRelay, {0})});
  envelope.deliver_by->return_if_late = false;
  world.commit(envelope, {"a@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(9min);
  CHECK(world.teller.told.empty());
  world.sim.run_for(2min);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 1);
  CHECK(world.teller.count(Outcome::Kind::kDelayed) == 1);
  CHECK(world.queued().size() == 1);
}

TEST_CASE("mail for the future waits for it, also over a restart (RFC 4865)") {
  Relaying world;
  Envelope envelope{.sender = address("ann@x.example"), .recipients = {}};
  envelope.hold_until = world.sim.worker(0).wall() + std::chrono::hours(2);
  world.commit(envelope, {"a@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(1h);
  world.crash_and_restart();
  world.sim.run_for(50min);
  CHECK(world.out.attempts == 0);
  world.sim.run_for(20min);
  CHECK(world.sent_to("far.example") == 1);
}

TEST_CASE("collected mail goes at its count, at its time, or when it is asked for") {
  QueueSettings settings;
  settings.routes["box.example"].release = "every 30m or 5 messages";
  Relaying world(settings);
  for (int i = 0; i < 4; ++i) world.send("a@box.example");
  world.sim.run_for(29min);
  CHECK(world.out.attempts == 0);
  world.sim.run_for(2min);
  CHECK(world.sent_to("box.example") == 4);
  for (int i = 0; i < 5; ++i) world.send("a@box.example");
  world.sim.run_for(1s);
  CHECK(world.sent_to("box.example") == 9);
  for (int i = 0; i < 2; ++i) world.send("a@box.example");
  world.sim.run_for(1min);
  CHECK(world.sent_to("box.example") == 9);
  std::size_t asked = 0;
  CHECK(world.queue->shard(0).request("box.example", &asked));
  CHECK(asked == 2);
  world.sim.run_for(1s);
  CHECK(world.sent_to("box.example") == 11);
  CHECK(world.queue->shard(0).size() == 0);
}

TEST_CASE("collected mail of a gateway is counted over all workers, also what a restart found") {
  for (const bool restarts : {false, true}) {
    INFO("restarts: " << restarts);
    QueueSettings settings;
    settings.routes["box.example"].release = "20 messages";
    settings.hot_messages = 5;
    Relaying world(settings, 2);
    world.out.gateway = "box.example";
    const auto send = [&](int count) {
      for (int i = 0; i < count; ++i) world.send("a@d" + std::to_string(i) + ".example");
      world.sim.run_for(1s);
    };
    send(19);
    if (restarts) world.crash_and_restart();
    world.sim.run_for(10s);
    CHECK(world.out.attempts == 0);
    CHECK(world.queue->shard(0).size() > 0);  // or this proves nothing
    CHECK(world.queue->shard(1).size() > 0);
    send(1);
    CHECK(world.sent_to("box.example") == 20);
    send(19);
    CHECK(world.sent_to("box.example") == 20);
    send(1);
    CHECK(world.sent_to("box.example") == 40);
    CHECK(world.queued().empty());
  }
}

TEST_CASE("collected mail that many messages wait for fills no memory, and their other recipients do not wait") {
  QueueSettings settings;
  settings.routes["box.example"].release = "on request";
  settings.hot_messages = 5;
  settings.local_concurrency = 2;
  Relaying world(settings);
  world.out.gateway = "box.example";
  for (int i = 0; i < 50; ++i) world.send("a@far.example");
  world.sim.run_for(1s);
  world.crash_and_restart();  // nothing tells then where they go before they are read
  world.commit({"a@far.example", "bob@x.example"}, {World::step(Kind::kRelay, {0}), World::deliver({1}, "bob")});
  world.sim.run_for(10s);
  CHECK(world.store.count("bob") == 1);
  CHECK(world.out.attempts == 0);
  std::size_t asked = 0;
  CHECK(world.queue->shard(0).request("box.example", &asked));
  world.sim.run_for(10s);
  CHECK(world.sent_to("box.example") == 51);
}

TEST_CASE(
    "a message for ten thousand recipients at a thousand destinations takes the place of many in memory, and its turns "
    "are short") {
  constexpr std::uint32_t kRecipients = 10'000;
  constexpr std::uint32_t kDestinations = 1000;
  QueueSettings settings;
  settings.hot_messages = 400;
  Relaying world(settings);
  std::vector<std::string> to;
  std::vector<std::uint32_t> all;
  for (std::uint32_t one = 0; one < kRecipients; ++one) {
    to.push_back("u" + std::to_string(one) + "@d" + std::to_string(one % kDestinations) + ".example");
    all.push_back(one);
  }
  world.out.answer = [](const AttemptRequest& request, std::uint32_t one) {
    return request.attempts > 0 ? delivered(one) : deferred(one, "mx.far.example", {450, "4.2.0", "later"});
  };
  for (int i = 0; i < 3; ++i) world.commit(to, {World::step(Kind::kRelay, all)}, false);
  world.crash_and_restart();
  CHECK(world.queue->shard(0).weight() <=
        settings.hot_messages + kRecipients / Active::kRecipientsOfOne + 1 + settings.local_concurrency);
  const auto began = std::chrono::steady_clock::now();
  world.sim.run_for(24h);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  CHECK(world.out.sent.size() == 3 * kRecipients);
  CHECK(world.out.most_in_all <= settings.remote_concurrency);
  CHECK(world.queued().empty());
  MESSAGE("60,000 recipients' turns took " << took.count() << " s");
  CHECK(took.count() < 60);  // squares of 10,000 would show
}

TEST_CASE("mail is collected again after a release, also for a destination that is not a message's first") {
  QueueSettings settings;
  settings.routes["box.example"].release = "on request";
  Relaying world(settings);
  const auto send_both = [&] {
    world.commit({"a@first.example", "a@box.example"}, {World::step(Kind::kRelay, {0, 1})});
    world.sim.run_for(1s);
  };
  send_both();
  CHECK(world.sent_to("first.example") == 1);
  CHECK(world.sent_to("box.example") == 0);
  std::size_t asked = 0;
  CHECK(world.queue->shard(0).request("box.example", &asked));
  world.sim.run_for(1s);
  CHECK(asked == 1);
  CHECK(world.sent_to("box.example") == 1);
  send_both();
  CHECK(world.sent_to("first.example") == 2);
  CHECK(world.sent_to("box.example") == 1);
  CHECK(world.queue->shard(0).request("box.example", &asked));
  world.sim.run_for(1s);
  CHECK(world.sent_to("box.example") == 2);
}

TEST_CASE("mail in the spool for a slow destination does not fill the memory") {
  QueueSettings settings;
  settings.hot_messages = 50;
  settings.local_concurrency = 10;
  Relaying world(settings);
  world.out.slow = [](const std::string& hop) { return hop == "slow.example" ? Duration(1h) : Duration(0); };
  for (int i = 0; i < 200; ++i) world.commit({"a@slow.example"}, {World::step(Kind::kRelay, {0})}, false);
  for (int i = 0; i < 200; ++i) world.commit({"a@fast.example"}, {World::step(Kind::kRelay, {0})}, false);
  world.crash_and_restart();
  world.sim.run_for(10s);
  CHECK(world.sent_to("fast.example") == 200);
}

}  // namespace postern::queue
