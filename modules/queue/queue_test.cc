// Deliveries, turns, retries, holds and releases, in virtual time.
#include "fixture_for_tests.h"

namespace postern::queue {

using Kind = PlanStep::Kind;

TEST_CASE("accepted mail goes to its mailbox, with its return path, and is then gone from the spool") {
  World world;
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(1s);
  REQUIRE(world.store.delivered.size() == 1);
  CHECK(world.store.delivered[0].account == "bob");
  CHECK(world.store.delivered[0].text ==
        "Return-Path: <ann@elsewhere.example>\r\nDelivered-To: bob@x.example\r\nReceived: by us\r\n"
        "Subject: hello\r\nX-Old: yes\r\n\r\nHi.\r\n");
  CHECK(world.queued().empty());
  CHECK(world.queue->shard(0).size() == 0);
  REQUIRE(world.log.last("queue.delivered"));
  CHECK(world.log.last("queue.delivered")->field("rcpt") == "bob@x.example");
}

TEST_CASE("a step's header edits concern its own copies only") {
  World world;
  HeaderEdits edits;
  edits.remove("X-Old");
  edits.append("X-New", "1");
  PlanStep edited = World::deliver({0}, "bob");
  edits.encode(edited.header_edits);
  world.commit({"bob@x.example", "eve@x.example"}, {edited, World::deliver({1}, "eve")});
  world.sim.run_for(1s);
  REQUIRE(world.store.delivered.size() == 2);
  for (const auto& mail : world.store.delivered) {
    const bool bob = mail.account == "bob";
    CHECK((mail.text.find("X-Old") == std::string::npos) == bob);
    CHECK((mail.text.find("X-New: 1\r\n\r\nHi.") != std::string::npos) == bob);
  }
}

TEST_CASE("recipients that share a mailbox get one copy") {
  World world;
  world.commit({"bob@x.example", "robert@x.example"}, {World::deliver({0, 1}, "bob")});
  world.sim.run_for(1s);
  CHECK(world.store.count("bob") == 1);
  CHECK(world.queued().empty());
  CHECK(world.log.count("queue.delivered") == 2);
}

TEST_CASE("discarded mail is never read, staged or kept") {
  World world;
  for (int i = 0; i < 50; ++i) world.commit({"bob@x.example"}, {World::step(Kind::kDiscard, {0})});
  world.sim.run_for(1s);
  CHECK(world.spool.opened == 0);
  CHECK(world.store.stages == 0);
  CHECK(world.queued().empty());
  CHECK(world.log.count("queue.discarded") == 50);
}

TEST_CASE("an account with many mails does not keep another one waiting") {
  QueueSettings settings;
  settings.local_concurrency = 1;
  World world(settings);
  for (int i = 0; i < 20; ++i) world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.commit({"eve@x.example"}, {World::deliver({0}, "eve")});
  world.sim.run_for(5s);
  const auto accounts = world.accounts();
  REQUIRE(accounts.size() == 21);
  const auto eve = std::ranges::find(accounts, "eve") - accounts.begin();
  // When eve's mail came, some of bob's had been delivered already; of the others at most two go first.
  CHECK(eve < 20);
}

TEST_CASE("lines take turns, and keep their order") {
  ReadyRing ring;
  std::vector<Item> items(6);
  for (std::size_t i = 0; i < 4; ++i) ring.push("bob", items[i]);
  ring.push("eve", items[4]);
  ring.push("joe", items[5]);
  std::vector<std::ptrdiff_t> order;
  while (Item* item = ring.pop()) order.push_back(item - items.data());
  CHECK(order == std::vector<std::ptrdiff_t>{0, 4, 5, 1, 2, 3});
  CHECK(ring.empty());
}

TEST_CASE("mail that is not kept in memory is read from the spool when its turn comes") {
  QueueSettings settings;
  settings.hot_messages = 0;
  World world(settings);
  for (int i = 0; i < 30; ++i) world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(5s);
  CHECK(world.store.count("bob") == 30);
  CHECK(world.queued().empty());
}

TEST_CASE("a full store is tried again after 1, 5 and 15 minutes, give or take a tenth") {
  QueueSettings settings;
  settings.retry = "1m, 5m, 15m, 1h";
  World world(settings);
  world.store.fault_now = {"store.full", "no room"};
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(23min);
  REQUIRE(world.store.tried.size() >= 4);
  const Duration wanted[] = {1min, 5min, 15min};
  for (std::size_t i = 0; i < 3; ++i) {
    const Duration waited = world.store.tried[i + 1] - world.store.tried[i];
    CHECK(waited >= wanted[i] * 9 / 10);
    CHECK(waited <= wanted[i] * 11 / 10 + 1s);
  }
  const auto queued = world.queued();
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].recipients[0].attempts == world.store.tried.size());
  CHECK(queued[0].recipients[0].note == "store.full: no room");
  world.store.fault_now = {};
  world.sim.run_for(70min);
  CHECK(world.store.count("bob") == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("an attempt's time survives a restart") {
  World world;
  world.store.fault_now = {"store.full", "no room"};
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(2min);
  REQUIRE(world.store.tried.size() == 2);
  world.crash_and_restart();
  world.sim.run_for(3min);
  CHECK(world.store.tried.size() == 2);
  world.sim.run_for(3min);
  CHECK(world.store.tried.size() == 3);
}

TEST_CASE("mail too old is given up, exactly then, and its sender is told why") {
  QueueSettings settings;
  settings.give_up_after = 10min;
  World world(settings);
  world.store.fault_now = {"store.full", "no room"};
  const MessageId id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  const WallTime start = world.sim.worker(0).wall();
  world.sim.run_for(1h);
  CHECK(world.queued().empty());
  CHECK(world.queue->shard(0).size() == 0);
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told[0].first == id);
  const Outcome& outcome = world.teller.told[0].second;
  CHECK(outcome.kind == Outcome::Kind::kFailed);
  CHECK(outcome.reply.enhanced == "4.2.2");
  CHECK(outcome.attempts == world.store.tried.size());
  CHECK(outcome.last_attempt - start >= 10min - 1s);
  CHECK(outcome.last_attempt - start <= 10min + 1s);
}

