// Where mail goes, and which hosts of many: MX, routes, loops, private networks, dead hosts, sites.
#include <fmt/format.h>

#include "relay_for_tests.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

Reply only(World& world, std::string_view recipient = "b@example.org") {
  const auto results = world.deliver(*world.mail("a@here.example", {std::string(recipient)}));
  REQUIRE(results.size() == 1);
  return results[0].reply;
}

}  // namespace

TEST_CASE("a domain without MX is its own host") {
  World world;
  world.dns.a("example.org", "192.0.2.1");
  FakeHost host(world, "192.0.2.1");
  CHECK(only(world).code == 250);
}

TEST_CASE("what the DNS says of a dead end is told apart") {
  World world;
  world.dns.mx("null.example", 0, ".").txt("bare.example", "x").fail("broken.example", DnsStatus::kServfail);
  world.dns.mx("nohost.example", 5, "gone.example");
  CHECK(only(world, "b@null.example").enhanced == "5.1.10");
  CHECK(only(world, "b@null.example").code == 556);
  CHECK(only(world, "b@nowhere.example").enhanced == "5.1.2");
  CHECK(only(world, "b@bare.example").enhanced == "5.4.4");
  CHECK(only(world, "b@broken.example").enhanced == "4.4.3");
  CHECK(only(world, "b@nohost.example").enhanced == "5.4.4");
  CHECK(only(world, "b@[192.0.2.1]").enhanced == "5.1.2");
}

TEST_CASE("when we are the best MX the mail would loop; when we are not, only better hosts are tried") {
  World world;
  world.dns.mx("loop.example", 10, "here.example").mx("loop.example", 20, "other.example");
  world.dns.a("here.example", "192.0.2.50").a("other.example", "192.0.2.51");
  FakeHost other(world, "192.0.2.51");
  CHECK(only(world, "b@loop.example").enhanced == "5.4.6");
  world.dns.mx("backup.example", 10, "best.example").mx("backup.example", 20, "here.example");
  world.dns.mx("backup.example", 30, "other.example").a("best.example", "192.0.2.52");
  CHECK(only(world, "b@backup.example").enhanced == "4.4.1");  // the best refuses connections
  CHECK(other.connections == 0);
}

TEST_CASE("a host with our address, or our name in its greeting, is a loop too") {
  World world("own_addresses = [\"203.0.113.5\"]");
  world.dns.mx("loop.example", 10, "alias.example").a("alias.example", "203.0.113.5");
  CHECK(only(world, "b@loop.example").enhanced == "5.4.6");
  world.dns.mx("nat.example", 10, "nat-mx.example").a("nat-mx.example", "192.0.2.7");
  FakeHost host(world, "192.0.2.7");
  host.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("EHLO")) return "250 here.example at your service";
    return std::nullopt;
  };
  CHECK(only(world, "b@nat.example").enhanced == "5.4.6");
}

TEST_CASE("an MX does not lead into our own network, unless that is allowed") {
  for (const char* inside : {"127.0.0.1", "10.1.2.3", "169.254.1.1", "0.0.0.0", "224.0.0.1"}) {
    CAPTURE(inside);
    World world;
    world.dns.mx("evil.example", 10, "mx.evil.example").a("mx.evil.example", inside);
    CHECK(only(world, "b@evil.example").enhanced == "5.4.4");
  }
  World world("allow_private = [\"10.0.0.0/8\"]");
  world.dns.mx("friend.example", 10, "mx.friend.example").a("mx.friend.example", "10.1.2.3");
  FakeHost host(world, "10.1.2.3");
  CHECK(only(world, "b@friend.example").code == 250);
}

TEST_CASE("the next host is tried when one cannot be reached, and its 5xx is final") {
  World world;
  world.dns.mx("example.org", 10, "mx1.example.org").mx("example.org", 20, "mx2.example.org");
  world.dns.a("mx1.example.org", "192.0.2.1").a("mx2.example.org", "192.0.2.2");
  FakeHost second(world, "192.0.2.2");
  CHECK(only(world).code == 250);
  FakeHost first(world, "192.0.2.1");
  first.greeting = "554 5.3.2 not today";
  world.run([] { return false; }, 2min);  // the address has been left alone long enough
  CHECK(only(world).code == 250);
  CHECK(first.connections == 1);
  first.greeting = "220 mx1 ready";
  first.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("RCPT")) return "550 5.1.1 nobody";
    return std::nullopt;
  };
  const auto before = second.connections;
  CHECK(only(world).enhanced == "5.1.1");
  CHECK(second.connections == before);
}

