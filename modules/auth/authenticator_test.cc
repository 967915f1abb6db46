// Log-ins in virtual time: who gets in, what it costs, and how guessing is slowed down.
#include "authenticator.h"

#include <crypt.h>
#include <doctest/doctest.h>

#include <algorithm>

#include "postern/nursery.h"
#include "postern/sim.h"
#include "sasl.h"

using namespace postern;
using namespace postern::auth;

namespace {

using Kind = AuthOutcome::Kind;
constexpr const char* kShort = "$argon2id$v=19$m=19456,t=2,p=1$abc";

Task<void> keep_outcome(Task<AuthOutcome> task, std::optional<AuthOutcome>* out) {
  out->emplace(co_await std::move(task));
}
Task<void> keep_step(Task<SaslExchange::Step> task, std::optional<SaslExchange::Step>* out) {
  out->emplace(co_await std::move(task));
}

struct World {
  SimRuntime sim{{.seed = 11, .workers = 3}};
  Metrics metrics{3};
  AuthSettings settings;
  CaptureLog log;
  std::unique_ptr<SnapshotDirectory> directory;
  std::unique_ptr<PasswordAuthenticator> auth;
  std::vector<std::pair<std::string, std::string>> hashed;  ///< what the verifier was asked
  AuthFacts facts;

  World() {
    Diagnostics diagnostics;
    DirectorySettings directory_settings;
    directory_settings.domains.resize(1);
    directory_settings.domains[0].name = "example.org";
    for (const char* name : {"alice", "bob", "locked"}) {
      AccountSettings& account = directory_settings.accounts.emplace_back();
      account.name = name;
      account.password =
          std::string(name) == "locked" ? "!" : "$argon2id$v=19$m=64,t=1,p=1$" + std::string(name) + "c2FsdA$aGFzaA";
      if (std::string(name) == "bob") account.apop_secret = "tanstaaf";
    }
    directory = std::make_unique<SnapshotDirectory>(build_snapshot(settings, directory_settings, {}, diagnostics));
    auth = std::make_unique<PasswordAuthenticator>(*directory, sim, metrics, limits_of(settings),
                                                   [this](const std::string& hash, const std::string& password) {
                                                     hashed.emplace_back(hash, password);
                                                     return password == "secret";
                                                   });
    for (unsigned i = 0; i < 3; ++i) auth->set_worker(i, log.log(), limits_of(settings));
    facts.service = "pop3";
    facts.secure = true;
    from("192.0.2.1");
  }
  void from(std::string_view ip) { facts.client = *IpAddress::parse(ip); }
  AuthOutcome await(Task<AuthOutcome> task, Duration limit = 1min) {
    std::optional<AuthOutcome> outcome;
    Nursery nursery(sim.worker(0));
    nursery.spawn(keep_outcome(std::move(task), &outcome));
    REQUIRE(sim.run_until([&] { return outcome.has_value() && nursery.size() == 0; }, limit));
    return *outcome;
  }
  Kind log_in(std::string name, std::string password) {
    return await(auth->check_password(name, password, facts)).kind;
  }
  SaslExchange::Step step(SaslExchange& exchange, std::optional<std::string> response) {
    std::optional<SaslExchange::Step> made;
    Nursery nursery(sim.worker(1));
    nursery.spawn(keep_step(exchange.step(std::move(response)), &made));
    REQUIRE(sim.run_until([&] { return made.has_value() && nursery.size() == 0; }, 1min));
    return *made;
  }
  Duration time_of(std::string name, std::string password) {
    Instant begin = sim.now();
    log_in(std::move(name), std::move(password));
    return sim.now() - begin;
  }
};

std::string plain(std::string_view authzid, std::string_view authcid, std::string_view password) {
  return std::string(authzid).append(1, '\0').append(authcid).append(1, '\0').append(password);
}

}  // namespace

