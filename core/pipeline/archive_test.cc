#include <doctest/doctest.h>

#include <fmt/format.h>

#include "core/pipeline/archive.h"
#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/trail_reader.h"

namespace postern {
namespace {

ArchiveSettings keep_all() {
  ArchiveSettings settings;
  settings.keep = ArchiveKeep::kAll;
  return settings;
}

struct ArchiveWorld : PolicyWorld {
  std::unique_ptr<Archive> archive;
  explicit ArchiveWorld(const ArchiveSettings& kept = keep_all()) {
    archive = std::make_unique<Archive>(kept, "/archive", disk, sim.make_lane("archive"), metrics);
    policy = std::make_unique<PipelinePolicy>(
        PipelinePolicy::Options{.workers = 1, .metrics = metrics, .trails = trails.get(), .archive = archive.get()});
    policy->attach(directory, &queue);
    policy->start(sim.worker(0), dns, log.log());
    gate.networks.push_back({*IpNetwork::parse("192.0.2.0/24"), "ours", {}});
    install();
  }
  ~ArchiveWorld() { archive.reset(); }
  /// One mail; its record as `postern why` would find it.
  TrailRecord mail(std::string_view from, std::string_view to, std::string text) {
    Talk talk(*this, "192.0.2.7");
    talk.connect();
    talk.from(from);
    talk.to(to);
    const Decision decision = talk.send(std::move(text));
    if (decision.refuses_all())
      policy->refused(talk.session, &*talk.mail, decision.reply().text);
    else
      REQUIRE(talk.commit(decision));
    sim.run_for(1s);
    const auto found = find_trails(disk, "/trail", {.limit = 1});
    REQUIRE(found.records.size() == 1);
    return found.records[0];
  }
  std::size_t files() { return disk.list("/archive").value_or(std::vector<std::string>{}).size(); }
  std::optional<std::string> body_of(const TrailRecord& record) { return archived(disk, "/archive", record); }
};

TEST_CASE("an archived message is what the client sent, found by its record") {
  ArchiveWorld world;
  const std::string text = "Subject: hi\r\n\r\nhello\r\n";
  const TrailRecord record = world.mail("ann@far.example", "bob@far.example", text);
  CHECK(record.accepted);
  CHECK(archive_name(record) == record.message + ".eml");
  CHECK(world.body_of(record) == text);
  CHECK(world.archive->dropped() == 0);
}

TEST_CASE("refused mail is archived as accepted mail is, before any rule changed it") {
  ArchiveWorld world;
  world.rules = std::make_shared<RuleSet>();
  PipelineRules root{.name = "root", .origin = {}, .rules = {}};
  root.rules.push_back(
      {.name = "no", .origin = {}, .when = nullptr, .actions = {say(Verdict::reject(550, "5.7.1", "no"))}});
  world.rules->pipelines.emplace("root", root);
  world.install();
  const TrailRecord record = world.mail("ann@far.example", "bob@far.example", "Subject: spam\r\n\r\nbuy\r\n");
  CHECK_FALSE(record.accepted);
  CHECK(record.message.empty());
  CHECK(world.body_of(record) == "Subject: spam\r\n\r\nbuy\r\n");
}

TEST_CASE("by default nothing is archived, and a sample is about as large as it should be") {
  ArchiveWorld none{ArchiveSettings{}};
  CHECK_FALSE(none.body_of(none.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n")));
  CHECK(none.files() == 0);
  ArchiveSettings settings;
  settings.keep = ArchiveKeep::kSample;
  settings.sample = 0.25;
  ArchiveWorld some{settings};
  for (int i = 0; i < 200; ++i) some.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n");
  CHECK(some.files() > 25);
  CHECK(some.files() < 80);
}

TEST_CASE("excepted addresses and domains, and large messages, are not archived") {
  ArchiveSettings settings = keep_all();
  settings.except = {"@Private.example", "boss@far.example"};
  settings.largest = 4_KiB;
  ArchiveWorld world{settings};
  CHECK_FALSE(world.body_of(world.mail("ann@private.example", "bob@far.example", "a: b\r\n\r\n")));
  CHECK_FALSE(world.body_of(world.mail("ann@far.example", "boss@far.example", "a: b\r\n\r\n")));
  CHECK_FALSE(world.body_of(world.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n" + std::string(5000, 'x'))));
  CHECK(world.body_of(world.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n" + std::string(3000, 'x'))));
}

TEST_CASE("the oldest archived messages go by size and by age") {
  ArchiveSettings settings = keep_all();
  settings.keep_bytes = 1_MiB;
  settings.keep_for = 24h;
  ArchiveWorld world{settings};
  const TrailRecord first = world.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n");
  for (int i = 0; i < 15; ++i)
    world.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n" + std::string(100'000, 'x'));
  CHECK_FALSE(world.body_of(first));
  CHECK(world.files() >= 9);
  CHECK(world.files() <= 11);
  world.sim.run_for(36h);
  world.archive->tidy(world.sim.worker(0).wall());
  world.sim.run_for(1s);
  CHECK(world.files() == 0);
}

TEST_CASE("a message that cannot be written to the archive is counted, and the mail goes on") {
  ArchiveWorld world;
  world.disk.fail_write(28, 0);
  const TrailRecord record = world.mail("ann@far.example", "bob@far.example", "a: b\r\n\r\n");
  CHECK(record.accepted);
  CHECK_FALSE(world.body_of(record));
  CHECK(world.archive->dropped() == 1);
  CHECK(world.files() == 0);
}

TEST_CASE("erasing a person takes away the messages that name him in the envelope or in the text") {
  ArchiveWorld world;
  const auto sent = world.mail("Ann@far.example", "bob@far.example", "a: b\r\n\r\n");
  const auto got = world.mail("bob@far.example", "ann@far.example", "a: b\r\n\r\n");
  const auto copied = world.mail("bob@far.example", "carl@far.example", "Cc: <ann@far.example>\r\n\r\n");
  const auto other = world.mail("joann@far.example", "bob@far.example", "a: b\r\n\r\n");
  const Person ann("ann@far.example");
  CHECK(world.run(world.archive->erase(ann, true)).messages == 3);
  CHECK(world.files() == 4);
  CHECK(world.run(world.archive->erase(ann, false)).messages == 3);
  CHECK_FALSE(world.body_of(sent));
  CHECK_FALSE(world.body_of(got));
  CHECK_FALSE(world.body_of(copied));
  CHECK(world.body_of(other));
  world.mail("bob@far.example", "carl@far.example", "a: b\r\n\r\n");
  CHECK(world.files() == 2);
}

}  // namespace
}  // namespace postern
