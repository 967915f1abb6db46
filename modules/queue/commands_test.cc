// What an administrator asks of the queue, and what the answers are.
#include "desk_for_tests.h"
#include "selection.h"

namespace postern::queue {

TEST_CASE("list and show tell where a message stands and why") {
  World world;
  Desk desk(world);
  CHECK(desk.ask("queue.list").empty());
  world.store.fault_now = {"store.full", "no room"};
  const std::string id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}).to_string();
  world.sim.run_for(10s);
  const Answer list = desk.ask("queue.list", {{"limit", "5"}});
  REQUIRE(list.size() == 1);
  CHECK(list[0].find("\"id\":\"" + id + "\"") != std::string::npos);
  CHECK(list[0].find("\"state\":\"waiting\",\"recipients\":1,\"attempts\":1") != std::string::npos);
  const Answer show = desk.ask("queue.show", {{"id", id}});
  REQUIRE(show.size() == 1);
  CHECK(show[0].find("\"recipient\":\"bob@x.example\"") != std::string::npos);
  CHECK(show[0].find("\"why\":\"store.full: no room\"") != std::string::npos);
  CHECK(desk.ask("queue.show", {{"id", "nonsense"}}) == Answer{"queue.id"});
  CHECK(desk.ask("queue.list", {{"limit", "0"}}) == Answer{"queue.limit"});
}

TEST_CASE("retry does not wait for the schedule") {
  World world;
  Desk desk(world);
  world.store.fault_now = {"store.full", "no room"};
  const std::string id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}).to_string();
  world.sim.run_for(10s);
  world.store.fault_now = {};
  CHECK(desk.ask("queue.retry", {{"id", id}}) == Answer{"{\"retried\":1}"});
  world.sim.run_for(1s);
  CHECK(world.store.count("bob") == 1);
  CHECK(desk.ask("queue.retry") == Answer{"{\"retried\":0}"});
  CHECK(desk.ask("queue.retry", {{"id", id}}) == Answer{"spool.gone"});
}

TEST_CASE("a held message stays until it is released, also over a restart") {
  World world;
  Desk desk(world);
  world.store.fault_now = {"store.full", "no room"};
  const std::string id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}).to_string();
  world.sim.run_for(10s);
  CHECK(desk.ask("queue.release", {{"id", id}}) == Answer{"queue.not_held"});
  CHECK(desk.ask("queue.hold", {{"id", id}}) == Answer{"{\"id\":\"" + id + "\",\"held\":true,\"under_way\":false}"});
  world.crash_and_restart();
  Desk later(world);
  world.sim.run_for(24h);
  CHECK(later.ask("queue.retry", {{"id", id}}) == Answer{"queue.not_waiting"});
  world.store.fault_now = {};
  CHECK(world.store.count("bob") == 0);
  CHECK(later.ask("queue.list").at(0).find("\"state\":\"held\"") != std::string::npos);
  CHECK(later.ask("queue.release", {{"id", id}}) == Answer{"{\"id\":\"" + id + "\",\"released\":true}"});
  world.sim.run_for(1s);
  CHECK(world.store.count("bob") == 1);
}

TEST_CASE("a release sends quarantined mail where its address leads") {
  World world;
  Desk desk(world);
  const std::string id = world.commit({"bob@x.example"}, {World::step(PlanStep::Kind::kQuarantine, {0})}).to_string();
  world.sim.run_for(1s);
  CHECK(world.store.delivered.empty());
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"bob"});
}

TEST_CASE("released mail follows an alias to its mailbox") {
  World world;
  Desk desk(world);
  world.directory.alias("bob@x.example", {"robert@x.example"});
  world.directory.alias("robert@x.example", {"bob.r@x.example"});
  const std::string id = world.commit({"bob@x.example"}, {World::step(PlanStep::Kind::kQuarantine, {0})}).to_string();
  world.sim.run_for(1s);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"bob.r"});
  CHECK(world.queued().empty());
}

TEST_CASE("released mail whose address leads to several or round in a circle stays, and nobody is told") {
  World world;
  Desk desk(world);
  world.directory.alias("all@x.example", {"bob@x.example", "eve@x.example"});
  world.directory.alias("ring@x.example", {"ring@x.example"});
  for (const std::string to : {"all@x.example", "ring@x.example"}) {
    const std::string id = world.commit({to}, {World::step(PlanStep::Kind::kQuarantine, {0})}).to_string();
    world.sim.run_for(1s);
    CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
    world.sim.run_for(24h * 6);
    const auto queued = world.queued();
    REQUIRE(!queued.empty());
    CHECK(queued.back().hold_reason == "released, but " + to + " is an alias that does not lead to one address");
    CHECK(queued.back().held_until == WallTime::max());
  }
  CHECK(world.store.delivered.empty());
  CHECK(world.teller.told.empty());
  world.directory.known.clear();
  CHECK(desk.ask("queue.release", {{"id", world.queued().front().id.to_string()}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"all"});
}

TEST_CASE("released mail waits for a directory that does not answer, however old it is") {
  World world;
  Desk desk(world);
  world.directory.known["bob@x.example"].kind = AddressLookup::Kind::kTemporary;
  const std::string id = world.commit({"bob@x.example"}, {World::step(PlanStep::Kind::kQuarantine, {0})}).to_string();
  world.sim.run_for(1s);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  REQUIRE(world.queued().size() == 1);
  CHECK(world.queued()[0].recipients[0].note == "queue.directory: no answer about bob@x.example");
  world.sim.run_for(24h * 6);
  for (const auto& [about, outcome] : world.teller.told) CHECK(outcome.kind == Outcome::Kind::kDelayed);
  REQUIRE(world.queued().size() == 1);
  CHECK(world.queued()[0].hold_reason == "released, but the directory does not answer for bob@x.example");
  world.directory.known.clear();
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.accounts() == std::vector<std::string>{"bob"});
}

