#include <doctest/doctest.h>

#include <fmt/format.h>

#include "core/pipeline/trail_files.h"
#include "core/pipeline/trail_quota.h"
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
  void add(int number, std::size_t octets = 10, std::string_view client = "192.0.2.1") {
    TrailRecord record;
    record.when = sim.worker(0).wall();
    record.message = fmt::format("id{}", number);
    record.session = fmt::format("s{}", number);
    record.client = client;
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
  for (int i = 0; i < 100; ++i) world.add(i, 1000, fmt::format("192.0.{}.1", i % 5));
  world.sim.run_for(1s);
  const auto kept = world.find("alice@example.org").records.size();
  CHECK(kept >= 8);
  CHECK(kept <= 10);
  CHECK(world.log->dropped() == 100 - kept);
  world.sim.run_for(1s);
  world.add(200, 1000);
  world.sim.run_for(1s);
  CHECK(world.find("id200").records.size() == 1);
}

TEST_CASE("a flood by one source does not keep out the others, and what was not kept of it is said") {
  TrailSettings settings;
  settings.rate = 64_KiB;
  settings.source_rate = 8_KiB;
  LogWorld world(settings);
  for (int i = 0; i < 500; ++i) world.add(i, 1000, fmt::format("192.0.2.{}", i % 200));
  world.add(1000, 1000, "198.51.100.7");
  world.add(1001, 1000, "2001:db8::7");
  world.sim.run_for(1s);
  CHECK(world.find("198.51.100.7").records.size() == 1);
  CHECK(world.find("2001:db8::7").records.size() == 1);
  const auto kept = world.find("alice@example.org", 1000).records.size();
  CHECK(kept >= 7 + 2);
  CHECK(kept <= 8 + 2);
  const auto said = world.find("192.0.2.0/24", 1000).records;
  REQUIRE(said.size() == kept - 2 + 1);
  CHECK(said.front().outcome == fmt::format("{} more sessions of 192.0.2.0/24 were not kept", 502 - kept));
  CHECK(said.front().client == "192.0.2.0/24");
  CHECK(world.log->dropped() == 502 - kept);
}

TEST_CASE("what was not kept is said also when nothing comes after the flood") {
  TrailSettings settings;
  settings.rate = 64_KiB;
  settings.source_rate = 8_KiB;
  LogWorld world(settings);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) world.add(i, 1000);
    world.sim.run_for(3s);  // the second round ends within the time between two such records
  }
  world.sim.run_for(30s);
  std::uint64_t told = 0;
  for (const TrailRecord& record : world.find("192.0.2.0/24", 1000).records)
    if (record.client == "192.0.2.0/24") told += std::stoull(record.outcome);
  CHECK(told == world.log->dropped());
  CHECK(told > 150);
}

TEST_CASE("a source has had its share of a day, and others still have theirs") {
  TrailSettings settings;
  settings.source_day = 64_KiB;
  LogWorld world(settings);
  for (int i = 0; i < 200; ++i) {
    world.add(i, 1000);
    world.sim.run_for(1s);
  }
  const auto kept = world.find("192.0.2.1", 1000).records.size();
  CHECK(kept >= 55);
  CHECK(kept <= 65);
  world.add(1000, 1000, "198.51.100.7");
  world.sim.run_for(1s);
  CHECK(world.find("id1000").records.size() == 1);
  world.sim.run_for(24h);
  world.add(2000, 1000);
  world.sim.run_for(1s);
  CHECK(world.find("id2000").records.size() == 1);
}

TEST_CASE("a clock that is set back takes no source's share away") {
  TrailQuota quota(64, 10, 100, 1);
  const TrailSource source = TrailSource::of(*IpAddress::parse("192.0.2.1"));
  CHECK(quota.spend(source, 1e9, 100));
  CHECK_FALSE(quota.spend(source, 1e9 - 5, 100));
  CHECK_FALSE(quota.spend(source, 1e9 - 3600, 100));
  CHECK(quota.spend(source, 1e9 - 3590, 100));
}

TEST_CASE("a record larger than a source's burst is kept, and what comes after it waits until it is paid for") {
  TrailQuota quota(64, 10, 100, 1);
  const TrailSource source = TrailSource::of(*IpAddress::parse("192.0.2.1"));
  CHECK(quota.spend(source, 0, 1000));
  CHECK_FALSE(quota.spend(source, 85, 1));
  CHECK(quota.spend(source, 95, 1));
  CHECK_FALSE(quota.spend(source, 96, 1000));  // only a full bucket gives so much
  CHECK(quota.spend(source, 110, 1000));
}

TEST_CASE("with many workers a record larger than one's part of a second is kept all the same") {
  SimRuntime sim({.workers = 64});
  Metrics metrics(64);
  FaultEnv disk;
  TrailSettings settings;
  settings.rate = 256_KiB;
  TrailLog log(settings, "/trail", disk, sim.make_lane("trail"), 64, metrics);
  TrailRecord large;
  large.when = sim.worker(0).wall();
  large.session = "large";
  large.client = "192.0.2.1";
  large.trail.assign(20'000, 'x');
  log.append(sim.worker(0), large);
  log.append(sim.worker(0), large);
  sim.run_for(1s);
  CHECK(log.dropped() == 1);
  sim.run_for(1min);
  log.append(sim.worker(0), large);
  sim.run_for(1s);
  CHECK(log.dropped() == 1);
}

TEST_CASE("trusted sources have no share of their own") {
  TrailSettings settings;
  settings.source_rate = 8_KiB;
  settings.trusted_sources = {*IpNetwork::parse("192.0.2.0/24")};
  LogWorld world(settings);
  for (int i = 0; i < 100; ++i) world.add(i, 1000);
  world.sim.run_for(1s);
  CHECK(world.find("192.0.2.1", 1000).records.size() == 100);
}

TEST_CASE("what is too old goes also when nothing new comes") {
  TrailSettings settings;
  settings.keep_for = 24h;
  LogWorld world(settings);
  world.add(1);
  world.sim.run_for(1h);
  world.log->tidy(world.sim.worker(0).wall());
  world.sim.run_for(1s);
  CHECK(trail_files(world.disk, "/trail").size() == 1);
  world.sim.run_for(36h);
  world.log->tidy(world.sim.worker(0).wall());
  world.sim.run_for(1s);
  CHECK(trail_files(world.disk, "/trail").empty());
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
  CHECK(trail_files(world.disk, "/trail").empty());  // a disk that stays full leaves no row of empty ones
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