TEST_CASE("a sender is warned once, at its time, and not again after a restart") {
  QueueSettings settings;
  settings.warn_after = 1h;
  World world(settings);
  world.store.fault_now = {"store.full", "no room"};
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(59min);
  CHECK(world.teller.told.empty());
  world.sim.run_for(2min);
  REQUIRE(world.teller.count(Outcome::Kind::kDelayed) == 1);
  CHECK(world.teller.told[0].second.will_retry_until);
  world.crash_and_restart();
  world.sim.run_for(24h);
  CHECK(world.teller.told.size() == 1);
  CHECK(world.queued().size() == 1);
}

TEST_CASE("a report that cannot be sent now is sent later, and the recipient waits for that") {
  World world;
  world.teller.failing = true;
  PlanStep bounce = World::step(Kind::kBounce, {0});
  bounce.options = {{"code", "550"}, {"enhanced", "5.7.1"}, {"text", "no thanks"}};
  world.commit({"bob@x.example"}, {bounce});
  world.sim.run_for(30s);
  CHECK(world.teller.calls == 1);
  CHECK(world.queued().size() == 1);
  world.teller.failing = false;
  world.sim.run_for(2min);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("a failure that a crash left half told is told to its end, and not tried again") {
  World world;
  world.store.fault_now = {"store.full", "no room"};
  const MessageId id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}, false);
  world.spool.change_lazily(world.sim.worker(0), world.spool.attempted(id, 0, 3, WallTime{}, "report:x 550"));
  world.crash_and_restart();
  world.sim.run_for(1s);
  CHECK(world.store.stages == 0);
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told[0].second.reply.text == "told before");
  CHECK(world.queued().empty());
}