TEST_CASE("hosts that all refuse with 5xx in their greeting refuse the mail") {
  World world;
  world.dns.mx("example.org", 10, "mx1.example.org").a("mx1.example.org", "192.0.2.1");
  FakeHost host(world, "192.0.2.1");
  host.greeting = "521 no mail here";
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(results[0].kind == Kind::kRefused);
  CHECK(results[0].reply.code == 521);
}

TEST_CASE("address families are tried as the route says") {
  for (const auto& [family, v6, v4] : {std::tuple{"ipv6-first", 1, 0}, {"ipv4-first", 0, 1}, {"ipv4-only", 0, 1}}) {
    World world(fmt::format("family = \"{}\"", family));
    world.dns.a("example.org", "192.0.2.1").a("example.org", "2001:db8::1");
    FakeHost four(world, "192.0.2.1"), six(world, "2001:db8::1");
    CHECK(only(world).code == 250);
    CHECK(six.connections == static_cast<std::size_t>(v6));
    CHECK(four.connections == static_cast<std::size_t>(v4));
  }
}

TEST_CASE("routes lead to smarthosts, with failover, and by the plan's word") {
  World world(R"(
[[delivery.route]]
name = "smart"
domains = [".example.org"]
to = ["[dead.example]:26", "[192.0.2.3]:2525"]
[[delivery.route]]
name = "named"
to = ["[192.0.2.4]"]
)");
  world.dns.a("dead.example", "192.0.2.2");
  FakeHost smart(world, "192.0.2.3", 2525), named(world, "192.0.2.4"), gateway(world, "192.0.2.5", 10025);
  CHECK(only(world, "b@sub.example.org").code == 250);
  CHECK(smart.mails.size() == 1);
  auto letter = world.mail("a@here.example", {"b@anywhere.example"});
  letter->step.options["gateway"] = "named";
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  CHECK(named.mails.size() == 1);
  letter = world.mail("a@here.example", {"b@anywhere.example"});
  letter->step.options["gateway"] = "[192.0.2.5]:10025";
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  CHECK(gateway.mails.size() == 1);
}

TEST_CASE("a hop by MX is judged by its own name, and each of several by its own signature") {
  struct Asked final : TlsPolicies {
    std::vector<TlsQuestion> questions;
    Task<TlsDecision> decide(TlsQuestion question, Deadline) override {
      questions.push_back(std::move(question));
      TlsDecision none;
      none.level = TlsLevel::kNone;
      return Task<TlsDecision>::ready(std::move(none));
    }
    void report(const TlsOutcome&) override {}
  };
  World world("[[delivery.route]]\nname = \"r\"\ndomains = [\"*\"]\nto = [\"one.example\", \"two.example\"]\n");
  world.dns.mx("one.example", 10, "mx.one.example").a("mx.one.example", "192.0.2.3");
  world.dns.mx("two.example", 10, "mx.two.example").a("mx.two.example", "192.0.2.4").secure("two.example");
  Asked asked;
  auto outbound = Outbound::make(world.config->get<DeliverySettings>(), "here.example", 1, {});
  REQUIRE(outbound);
  WayFinder ways(world.sim.worker(0), world.dns, asked, *outbound);
  const PlanStep step;
  const Heading heading = ways.heading(*Address::parse("a@here.example"), *Address::parse("b@far.example"), step);
  std::optional<std::shared_ptr<const Way>> way;
  world.nursery->spawn(detail::store(ways.find(heading, Deadline::after(30s)), &way));
  REQUIRE(world.run([&] { return way.has_value(); }));
  REQUIRE((*way)->hosts.size() == 2);
  for (std::size_t at = 0; at < 2; ++at) {
    std::optional<std::shared_ptr<const Target>> target;
    world.nursery->spawn(detail::store(ways.target(**way, at, false, Deadline::after(30s)), &target));
    REQUIRE(world.run([&] { return target.has_value(); }));
  }
  REQUIRE(asked.questions.size() == 2);
  CHECK(asked.questions[0].domain == "one.example");
  CHECK(!asked.questions[0].mx_authenticated);
  CHECK(asked.questions[1].domain == "two.example");
  CHECK(asked.questions[1].mx_authenticated);
}

TEST_CASE("what goes to hosts of a route bears the route's name, and TLS is told by the host that was asked for") {
  World world("[[delivery.route]]\nname = \"r\"\ndomains = [\"*\"]\nto = [\"[smart.example]:2525\"]\n");
  world.dns.a("smart.example", "192.0.2.3");
  FakeHost smart(world, "192.0.2.3", 2525);
  const PlanStep step;
  for (const char* domain : {"one.example", "two.example"}) {
    const Heading heading = world.courier->ways.heading(*Address::parse("a@here.example"),
                                                        *Address::parse(fmt::format("b@{}", domain)), step);
    CHECK(heading.domain == "r");
    CHECK_FALSE(heading.by_mx);
  }
  CHECK(only(world, "b@two.example").code == 250);
  REQUIRE(world.log.count("relay.tls") == 1);  // STARTTLS is not offered
  CHECK(world.log.last("relay.tls")->field("domain") == "smart.example");
}