TEST_CASE("the right password opens, under the full name or the bare one") {
  World world;
  AuthOutcome outcome = world.await(world.auth->check_password("ALICE@Example.org", "secret", world.facts));
  CHECK(outcome.kind == Kind::kOk);
  CHECK(outcome.account == "alice@example.org");
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.log_in("alice", "wrong") == Kind::kRefused);
  CHECK(world.log_in("locked", "secret") == Kind::kRefused);
}

TEST_CASE("an unknown or locked name is hashed like a known one") {
  World world;
  CHECK(world.log_in("nobody", "secret") == Kind::kRefused);
  CHECK(world.log_in("locked", "secret") == Kind::kRefused);
  REQUIRE(world.hashed.size() == 2);
  for (const auto& [hash, password] : world.hashed) {
    CHECK(hash == world.directory->current().dummy_hash());
    CHECK(hash_cost(hash) == "$argon2id$v=19$m=64,t=1,p=1");  // as dear as the accounts' own
  }
  CHECK(world.log.last("auth.refused")->field("reason") == "no such account");
}

TEST_CASE("no password is taken without TLS, unless the listener is for lessons") {
  World world;
  world.facts.secure = false;
  CHECK(world.log_in("alice", "secret") == Kind::kInsecure);
  CHECK(world.auth->mechanisms(world.facts).empty());
  CHECK(world.hashed.empty());
  world.facts.allow_plaintext = true;
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.auth->mechanisms(world.facts) == std::vector<std::string_view>{"PLAIN", "LOGIN"});
}

TEST_CASE("a remembered log-in is not hashed again until it expires or the hash changes") {
  World world;
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.hashed.size() == 1);
  CHECK(world.log_in("alice", "wrong") == Kind::kRefused);
  CHECK(world.hashed.size() == 2);
  world.sim.run_for(6min);
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.hashed.size() == 3);
  DirectorySettings changed;
  changed.domains.resize(1);
  changed.domains[0].name = "example.org";
  changed.accounts.resize(1);
  changed.accounts[0].name = "alice";
  changed.accounts[0].password = "$argon2id$v=19$m=64,t=1,p=1$bmV3c2FsdA$aGFzaA";
  Diagnostics diagnostics;
  world.directory->stage(build_snapshot(world.settings, changed, {}, diagnostics));
  REQUIRE(world.directory->publish());
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  CHECK(world.hashed.size() == 4);
}

TEST_CASE("guessing gets slower, is bounded, and is blocked in the end") {
  World world;
  for (int i = 0; i < 3; ++i) CHECK(world.time_of("alice", "wrong") < 200ms);
  CHECK(world.time_of("alice", "wrong") >= 1s);
  CHECK(world.time_of("alice", "wrong") >= 2s);
  for (int i = 0; i < 5; ++i) {
    Duration time = world.time_of("alice", "wrong");
    CHECK(time >= 4s);
    CHECK(time <= 16s);
  }
  std::size_t before = world.hashed.size();
  for (int i = 0; i < 40; ++i) world.log_in("name" + std::to_string(i), "wrong");
  CHECK(world.log_in("bob", "secret") == Kind::kTooMany);  // the address is blocked, whatever it knows
  CHECK(world.hashed.size() < before + 40);
  world.from("203.0.113.5");
  CHECK(world.log_in("bob", "secret") == Kind::kOk);
  world.from("192.0.2.1");
  world.sim.run_for(16min);
  CHECK(world.log_in("bob", "secret") == Kind::kOk);
}

TEST_CASE("many attempts at once are no faster than one after the other") {
  World world;
  for (int i = 0; i < 6; ++i) world.log_in("alice", "wrong");  // the next delay is 8 s
  std::size_t before = world.hashed.size();
  std::vector<std::optional<AuthOutcome>> outcomes(20);
  Nursery nursery(world.sim.worker(2));
  for (auto& outcome : outcomes)
    nursery.spawn(keep_outcome(world.auth->check_password("alice", "wrong", world.facts), &outcome));
  REQUIRE(world.sim.run_until([&] { return nursery.size() == 0; }, 1min));
  CHECK(world.hashed.size() == before + 1);
  CHECK(std::ranges::count_if(outcomes, [](const auto& o) { return o->kind == Kind::kTooMany; }) == 19);
}

