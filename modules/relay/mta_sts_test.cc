// MTA-STS: records, policies, the disk, and when a policy counts.
#include "mta_sts.h"

#include "mta_sts_finder.h"
#include "mta_sts_store.h"
#include "tls_for_tests.h"

using namespace postern;
using namespace postern::relay;
using namespace postern::relay::testing;

namespace {

std::string why_not(std::string_view body) {
  auto policy = StsPolicy::parse(body);
  return policy ? "" : policy.error().detail;
}

DnsAnswer txt(std::vector<std::string> texts) {
  DnsAnswer answer;
  answer.status = texts.empty() ? DnsStatus::kNoData : DnsStatus::kOk;
  for (std::string& text : texts) answer.records.emplace_back(TxtRecord{std::move(text)});
  return answer;
}

struct StsWorld : TlsWorld {
  std::shared_ptr<StsStore> store = std::make_shared<StsStore>(env, "sts");
  std::unique_ptr<StsFinder> finder = std::make_unique<StsFinder>(executor, dns, http, store);

  StsWorld() { REQUIRE(store->prepare()); }
  void announce(const std::string& id) {
    dns.erase("_mta-sts.example.org").txt("_mta-sts.example.org", "v=STSv1; id=" + id + ";");
  }
  void publish(const std::string& id, const std::string& body) {
    announce(id);
    http.answer(sts_url("example.org"), 200, body);
  }
  StsFinding find() { return run(finder->find("example.org", Deadline::after(60s))); }
  void restart() { finder = std::make_unique<StsFinder>(executor, dns, http, store); }
};

}  // namespace

TEST_CASE("an STS record has a version first and one id of letters and digits") {
  CHECK(parse_sts_record("v=STSv1; id=20160831085700Z;") == "20160831085700Z");
  CHECK(parse_sts_record("v=STSv1;id=a") == "a");
  CHECK(parse_sts_record("v=STSv1 ; ext=x; id=b;") == "b");
  for (const char* text : {"v=STSv1", "v=STSv1;", "v=STSv2; id=a", "v=STSv1; id=", "v=STSv1; id=a-b", "id=a; v=STSv1",
                           "v=STSv1x; id=a", "v=STSv1; id=123456789012345678901234567890123"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_sts_record(text));
  }
}

TEST_CASE("two STS records are none, and other texts beside one do not matter") {
  CHECK(announced_sts_id(txt({"v=spf1 -all", "v=STSv1; id=a"})) == "a");
  CHECK_FALSE(announced_sts_id(txt({"v=STSv1; id=a", "v=STSv1; id=b"})));
  CHECK_FALSE(announced_sts_id(txt({"v=STSv1; id=a", "v=STSv1; broken"})));
  CHECK_FALSE(announced_sts_id(txt({})));
}