TEST_CASE("a full shelf loses what lay there longest, and nothing else") {
  Shelf<int> shelf(3);
  const Instant now{};
  for (const char* name : {"a", "b", "c"}) shelf.put(name, name[0], now, now + 60s);
  CHECK(*shelf.put("a", 1, now, now + 60s) == 1);
  shelf.put("d", 'd', now, now + 60s);
  CHECK(shelf.find("b", now) == nullptr);
  for (const char* name : {"a", "c", "d"}) CHECK(shelf.find(name, now) != nullptr);
  CHECK(*shelf.find("a", now) == 1);
  CHECK(shelf.find("a", now + 60s) == nullptr);
}

TEST_CASE("recipients of many domains behind one smarthost share a transaction") {
  World world("[[delivery.route]]\nname = \"all\"\ndomains = [\"*\"]\nto = [\"[192.0.2.3]\"]\n");
  FakeHost smart(world, "192.0.2.3");
  const auto results = world.deliver(*world.mail("a@here.example", {"b@one.example", "c@two.example"}));
  CHECK(results.size() == 2);
  CHECK(smart.mails.size() == 1);
  CHECK(smart.mails[0].rcpts.size() == 2);
}

TEST_CASE("domains with hosts of their own are served at the same time") {
  World world;
  std::vector<std::unique_ptr<FakeHost>> hosts;
  std::vector<std::string> recipients;
  for (int at = 1; at <= 30; ++at) {
    world.dns.a(fmt::format("d{}.example", at), fmt::format("192.0.2.{}", at));
    hosts.push_back(std::make_unique<FakeHost>(world, fmt::format("192.0.2.{}", at)));
    recipients.push_back(fmt::format("b@d{}.example", at));
  }
  const auto results = world.deliver(*world.mail("a@here.example", recipients));
  CHECK(results.size() == 30);
  CHECK(std::ranges::all_of(results, [](const auto& one) { return one.kind == Kind::kDelivered; }));
}

TEST_CASE("LMTP answers each recipient for itself") {
  World world("[[delivery.route]]\nname = \"l\"\ndomains = [\"*\"]\nto = [\"lmtp://[192.0.2.3]\"]\n");
  FakeHost backend(world, "192.0.2.3", 24);
  for (const bool chunking : {true, false}) {
    backend.extensions = {"PIPELINING"};
    if (chunking) backend.extensions.push_back("CHUNKING");
    backend.lmtp = true;
    backend.answer = [](const std::string& line) -> std::optional<std::string> {
      if (line.find("<no@") != line.npos) return "550 5.1.1 nobody";
      return std::nullopt;
    };
    backend.verdict = [](const Taken& one) {
      return one.rcpts[0].find("<full@") != std::string::npos ? "452 4.2.2 full" : "250 2.1.5 ok";
    };
    const auto results =
        world.deliver(*world.mail("a@here.example", {"b@x.example", "no@x.example", "full@y.example"}));
    REQUIRE(results.size() == 3);
    CHECK(results[0].kind == Kind::kDelivered);
    CHECK(results[1].kind == Kind::kRefused);
    CHECK(results[2].reply.enhanced == "4.2.2");
    CHECK(backend.commands[0] == "LHLO here.example");
    world.run([&] { return backend.open == 0; }, 1min);
  }
}

TEST_CASE("VERP, XFORWARD and PROXY are for the routes that ask for them") {
  World world(R"(
[[delivery.route]]
name = "list"
domains = ["list.example"]
to = ["[192.0.2.3]"]
verp = true
xforward = true
[[delivery.route]]
name = "proxied"
domains = ["*"]
to = ["[192.0.2.3]"]
proxy = "v1"
)");
  FakeHost host(world, "192.0.2.3");
  host.extensions = {"PIPELINING", "CHUNKING", "XFORWARD NAME ADDR PORT HELO SOURCE"};
  CHECK(world.deliver(*world.mail("list@here.example", {"b@list.example", "c@list.example"})).size() == 2);
  REQUIRE(host.mails.size() == 2);
  CHECK(host.mails[1].mail == "MAIL FROM:<list+c=list.example@here.example>");
  CHECK(std::ranges::count(
            host.commands,
            "XFORWARD NAME=[UNAVAILABLE] ADDR=198.51.100.9 PORT=4321 HELO=client.example SOURCE=REMOTE") == 2);
  host.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("PROXY ")) return "";
    return std::nullopt;
  };
  CHECK(only(world, "b@proxied.example").code == 250);
  CHECK(std::ranges::count(host.commands, "PROXY TCP4 198.51.100.9 192.0.2.99 4321 25") == 1);
}