TEST_CASE("a sender who asked for it hears of a delivery") {
  World world;
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(1s);
  CHECK(world.teller.calls == 0);
  world.notify = kNotifySuccess;
  world.commit({"bob@x.example"}, {World::deliver({0}, "bob")});
  world.sim.run_for(1s);
  CHECK(world.teller.count(Outcome::Kind::kDelivered) == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("quarantined recipients wait for an administrator while the others get their mail") {
  World world;
  PlanStep quarantine = World::step(Kind::kQuarantine, {0});
  quarantine.reason = "looks odd";
  const MessageId id = world.commit({"bob@x.example", "eve@x.example"}, {quarantine, World::deliver({1}, "eve")});
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"eve"});
  auto queued = world.queued();
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].hold_reason == "quarantine: looks odd");

  world.crash_and_restart();
  CHECK(world.accounts() == std::vector<std::string>{"eve"});

  world.spool.route(world.sim.worker(0), id, 0, "released").then([](auto) {});
  world.spool.hold(world.sim.worker(0), id, WallTime{}, {}).then([](auto) {});
  world.sim.run_until_idle();
  world.queue->shard(0).adopt({{.id = id}});
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"eve", "bob"});
  CHECK(world.queued().empty());
}

TEST_CASE("a refusal that came after acceptance is told to the sender with its words") {
  World world;
  PlanStep bounce = World::step(Kind::kBounce, {0});
  bounce.options = {{"code", "550"}, {"enhanced", "5.7.1"}, {"text", "no thanks"}};
  world.commit({"bob@x.example"}, {bounce});
  world.sim.run_for(1s);
  CHECK(world.queued().empty());
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told[0].second.reply == Reply{550, "5.7.1", "no thanks"});
}

TEST_CASE("a step that must wait is done at its time, also after a restart") {
  World world;
  PlanStep later = World::deliver({0}, "bob");
  later.not_before = world.sim.worker(0).wall() + std::chrono::hours(2);
  world.commit({"bob@x.example"}, {later});
  world.sim.run_for(1h);
  CHECK(world.store.stages == 0);
  world.crash_and_restart();
  world.sim.run_for(30min);
  CHECK(world.store.stages == 0);
  world.sim.run_for(1h);
  CHECK(world.store.count("bob") == 1);
}

TEST_CASE("without a transport mail for others waits, and that is said once") {
  World world;
  for (int i = 0; i < 3; ++i) world.commit({"joe@far.example"}, {World::step(Kind::kRelay, {0})});
  world.sim.run_for(10min);
  const auto queued = world.queued();
  REQUIRE(queued.size() == 3);
  CHECK(queued[0].recipients[0].note == "queue.no_route: no module carries mail to other servers");
  CHECK(queued[0].recipients[0].attempts >= 2);
  CHECK(world.log.count("queue.no_route") == 1);
}

TEST_CASE("a transport is asked only about recipients that still wait") {
  FakeTransport transport;
  transport.answer = [](const AttemptRequest& request, std::uint32_t one) {
    return one == 1 && request.attempts == 0 ? deferred(one, "mx.far.example", {451, "4.2.0", "later"})
                                             : delivered(one);
  };
  World world;
  world.stop();
  world.transport = &transport;
  world.start();
  world.commit({"joe@far.example", "jim@far.example"}, {World::step(Kind::kRelay, {0, 1})});
  world.sim.run_for(10s);
  REQUIRE(world.queued().size() == 1);
  CHECK(world.queued()[0].recipients[0].state == RecipientState::kDone);
  CHECK(world.queued()[0].recipients[1].note == "relay.deferred: mx.far.example: 451 4.2.0 later");
  world.sim.run_for(2min);
  CHECK(transport.attempts == 2);
  CHECK(world.queued().empty());
  world.stop();
}

TEST_CASE("a publish that fails is done later, and the mail is not staged a second time") {
  World world;
  world.store.publish_fails = 1;
  world.commit({"bob@x.example", "robert@x.example"}, {World::deliver({0, 1}, "bob")});
  world.sim.run_for(1s);
  CHECK(world.store.delivered.empty());
  CHECK_FALSE(world.queue->shard(0).may_sweep());
  world.sim.run_for(2min);
  CHECK(world.store.count("bob") == 1);
  CHECK(world.store.stages == 1);
  CHECK(world.queue->shard(0).may_sweep());
  CHECK(world.queued().empty());
}

TEST_CASE("old temporary files are swept once a day") {
  World world;
  world.sim.run_for(2h);
  CHECK(world.store.sweeps == 1);
  world.sim.run_for(24h);
  CHECK(world.store.sweeps == 2);
}

}  // namespace postern::queue
