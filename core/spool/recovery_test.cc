// What a start makes of damage, torn tails, missing files and poison.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/spool/testing.h"
#include "postern/envelope.h"

using namespace postern;
using namespace postern::spool;

namespace {

/// Dies while `id` is being handled.
void crash_handling(Bench& bench, MessageId id, bool alone) {
  Handling handling = bench.spool->handling(bench.world, id, alone);
  bench.crash();
  bench.open();
}

}  // namespace

TEST_CASE("a message that was handled alone in its second crash is held") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(1, 100), {.trail = "the trail"});
  auto other = *put(bench.world, *bench.spool, make_message(2, 100));
  {
    Handling over = bench.spool->handling(bench.world, other);
  }
  crash_handling(bench, id, false);
  CHECK(bench.list().at(0).crashes == 1);
  CHECK_FALSE(bench.list().at(0).held_until);
  crash_handling(bench, id, true);
  CHECK(bench.list().at(0).crashes == 2);
  CHECK(bench.list().at(0).held_until == WallTime::max());
  CHECK(bench.list().at(1).crashes == 0);
  CHECK(bench.list().at(0).hold_reason ==
        "poison: the server died 2 times while it handled this message, the last time with nothing else under way");
  CHECK(std::ranges::any_of(bench.reports, [](auto& report) { return report.kind == SpoolReport::Kind::kPoison; }));
  auto reader = bench.world.wait(bench.spool->open(bench.world, id));
  CHECK(reader->trail() == "the trail");
}

TEST_CASE("two crashes among others hold nobody, a third one does") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(1, 100));
  for (std::uint32_t crash = 1; crash <= 3; ++crash) {
    crash_handling(bench, id, false);
    CHECK(bench.list().at(0).crashes == crash);
    CHECK(bench.list().at(0).held_until.has_value() == (crash == 3));
  }
  CHECK(bench.list().at(0).hold_reason == "poison: the server died 3 times while it handled this message");
}

TEST_CASE("a message's label is the same after a restart") {
  Bench bench;
  Envelope envelope;
  envelope.sender = *Address::parse("ann@a.example");
  envelope.recipients.push_back({.address = *Address::parse("Bob@B.example")});
  AcceptMeta meta;
  envelope.encode(meta.envelope);
  REQUIRE(put(bench.world, *bench.spool, make_message(1, 100), std::move(meta)));
  const std::uint64_t label = bench.list().at(0).label;
  CHECK((label >> 32) == destination_hash("b.example"));
  CHECK(static_cast<std::uint32_t>(label) == sender_hash(envelope.sender));
  bench.crash();
  bench.open();
  CHECK(bench.list().at(0).label == label);
}

TEST_CASE("damage before a later batch is set aside and reported, and costs only what was damaged") {
  Bench bench;
  std::vector<MessageId> ids;
  for (std::uint64_t i = 0; i < 5; ++i) ids.push_back(*put(bench.world, *bench.spool, make_message(i, 1000)));
  bench.crash();
  std::string octets = bench.env.content("/spool/segments/00000001.seg");
  octets[octets.find("Subject: 2")] ^= 1;
  bench.env.set_content("/spool/segments/00000001.seg", octets);
  bench.open();
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].kind == SpoolReport::Kind::kDamage);
  CHECK(bench.list().size() == 4);
  CHECK(get(bench.world, *bench.spool, ids[2]).error().code == "spool.gone");
  CHECK(*get(bench.world, *bench.spool, ids[4]) == make_message(4, 1000));
  CHECK(bench.env.list("/spool/damaged")->size() == 1);
}

TEST_CASE("damage in the last batch is a torn tail: cut, and written over") {
  Bench bench;
  auto kept = *put(bench.world, *bench.spool, make_message(1, 1000));
  REQUIRE(put(bench.world, *bench.spool, make_message(2, 1000)));
  bench.crash();
  std::string octets = bench.env.content("/spool/segments/00000001.seg");
  octets[octets.find("Subject: 2")] ^= 1;
  bench.env.set_content("/spool/segments/00000001.seg", octets);
  bench.open();
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].kind == SpoolReport::Kind::kTornTail);
  CHECK(bench.list().size() == 1);
  auto later = *put(bench.world, *bench.spool, make_message(3, 50));
  bench.power_cut(4);
  bench.open();
  CHECK(bench.list().size() == 2);
  CHECK(*get(bench.world, *bench.spool, kept) == make_message(1, 1000));
  CHECK(*get(bench.world, *bench.spool, later) == make_message(3, 50));
}

TEST_CASE("damage that comes after the start is noticed when the message is read") {
  Bench bench;
  auto small_one = *put(bench.world, *bench.spool, make_message(1, 1000));
  auto large_one = *put(bench.world, *bench.spool, make_message(2, 200'000));
  for (const char* path : {"/spool/segments/00000001.seg", "/spool/bodies/00000001.body"}) {
    std::string octets = bench.env.content(path);
    octets[5000] ^= 1;
    bench.env.set_content(path, octets);
  }
  CHECK(get(bench.world, *bench.spool, small_one).error().code == "spool.damaged");
  CHECK(get(bench.world, *bench.spool, large_one).error().code == "spool.damaged");
}

TEST_CASE("a body file that is missing is reported, not fatal") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(2, 200'000));
  bench.crash();
  bench.env.unlink("/spool/bodies/00000001.body");
  bench.open();
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].kind == SpoolReport::Kind::kMissingBody);
  CHECK(get(bench.world, *bench.spool, id).error().code == "spool.damaged");
}
