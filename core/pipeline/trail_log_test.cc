#include <doctest/doctest.h>

#include <fmt/format.h>

#include "core/pipeline/trail_files.h"
#include "core/pipeline/trail_reader.h"
#include "postern/sim.h"

namespace postern {
namespace {

struct LogWorld {
  SimRuntime sim;
  Metrics metrics{1};
  FaultEnv disk;
  std::unique_ptr<TrailLog> log;
  explicit LogWorld(TrailSettings settings = {}) {
    log = std::make_unique<TrailLog>(std::move(settings), "/trail", disk, sim.make_lane("trail"), 1, metrics);
  }
  void add(int number, std::size_t octets = 10) {
    TrailRecord record;
    record.when = sim.worker(0).wall();
    record.message = fmt::format("id{}", number);
    record.session = fmt::format("s{}", number);
    record.client = "192.0.2.1";
    record.sender = "Alice@Example.org";
    record.recipients = {"bob@ours.example"};
    record.outcome = "550 no";
    record.trail = std::string(octets, 'x');
    log->append(sim.worker(0), record);
  }
  TrailFindings find(std::string text, std::size_t limit = 100) {
    return find_trails(disk, "/trail", {.text = std::move(text), .limit = limit});
  }
};

TEST_CASE("what was written is found by id, session, address in any case, and IP, newest first") {
  LogWorld world;
  for (int i = 0; i < 3; ++i) {
    world.add(i);
    world.sim.run_for(1s);
  }
  CHECK(world.find("id1").records.size() == 1);
  CHECK(world.find("s2").records.size() == 1);
  CHECK(world.find("192.0.2.1").records.size() == 3);
  CHECK(world.find("nobody@ours.example").records.empty());
  const auto all = world.find("alice@example.ORG", 2);
  REQUIRE(all.records.size() == 2);
  CHECK(all.records[0].message == "id2");
  CHECK(all.records[1].message == "id1");
  CHECK(all.records[0].recipients == std::vector<std::string>{"bob@ours.example"});
  CHECK(all.damaged.empty());
}

TEST_CASE("a flood is cut at the rate and counted") {
  TrailSettings settings;
  settings.rate = 10_KiB;
  LogWorld world(settings);
  for (int i = 0; i < 100; ++i) world.add(i, 1000);
  world.sim.run_for(1s);
  const auto kept = world.find("").records.size();
  CHECK(kept >= 8);
  CHECK(kept <= 10);
  CHECK(world.log->dropped() == 100 - kept);
  world.sim.run_for(1s);
  world.add(200, 1000);
  world.sim.run_for(1s);
  CHECK(world.find("id200").records.size() == 1);
}

TEST_CASE("files are rotated by size, and the oldest go by size and by age") {
  TrailSettings settings;
  settings.segment = 64_KiB;
  settings.keep_bytes = 256_KiB;
  settings.keep_for = 24h;
  LogWorld world(settings);
  for (int i = 0; i < 400; ++i) {
    world.add(i, 2000);
    world.sim.run_for(1s);
  }
  const auto names = trail_files(world.disk, "/trail");
  CHECK(names.size() >= 3);
  CHECK(names.size() <= 5);
  CHECK(world.find("id399").records.size() == 1);
  CHECK(world.find("id1").records.empty());
  for (int i = 500; i < 560; i += 10) {
    world.sim.run_for(12h);
    world.add(i, 2000);
    world.sim.run_for(1s);
  }
  CHECK(world.find("id399").records.empty());
  CHECK(world.find("id550").records.size() == 1);
}

TEST_CASE("a failed write loses its records, is counted, and the next file is whole") {
  LogWorld world;
  world.disk.fail_write(5, 0);
  world.add(1);
  world.sim.run_for(1s);
  CHECK(world.log->dropped() == 1);
  world.add(2);
  world.sim.run_for(1s);
  CHECK(world.find("id2").records.size() == 1);
}

TEST_CASE("a torn file gives what stands before the tear and says so") {
  LogWorld world;
  for (int i = 0; i < 5; ++i) world.add(i);
  world.sim.run_for(1s);
  const std::string path = "/trail/" + trail_files(world.disk, "/trail").at(0);
  std::string bytes = world.disk.content(path);
  bytes[bytes.size() - 3] ^= 1;
  world.disk.set_content(path, bytes);
  const auto found = world.find("");
  CHECK(found.records.size() == 4);
  CHECK(found.damaged.size() == 1);
}

}  // namespace
}  // namespace postern
