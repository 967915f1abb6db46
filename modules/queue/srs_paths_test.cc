// SRS as the policy and the transport use it.
#include "srs_paths.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "fixture_for_tests.h"
#include "postern/random.h"

namespace postern::queue {

namespace {

const WallTime kNow{std::chrono::seconds(1'800'000'000)};

struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / ("postern-paths-" + random_base32(12))) {
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(std::string_view text) const { std::ofstream(path / "srs.secret", std::ios::trunc) << text; }
  std::filesystem::path path;
};

SrsSettings settings(SrsSenders accept = SrsSenders::kNull) {
  SrsSettings out;
  out.domain = "SRS.ours.example";
  out.accept = accept;
  return out;
}

}  // namespace

TEST_CASE("without secrets no sender is made; the first start makes one that only its owner reads, the next keeps it") {
  const Folder folder;
  SrsPaths first(settings(), folder.path.string());
  CHECK(first.forward(address("sue@else.example"), kNow).error().code == "srs.off");
  CHECK_FALSE(first.is_return_path(address("SRS0=x=y=z=u@srs.ours.example")));
  CHECK(first.load() == true);
  struct stat info{};
  REQUIRE(::stat(first.file().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const auto made = first.forward(address("sue@else.example"), kNow);
  REQUIRE(made);
  CHECK(made->to_string().starts_with("SRS0="));
  CHECK(made->domain().ascii() == "srs.ours.example");
  SrsPaths second(settings(), folder.path.string());
  CHECK(second.load() == false);
  CHECK(second.is_return_path(*made));
  CHECK(second.reverse(*made, kNow)->to_string() == "sue@else.example");
}

TEST_CASE("a reload takes a new secret while senders of the old one still lead back, until it is taken out") {
  const Folder folder;
  folder.write("the first secret, of many letters\n");
  SrsPaths paths(settings(), folder.path.string());
  REQUIRE(paths.load());
  const Address old = *paths.forward(address("sue@else.example"), kNow);
  folder.write("the second secret, as long\nthe first secret, of many letters\n");
  REQUIRE(paths.load());
  CHECK(*paths.forward(address("sue@else.example"), kNow) != old);
  CHECK(paths.reverse(old, kNow));
  folder.write("the second secret, as long\n");
  REQUIRE(paths.load());
  CHECK(paths.reverse(old, kNow).error().code == "srs.hash");
  folder.write("short\n");
  CHECK_FALSE(paths.load());
  CHECK(paths.forward(address("sue@else.example"), kNow));  // what is in force stays
}

TEST_CASE("property: no letter of a sender that we made can be changed so that it still leads anywhere") {
  const Folder folder;
  folder.write("a secret of sixteen letters\n");
  SrsPaths paths(settings(), folder.path.string());
  REQUIRE(paths.load());
  const Address made = *paths.forward(address("sue@else.example"), kNow);
  Prng random(5);
  for (int round = 0; round < 5000; ++round) {
    std::string local = made.local();
    char& letter = local[5 + random.below(local.size() - 5)];
    const char other = "abcdefghijklmnopqrstuvwxyz0123456789=+"[random.below(38)];
    if ((letter | 0x20) == (other | 0x20)) continue;
    letter = other;
    const auto changed = Address::make(local, made.domain());
    REQUIRE(changed);
    if (const auto back = paths.reverse(*changed, kNow)) CHECK(back->to_string() == "sue@else.example");
  }
}

TEST_CASE("whose mail is taken back is a setting, and the gate's report has it") {
  const std::string state = "/nowhere";
  SrsPaths null(settings(), state);
  SrsPaths reports(settings(SrsSenders::kReports), state);
  SrsPaths any(settings(SrsSenders::kAny), state);
  CHECK(null.takes_from(Address()));
  CHECK_FALSE(null.takes_from(address("MAILER-DAEMON@far.example")));
  CHECK(reports.takes_from(address("MAILER-DAEMON@far.example")));
  CHECK(reports.takes_from(address("postmaster@far.example")));
  CHECK_FALSE(reports.takes_from(address("eve@far.example")));
  CHECK(any.takes_from(address("eve@far.example")));
  CHECK(null.terms() == "srs.ours.example, from the null sender, 21 days old at most");
}

TEST_CASE("a forwarded message is sent with the step's sender, and its failure is told to the true one") {
  World world;
  world.stop();
  FakeTransport out;
  std::vector<std::string> senders;
  out.answer = [&](const AttemptRequest& request, std::uint32_t one) {
    CHECK(request.envelope.recipients.size() == 2);  // marks of "all" are about all of the message
    CHECK(request.envelope.envid == "ABC");
    senders.push_back(request.envelope.sender.to_string() + " to " +
                      request.envelope.recipients.at(one).address.to_string());
    if (senders.size() == 1) return delivered(one);
    AttemptResult result = deferred(one, "mx.far.example", {550, "5.7.1", "no"});
    result.kind = AttemptResult::Kind::kRefused;
    return result;
  };
  SenderTransport sending(out);
  world.transport = &sending;
  world.start();
  PlanStep plain = World::step(PlanStep::Kind::kRelay, {0});
  PlanStep forwarded = World::step(PlanStep::Kind::kRelay, {1});
  forwarded.options.emplace(kSenderOption, "SRS0=abcdef=AB=elsewhere.example=ann@srs.ours.example");
  Envelope envelope;
  envelope.sender = address("ann@elsewhere.example");
  envelope.envid = "ABC";
  const MessageId id = world.commit(envelope, {"tom@far.example", "bob@further.example"}, {plain, forwarded});
  world.sim.run_for(5s);
  std::ranges::sort(senders);
  CHECK(senders ==
        std::vector<std::string>{"SRS0=abcdef=AB=elsewhere.example=ann@srs.ours.example to bob@further.example",
                                 "ann@elsewhere.example to tom@far.example"});
  REQUIRE(world.teller.told.size() == 1);
  CHECK(world.teller.told.front().first == id);
  world.stop();
}

TEST_CASE("[srs] is read as an administrator writes it, and what is no domain is told of") {
  ConfigSchemas schemas;
  schemas.add<SrsSettings>();
  Diagnostics diagnostics;
  const auto config = Config::parse(schemas, "postern.toml",
                                    "[srs]\ndomain = \"srs.example.org\"\nsecret_file = \"/etc/postern/srs.secret\"\n"
                                    "max_age = \"7d\"\naccept = \"reports\"\n",
                                    diagnostics);
  REQUIRE_MESSAGE(config, diagnostics.render());
  const auto& read = config->get<SrsSettings>();
  CHECK(read.enabled());
  CHECK(read.accept == SrsSenders::kReports);
  CHECK(SrsPaths(read, "/state").file() == "/etc/postern/srs.secret");
  CHECK(SrsPaths(read, "/state").terms() ==
        "srs.example.org, from the null sender, MAILER-DAEMON, postmaster, 7 days old at most");
  CHECK_FALSE(Config::parse(schemas, "postern.toml", "[srs]\ndomain = \"[192.0.2.1]\"\n", diagnostics));
  Diagnostics none;
  const auto plain = Config::parse(schemas, "postern.toml", "", none);
  REQUIRE(plain);
  CHECK_FALSE(plain->get<SrsSettings>().enabled());
  CHECK(SrsPaths(plain->get<SrsSettings>(), "/state").file() == "/state/srs.secret");
}

}  // namespace postern::queue