TEST_CASE("being throttled does not tell whether an account exists") {
  const auto outcomes_for = [](const char* name) {
    World world;
    for (int i = 0; i < 6; ++i) world.log_in(name, "wrong");
    std::vector<std::optional<AuthOutcome>> outcomes(5);
    Nursery nursery(world.sim.worker(2));
    for (auto& outcome : outcomes)
      nursery.spawn(keep_outcome(world.auth->check_password(name, "wrong", world.facts), &outcome));
    const Instant before = world.sim.worker(2).now();
    REQUIRE(world.sim.run_until([&] { return nursery.size() == 0; }, 1min));
    std::vector<Kind> kinds;
    for (const auto& outcome : outcomes) kinds.push_back(outcome->kind);
    std::ranges::sort(kinds);
    return std::pair(kinds, std::chrono::round<std::chrono::seconds>(world.sim.worker(2).now() - before));
  };
  const auto known = outcomes_for("alice");
  CHECK(std::ranges::count(known.first, Kind::kTooMany) == 4);
  CHECK(known == outcomes_for("nobody"));
}

TEST_CASE("what strangers do to an account does not lock its owner out") {
  World world;
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
  for (int i = 0; i < 30; ++i) {
    world.from("203.0.113." + std::to_string(i));
    world.log_in("alice", "wrong");
  }
  world.from("192.0.2.1");
  world.sim.run_for(6min);  // the password is not remembered any more, the address is
  CHECK(world.time_of("alice", "secret") < 200ms);
}

TEST_CASE("addresses of one IPv6 /64 are one client") {
  World world;
  for (int i = 0; i < 40; ++i) {
    world.from("2001:db8::" + std::to_string(i + 1));
    world.log_in("name" + std::to_string(i), "wrong");
  }
  CHECK(world.log_in("alice", "secret") == Kind::kTooMany);
  world.from("2001:db8:0:1::1");
  CHECK(world.log_in("alice", "secret") == Kind::kOk);
}

TEST_CASE("a full cpu pool is a temporary failure, and no failed guess") {
  World world;
  world.sim.options().pool_queue = 0;
  CHECK(world.log_in("alice", "secret") == Kind::kUnavailable);
}

TEST_CASE("PLAIN in one step or two, and everything that is not PLAIN") {
  World world;
  auto begin = [&] { return world.auth->begin("plain", world.facts); };
  CHECK_FALSE(world.auth->begin("CRAM-MD5", world.facts));
  CHECK(world.step(*begin(), plain("", "alice", "secret")).outcome->account == "alice@example.org");
  CHECK(world.step(*begin(), plain("Alice@example.org", "alice", "secret")).outcome->kind == Kind::kOk);
  CHECK(world.step(*begin(), plain("bob", "alice", "secret")).outcome->kind == Kind::kRefused);
  auto two = begin();
  auto first = world.step(*two, std::nullopt);
  CHECK_FALSE(first.outcome);
  CHECK(first.challenge.empty());
  CHECK(world.step(*two, plain("", "alice", "secret")).outcome->kind == Kind::kOk);
  for (const std::string& bad : {std::string(), std::string("alice"), std::string("\0alice", 6), plain("", "", "x"),
                                 plain("", "alice", ""), plain("", "alice", "a") + std::string(1, '\0'),
                                 plain("", "al\xff", "x"), plain("", "a", std::string(2000, 'x'))}) {
    CAPTURE(bad);
    CHECK(world.step(*begin(), bad).outcome->kind == Kind::kMalformed);
  }
  auto silent = begin();
  world.step(*silent, std::nullopt);
  CHECK(world.step(*silent, std::nullopt).outcome->kind == Kind::kMalformed);
}