TEST_CASE("a policy is read line by line, whatever ends the lines") {
  const auto policy = StsPolicy::parse(
      "version: STSv1\nmode:enforce\r\nmx: MX1.Example.org\nmx: *.example.net\nother: thing\nmax_age: 86400\nmode: "
      "none");
  REQUIRE(policy);
  CHECK(policy->mode == StsPolicy::Mode::kEnforce);  // the first of two
  CHECK(policy->mx == std::vector<std::string>{"mx1.example.org", "*.example.net"});
  CHECK(policy->max_age == 24h);
  CHECK(StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 0"));
  CHECK(StsPolicy::parse(sts_text("testing", "a.b", "9999999999"))->max_age == StsPolicy::kMaxAge);
}

TEST_CASE("a policy that is not whole says what it lacks") {
  CHECK(why_not("version: STSv2\nmode: none\nmax_age: 1") == "version is not STSv1");
  CHECK(why_not("version: STSv1\nmode: maybe\nmax_age: 1").starts_with("mode is"));
  CHECK(why_not("version: STSv1\nmode: enforce\nmax_age: 1") == "it names no mx");
  CHECK(why_not("version: STSv1\nmode: enforce\nmx: a.b").ends_with("is missing"));
  CHECK(why_not(sts_text("enforce", "a.b", "-1")).starts_with("max_age"));
  CHECK(why_not(sts_text("enforce", "a.b", "12345678901")).starts_with("max_age"));
  for (const char* mx : {"*", "*.", "*.*.example.org", "mx*.example.org", "a..b", ".a", "a.", "http://a"}) {
    CAPTURE(mx);
    CHECK(why_not(sts_text("enforce", mx)).starts_with("mx is neither"));
  }
  CHECK(why_not("<html>") == "a line without a colon");
  CHECK(why_not(std::string(65'537, '\n')) == "the policy has over 64 KiB");
}

TEST_CASE("a wildcard of a policy stands for exactly one label") {
  const auto policy = *StsPolicy::parse(sts_text("enforce", "*.example.net\r\nmx: mx.example.org"));
  CHECK(policy.matches("mx.example.org"));
  CHECK(policy.matches("MX.example.org."));
  CHECK(policy.matches("a.example.net"));
  CHECK_FALSE(policy.matches("a.b.example.net"));
  CHECK_FALSE(policy.matches("example.net"));
  CHECK_FALSE(policy.matches(".example.net"));
  CHECK_FALSE(policy.matches("mx.example.org.evil.example"));
}

TEST_CASE("a policy survives a power cut once it is saved") {
  FaultEnv env;
  StsStore store(env, "sts");
  REQUIRE(store.prepare());
  const StsEntry entry{"id1", WallTime(1'700'000'000s), sts_text("enforce", "mx.example.org"),
                       *StsPolicy::parse(sts_text("enforce", "mx.example.org"))};
  REQUIRE(store.save("example.org", entry));
  env.power_loss(7);
  const auto again = store.load("example.org");
  REQUIRE(again);
  CHECK(again->id == "id1");
  CHECK(again->fetched == entry.fetched);
  CHECK(again->policy == entry.policy);
  CHECK_FALSE(store.load("../example.org"));
  CHECK_FALSE(store.save("../etc", entry));
  env.set_content("sts/example.org.sts", "postern mta-sts 1\nid x\nfetched soon\n\nversion: STSv1");
  CHECK_FALSE(store.load("example.org"));
}

TEST_CASE("a save that fails leaves the old policy") {
  FaultEnv env;
  StsStore store(env, "sts");
  REQUIRE(store.prepare());
  const std::string body = sts_text("enforce", "mx.example.org");
  StsEntry entry{"old", WallTime(1'700'000'000s), body, *StsPolicy::parse(body)};
  REQUIRE(store.save("example.org", entry));
  entry.id = "new";
  env.fail_write(28, 0);
  CHECK_FALSE(store.save("example.org", entry));
  CHECK(store.load("example.org")->id == "old");
  env.fail_sync(5, 0);
  CHECK_FALSE(store.save("example.org", entry));
  CHECK(store.load("example.org")->id == "old");
  CHECK(env.list("sts")->size() == 1);
}

TEST_CASE("the folder of policies is bounded") {
  FaultEnv env;
  StsStore store(env, "sts", 20);
  REQUIRE(store.prepare());
  const std::string body = sts_text("enforce", "mx.example.org");
  for (int i = 0; i < 60; ++i)
    REQUIRE(store.save("d" + std::to_string(i) + ".example",
                       {"id", WallTime(std::chrono::seconds(i)), body, *StsPolicy::parse(body)}));
  CHECK(env.list("sts")->size() == 20);
  CHECK(store.load("d59.example"));
}

TEST_CASE("an announced policy is fetched once and then known, after a restart too") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org"));
  auto found = world.find();
  REQUIRE(found.entry);
  CHECK(found.entry->policy.mode == StsPolicy::Mode::kEnforce);
  CHECK(found.text == "mta-sts: enforce");
  CHECK(world.http.asked.size() == 1);
  CHECK(world.http.asked[0].max_redirects == 0);
  CHECK(world.find().entry);
  world.restart();
  CHECK(world.find().entry);
  CHECK(world.http.asked.size() == 1);
}

TEST_CASE("a new id brings a new policy, and a day does too") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org"));
  world.find();
  world.sim.run_for(2min);
  world.publish("two", sts_text("testing", "mx.example.org"));
  CHECK(world.find().entry->policy.mode == StsPolicy::Mode::kTesting);
  CHECK(world.http.asked.size() == 2);
  world.sim.run_for(23h);
  world.find();
  CHECK(world.http.asked.size() == 2);
  world.sim.run_for(2h);
  CHECK(world.find().entry->id == "two");
  CHECK(world.http.asked.size() == 3);
}

TEST_CASE("a known policy counts until it expires, whatever hides the record or the web server") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org", "86400"));
  world.find();
  world.dns.erase("_mta-sts.example.org");
  CHECK(world.find().entry);
  world.dns.fail("_mta-sts.example.org", DnsStatus::kServfail);
  CHECK(world.find().entry);
  world.announce("two");
  world.http.fail(sts_url("example.org"), "http.tls");
  world.sim.run_for(2min);
  auto found = world.find();
  CHECK(found.entry->id == "one");
  CHECK(found.text.find("cannot be fetched") != std::string::npos);
  world.sim.run_for(24h);
  found = world.find();
  CHECK_FALSE(found.entry);
  CHECK(to_string(found.problem) == "sts-webpki-invalid");
}

TEST_CASE("what keeps a policy from being known has its name in reports, and is not asked for again at once") {
  StsWorld world;
  world.announce("one");
  auto found = world.find();
  CHECK_FALSE(found.entry);
  CHECK(to_string(found.problem) == "sts-policy-fetch-error");
  world.http.answer(sts_url("example.org"), 200, sts_text("enforce", "mx.example.org"), "text/html");
  CHECK(to_string(world.find().problem) == "sts-policy-fetch-error");
  CHECK(world.http.asked.size() == 1);
  world.sim.run_for(6min);
  CHECK(to_string(world.find().problem) == "sts-policy-invalid");
  world.sim.run_for(6min);
  world.http.answer(sts_url("example.org"), 302, "");
  CHECK(to_string(world.find().problem) == "sts-policy-fetch-error");
  world.sim.run_for(6min);
  world.http.answer(sts_url("example.org"), 200, "nonsense");
  CHECK(to_string(world.find().problem) == "sts-policy-invalid");
  world.sim.run_for(6min);
  world.publish("one", sts_text("enforce", "mx.example.org"));
  CHECK(world.find().entry);
}

TEST_CASE("a domain that announces nothing costs no fetch") {
  StsWorld world;
  const auto found = world.find();
  CHECK_FALSE(found.entry);
  CHECK(found.problem == StsFinding::Problem::kNone);
  CHECK(found.text == "no mta-sts: no record announces one");
  CHECK(world.http.asked.empty());
}

TEST_CASE("two who ask at once share one fetch") {
  StsWorld world;
  world.http.delay = 5s;
  world.publish("one", sts_text("enforce", "mx.example.org"));
  std::optional<StsFinding> first, second, hasty;
  Nursery nursery(world.executor);
  nursery.spawn(detail::store(world.finder->find("example.org", Deadline::after(60s)), &first));
  nursery.spawn(detail::store(world.finder->find("example.org", Deadline::after(60s)), &second));
  nursery.spawn(detail::store(world.finder->find("example.org", Deadline::after(1s)), &hasty));
  world.sim.run_for(30s);
  REQUIRE((first && second && hasty));
  CHECK(first->entry);
  CHECK(second->entry);
  CHECK_FALSE(hasty->entry);
  CHECK(world.http.asked.size() == 1);
}

TEST_CASE("a policy that is used is fetched anew in the background, and mail does not wait for it") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org"));  // a week
  Nursery nursery(world.executor);
  nursery.spawn(world.finder->run());
  world.find();
  world.sim.run_for(20h);
  CHECK(world.http.asked.size() == 1);
  world.sim.run_for(6h);
  CHECK(world.http.asked.size() == 2);
  world.publish("two", sts_text("testing", "mx.example.org"));
  world.sim.run_for(26h);
  CHECK(world.http.asked.size() == 3);
  CHECK(world.find().entry->id == "two");
  world.http.fail(sts_url("example.org"), "http.connect");
  world.sim.run_for(36h);
  const std::size_t before = world.http.asked.size();
  CHECK(before > 3);  // again each round
  CHECK(world.find().entry->id == "two");
  CHECK(world.http.asked.size() == before);
  nursery.cancel();
  world.sim.run_until_idle();
}

TEST_CASE("after a restart a policy is kept up before anybody asks for it") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org"));  // a week
  world.find();
  CHECK(world.http.asked.size() == 1);
  world.restart();
  Nursery nursery(world.executor);
  nursery.spawn(world.finder->run());
  world.sim.run_for(30h);
  CHECK(world.http.asked.size() == 2);
  world.dns.erase("_mta-sts.example.org");  // an attacker hides the record until the first policy's week is over
  world.sim.run_for(150h);
  CHECK(world.find().entry);
  nursery.cancel();
  world.sim.run_until_idle();
}

TEST_CASE("a policy that nobody asks for any more is left to end") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org", "172800"));
  Nursery nursery(world.executor);
  nursery.spawn(world.finder->run());
  world.find();
  world.sim.run_for(240h);
  CHECK(world.http.asked.size() >= 2);
  CHECK(world.http.asked.size() <= 4);
  nursery.cancel();
  world.sim.run_until_idle();
}

TEST_CASE("what another worker has fetched comes from the disk, and the older of two never wins") {
  StsWorld world;
  world.publish("one", sts_text("enforce", "mx.example.org"));
  StsFinder other(world.executor, world.dns, world.http, world.store);
  world.find();
  world.run(other.find("example.org", Deadline::after(60s)));
  CHECK(world.http.asked.size() == 1);
  world.sim.run_for(25h);
  world.run(other.refresh());
  CHECK(world.http.asked.size() == 2);
  world.run(world.finder->refresh());
  CHECK(world.http.asked.size() == 2);
  world.run(world.finder->refresh());
  CHECK(world.find().entry);
  CHECK(world.http.asked.size() == 2);
}
