// The records of mails that rules bring in: each has one, and it tells what became of it.
#include <doctest/doctest.h>

#include <cerrno>
#include <map>

#include "core/pipeline/brought_for_tests.h"
#include "core/pipeline/trail_reader.h"

namespace postern {
namespace {

TEST_CASE("what was written before the spool failed has one record, which says that it was accepted") {
  bool among_others = false;
  for (unsigned syncs = 0; syncs < 4; ++syncs) {
    BroughtWorld world;
    world.directory.accounts["dave@ours.example"] = "dave";
    FaultEnv broken;
    auto opened = open_spool({.dir = "/spool", .segment_size = 1 << 20}, {.env = broken,
                                                                          .journal = world.sim.make_lane("journal"),
                                                                          .keeper = world.sim.make_lane("keeper"),
                                                                          .report = {}});
    REQUIRE(opened);
    world.policy->attach_spool(*opened->spool, "mx.ours.example");
    // The copy to each of the two brings in one to the other, which is written before it.
    world.set({make_rule("archive", nullptr, {brings("eve@ours.example"), brings("dave@ours.example")}),
               make_rule("rest", nullptr, {deliver_to("INBOX")})});
    const Decision decision = world.decide();
    REQUIRE(decision.reply().code == 250);
    broken.fail_sync(EIO, syncs);
    REQUIRE_FALSE(world.commit(decision));
    world.trails->flush(world.sim.worker(0));
    world.sim.run_until_idle();
    std::map<std::string, int> records;
    std::size_t accepted = 0;
    for (const TrailRecord& record : find_trails(world.disk, "/trail", {}).records) {
      ++records[record.session];
      if (record.accepted) ++accepted;
    }
    CHECK(accepted == world.queue.messages.size());
    CHECK(records.size() == 4);
    for (const auto& [session, count] : records) CHECK_MESSAGE(count == 1, session);
    among_others = among_others || (accepted != 0 && accepted < records.size());
    world.talk.reset();
  }
  CHECK(among_others);
}

}  // namespace
}  // namespace postern