TEST_CASE("a released mail's sender hears that there is no such mailbox, in these words") {
  World world;
  Desk desk(world);
  world.directory.known["bob@x.example"].kind = AddressLookup::Kind::kNoSuchUser;
  const std::string id = world.commit({"bob@x.example"}, {World::step(PlanStep::Kind::kQuarantine, {0})}).to_string();
  world.sim.run_for(1s);
  CHECK(desk.ask("queue.release", {{"id", id}}).size() == 1);
  world.sim.run_for(24h * 6);
  REQUIRE(world.teller.count(Outcome::Kind::kFailed) == 1);
  CHECK(world.teller.told.back().second.reply.enhanced == "5.1.1");
}

TEST_CASE("recalled mail is delivered to nobody") {
  World world;
  Desk desk(world);
  world.store.fault_now = {"store.full", "no room"};
  const std::string id =
      world.commit({"bob@x.example", "eve@x.example"}, {World::deliver({0}, "bob"), World::deliver({1}, "eve")})
          .to_string();
  world.sim.run_for(10s);
  CHECK(desk.ask("queue.recall", {{"id", id}}) == Answer{"{\"id\":\"" + id + "\",\"recalled\":2,\"too_late\":0}"});
  world.store.fault_now = {};
  world.sim.run_for(24h);
  CHECK(world.store.delivered.empty());
  CHECK(world.queued().empty());
  CHECK(desk.ask("queue.recall", {{"id", id}}) == Answer{"spool.gone"});
}

TEST_CASE("a selection is counted before it is changed, and changed once that is confirmed") {
  World world;
  Desk desk(world);
  world.store.fault_now = {"store.full", "no room"};
  for (const char* to : {"bob@x.example", "eve@y.example", "joe@x.example"})
    world.commit({to}, {World::deliver({0}, "bob")});
  world.sim.run_for(10s);
  CHECK(desk.ask("queue.hold", {{"destination", "x.example"}}) == Answer{"{\"matches\":2}"});
  CHECK(desk.ask("queue.list", {{"query", "held"}}).empty());
  CHECK(desk.ask("queue.hold", {{"destination", "x.example"}, {"confirm", "yes"}}) ==
        Answer{"{\"changed\":2,\"unchanged\":0,\"why\":\"\"}"});
  CHECK(desk.ask("queue.list", {{"query", "held"}}).size() == 2);
  CHECK(desk.ask("queue.list", {{"recipient", "EVE@*"}}).size() == 1);
  CHECK(desk.ask("queue.list", {{"sender", "*@elsewhere.example"}}).size() == 3);
  CHECK(desk.ask("queue.list", {{"query", "older:1h"}}).empty());
  CHECK(desk.ask("queue.list", {{"query", "waiting attempts:1 why:room"}}).size() == 1);
  CHECK(desk.ask("queue.hold") == Answer{"queue.query"});
  CHECK(desk.ask("queue.list", {{"query", "younger:1h"}}) == Answer{"queue.query"});
  CHECK(desk.ask("queue.recall", {{"all", "yes"}, {"confirm", "yes"}}) ==
        Answer{"{\"changed\":3,\"unchanged\":0,\"why\":\"\"}"});
  CHECK(world.queued().empty());
}

TEST_CASE("top tells where the most mail waits, and what was said last") {
  World world;
  Desk desk(world);
  for (int i = 0; i < 5; ++i) world.commit({"a@big.example"}, {World::step(PlanStep::Kind::kRelay, {0})});
  world.commit({"a@small.example"}, {World::step(PlanStep::Kind::kRelay, {0})});
  world.sim.run_for(10s);
  const Answer top = desk.ask("queue.top", {{"limit", "1"}});
  REQUIRE(top.size() == 1);
  CHECK(top[0].find("\"destination\":\"big.example\",\"messages\":5,\"recipients\":5,\"held\":0") != std::string::npos);
  CHECK(top[0].find("queue.no_route") != std::string::npos);
}

TEST_CASE("mail that an administrator expires is reported to its sender, held or not") {
  World world;
  Desk desk(world);
  world.store.fault_now = {"store.full", "no room"};
  const std::string id = world.commit({"bob@x.example"}, {World::deliver({0}, "bob")}).to_string();
  world.sim.run_for(10s);
  desk.ask("queue.hold", {{"id", id}});
  CHECK(desk.ask("queue.expire", {{"id", id}}).size() == 1);
  world.sim.run_for(1s);
  CHECK(world.teller.count(Outcome::Kind::kFailed) == 1);
  CHECK(world.queued().empty());
}

TEST_CASE("a pattern's stars stand for anything") {
  CHECK(glob("*@x.example", "bob@X.example"));
  CHECK(glob("b*b@*", "bob@x.example"));
  CHECK_FALSE(glob("b*c@*", "bob@x.example"));
  CHECK(glob("*", ""));
  CHECK_FALSE(glob("", "a"));
  CHECK_FALSE(glob(std::string(50, '*') + "b", std::string(5000, 'a')));
}

}  // namespace postern::queue
