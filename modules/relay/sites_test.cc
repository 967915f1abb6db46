// What a site remembers of those who were sent away, and what an attempt says of hosts that nobody reached.
#include "sites.h"

#include "relay_for_tests.h"
#include "worker_tls.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

std::optional<Admission> enter(World& world, Site& site, Duration limit = 1s) {
  std::optional<Admission> out;
  world.nursery->spawn(detail::store(site.enter(Deadline::after(limit)), &out));
  world.run([&] { return out.has_value(); }, limit + 1s);
  return out;
}

}  // namespace

TEST_CASE("who finds no room gives the token of the rate back") {
  World world(
      "[[delivery.route]]\nname = \"r\"\nto = [\"[192.0.2.3]\"]\nmessages_per_minute = 120\nmax_connections = 1\n");
  const auto site = world.courier->sites.of("s", world.courier->outbound.routes.named("r"));
  world.run([] { return false; }, 2s);  // the rate's two tokens
  REQUIRE(enter(world, *site, 1ms)->go);
  for (int at = 0; at < 3; ++at) {
    const auto late = enter(world, *site, 1ms);
    REQUIRE(late);
    CHECK(!late->go);
    CHECK(late->why.text.find("rate") == std::string::npos);
  }
  site->leave_well(1ms);
  CHECK(enter(world, *site, 1ms)->go);
  site->leave();
}

TEST_CASE("a site whose addresses are known to be down does not wait longer for it") {
  World world("back_off = \"10s\"");
  const auto site = world.courier->sites.of("s", nullptr);
  const auto wait = [&] { return enter(world, *site)->later; };
  const auto probe = [&] {
    world.run([] { return false; }, 30s);
    return enter(world, *site)->go;
  };
  REQUIRE(enter(world, *site)->go);
  site->leave_untried({451, "4.4.1", "down"});
  CHECK(wait() <= 13s);
  for (int at = 0; at < 3; ++at) {
    REQUIRE(probe());
    site->leave_untried({451, "4.4.1", "down"});
    CHECK(wait() > 9s);
    CHECK(wait() <= 13s);
  }
  REQUIRE(probe());
  site->leave_failed({451, "4.4.1", "down"});
  CHECK(wait() > 19s);
}

TEST_CASE("a host that nobody reached has said nothing, and is named in the text") {
  World world("[delivery.timeout]\nconnect = \"5s\"");
  world.dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
  world.sim.black_hole({*IpAddress::parse("192.0.2.1"), 25, {}});
  auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(results[0].kind == Kind::kDeferred);
  CHECK(results[0].host.empty());
  CHECK(results[0].reply.text.starts_with("mx.example.org [192.0.2.1]: "));
  world.dns.mx("busy.example", 10, "mx.busy.example").a("mx.busy.example", "192.0.2.2");
  FakeHost busy(world, "192.0.2.2");
  busy.greeting = "421 4.3.2 not now";
  results = world.deliver(*world.mail("a@here.example", {"b@busy.example"}));
  CHECK(results[0].host == "mx.busy.example [192.0.2.2]");
  CHECK(results[0].reply == Reply{421, "4.3.2", "not now"});
}

TEST_CASE("an attempt at several destinations that is cancelled has no result") {
  World world;
  for (const char* domain : {"one.example", "two.example"}) world.dns.a(domain, "192.0.2.1");
  FakeHost host(world, "192.0.2.1");
  host.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("RCPT TO:<b@two")) return "";
    return std::nullopt;
  };
  const auto letter = world.mail("a@here.example", {"b@one.example", "b@two.example"});
  const auto attempt = world.begin(*letter);
  REQUIRE(world.run([&] { return host.mails.size() >= 1; }, 10s));
  world.nursery->cancel();
  CHECK(world.run([&] { return world.nursery->size() == 0; }));
  CHECK(!attempt->done);
}

TEST_CASE("a TLS report leaves whatever the policy that it is about says") {
  CHECK(tls_report_step().options.at("tls") == "opportunistic");
  CHECK(tls_report_step().kind == PlanStep::Kind::kRelay);
}

}  // namespace postern::relay::test