TEST_CASE("a dead site is left alone, and one probe opens it again for all") {
  World world("back_off = \"10s\"\n[delivery.timeout]\nconnect = \"5s\"");
  world.dns.a("example.org", "192.0.2.1");
  world.sim.black_hole({*IpAddress::parse("192.0.2.1"), 25, {}});
  CHECK(only(world).enhanced == "4.4.1");
  for (int at = 0; at < 5; ++at) {
    const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}), 100ms);
    REQUIRE(results.size() == 1);
    CHECK(!results[0].attempted);
    CHECK(results[0].retry_after > 1s);
  }
  world.sim.black_hole({*IpAddress::parse("192.0.2.1"), 25, {}}, false);
  FakeHost host(world, "192.0.2.1");
  world.run([] { return false; }, 15s);
  CHECK(only(world).code == 250);
  CHECK(only(world).code == 250);
}

TEST_CASE("a slow site takes no more than its window, and the others do not wait for it") {
  World world("first_connections = 2\nmax_connections = 4");
  world.dns.a("slow.example", "192.0.2.1").a("fast.example", "192.0.2.2");
  FakeHost slow(world, "192.0.2.1"), fast(world, "192.0.2.2");
  slow.silent = true;
  std::vector<std::unique_ptr<World::Letter>> letters;
  std::vector<std::shared_ptr<World::Attempt>> attempts;
  for (int at = 0; at < 40; ++at) {
    letters.push_back(world.mail("a@here.example", {"b@slow.example"}));
    attempts.push_back(world.begin(*letters.back()));
  }
  CHECK(only(world, "b@fast.example").code == 250);
  CHECK(slow.most_open <= 2);
  // Who found the line full was sent back at once; who stood in it, when its patience was over.
  world.run([] { return false; }, 1s);
  std::size_t back = 0;
  for (const auto& one : attempts) back += one->done;
  CHECK(back == 40 - 2 - Site::kLeastLine);
  for (const auto& one : attempts)
    if (one->done) CHECK(!one->results[0].attempted);
}

TEST_CASE("many messages at once use more and more connections, up to the limit, and all arrive") {
  World world("first_connections = 2\nmax_connections = 8");
  world.dns.a("example.org", "192.0.2.1");
  FakeHost host(world, "192.0.2.1");
  std::vector<std::unique_ptr<World::Letter>> letters;
  for (int at = 0; at < 200; ++at) letters.push_back(world.mail("a@here.example", {"b@example.org"}));
  std::size_t delivered = 0;
  std::vector<std::shared_ptr<World::Attempt>> attempts(letters.size());
  const bool all = world.run(
      [&] {
        delivered = 0;
        for (std::size_t at = 0; at < letters.size(); ++at) {
          auto& one = attempts[at];
          if (!one || (one->done && one->results[0].kind != Kind::kDelivered)) one = world.begin(*letters[at]);
          delivered += one->done;
        }
        return delivered == letters.size();
      },
      1min);
  CHECK(all);
  CHECK(host.most_open <= 8);
  CHECK(host.most_open >= 4);
  CHECK(host.connections <= 16);
}

TEST_CASE("a route's rate is kept") {
  World world("[[delivery.route]]\nname = \"r\"\ndomains = [\"*\"]\nto = [\"[192.0.2.3]\"]\nmessages_per_minute = 6\n");
  FakeHost host(world, "192.0.2.3");
  CHECK(only(world).code == 250);
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(!results[0].attempted);
  CHECK(results[0].retry_after > 9s);
  world.run([] { return false; }, 11s);
  CHECK(only(world).code == 250);
}

TEST_CASE("connections leave from the addresses of their pool, by their weights") {
  World world(R"(
[[delivery.source]]
address = "198.51.100.1"
weight = 3
ehlo = "one.here.example"
[[delivery.source]]
address = "198.51.100.2"
ehlo = "two.here.example"
)");
  world.dns.a("example.org", "192.0.2.1");
  FakeHost host(world, "192.0.2.1");
  for (int at = 0; at < 80; ++at) CHECK(only(world).code == 250);
  CHECK(std::ranges::count(host.commands, "EHLO one.here.example") == 1);
  CHECK(std::ranges::count(host.commands, "EHLO two.here.example") == 1);
}

}  // namespace postern::relay::test