TEST_CASE("LOGIN asks for name and password") {
  World world;
  auto exchange = world.auth->begin("LOGIN", world.facts);
  CHECK(world.step(*exchange, std::nullopt).challenge == "Username:");
  CHECK(world.step(*exchange, "alice").challenge == "Password:");
  CHECK(world.step(*exchange, "secret").outcome->kind == Kind::kOk);
  auto initial = world.auth->begin("login", world.facts);
  CHECK(world.step(*initial, "alice").challenge == "Password:");
  CHECK(world.step(*initial, "wrong").outcome->kind == Kind::kRefused);
  auto empty = world.auth->begin("login", world.facts);
  CHECK(world.step(*empty, "").outcome->kind == Kind::kMalformed);
  world.facts.secure = false;
  CHECK(world.step(*world.auth->begin("login", world.facts), std::nullopt).outcome->kind == Kind::kInsecure);
}

TEST_CASE("APOP is checked where a shared secret is kept, and nowhere else") {
  World world;
  std::string stamp = "<1896.697170952@dbc.mtview.ca.us>";
  std::string right = "c4c9334bac560ecc979e58001b3e22fb";  // RFC 1939 §7
  CHECK(world.await(world.auth->check_apop("bob", stamp, right, world.facts)).account == "bob@example.org");
  CHECK(world.await(world.auth->check_apop("alice", stamp, right, world.facts)).kind == Kind::kRefused);
  right.back() = 'c';
  CHECK(world.await(world.auth->check_apop("bob", stamp, right, world.facts)).kind == Kind::kRefused);
  CHECK(world.await(world.auth->check_apop("bob", stamp, "short", world.facts)).kind == Kind::kRefused);
  CHECK(world.hashed.empty());
}

TEST_CASE("hashes are checked before they are used") {
  CHECK_FALSE(hash_problem(kDummyHash));
  CHECK_FALSE(hash_problem("!anything"));
  for (const char* bad : {"", "secret", "$1$salt$1234567890123456789012", "$9$x$y", "$argon2id$v=19$m=1,t=1", kShort,
                          "$6$salt$short", "$6$a b$x"}) {
    CAPTURE(bad);
    CHECK(hash_problem(bad));
  }
}

TEST_CASE("real hashes of all kinds verify") {
  CHECK_FALSE(verify_password(std::string(kDummyHash), "secret"));
  CHECK(verify_password(std::string(kDummyHash), std::string("\1nobody\2")));  // so it really is computed
  for (const char* prefix : {"$6$", "$y$", "$2b$", "$5$"}) {
    CAPTURE(prefix);
    crypt_data data{};
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    REQUIRE(crypt_gensalt_rn(prefix,
                             std::string(prefix) == "$y$"    ? 1
                             : std::string(prefix) == "$2b$" ? 4
                                                             : 1000,
                             nullptr, 0, salt, sizeof salt));
    std::string hash = crypt_rn("secret", salt, &data, sizeof data);
    CHECK_FALSE(hash_problem(hash));
    CHECK(verify_password(hash, "secret"));
    CHECK_FALSE(verify_password(hash, "secret "));
    CHECK_FALSE(verify_password(hash, std::string("secret\0x", 8)));
  }
  CHECK_FALSE(verify_password("!", ""));
}

TEST_CASE("the throttle forgets the oldest when it is full") {
  Throttle throttle;
  ThrottlePolicy policy;
  policy.max_keys = 2;
  Instant now{};
  for (const char* key : {"a", "b", "c"})
    for (int i = 0; i < 5; ++i) throttle.failed(key, policy, now);
  CHECK(throttle.size() == 2);
  CHECK(throttle.admit("a", policy, now).wait == Duration{});
  CHECK(throttle.admit("c", policy, now).wait > Duration{});
  CHECK(throttle.admit("c", policy, now + policy.window + 1s).wait == Duration{});
  CHECK(throttle.size() == 1);
}

TEST_CASE("remembered log-ins are bounded") {
  LoginCache cache;
  Instant now{};
  for (int i = 0; i < 100; ++i) cache.remember("user" + std::to_string(i), Digest{}, IpAddress(), now, 1min, 10);
  CHECK(cache.size() == 10);
  CHECK(cache.matches("user99", Digest{}, now));
  CHECK_FALSE(cache.matches("user0", Digest{}, now));
  CHECK_FALSE(cache.matches("user99", Digest{}, now + 2min));
}
