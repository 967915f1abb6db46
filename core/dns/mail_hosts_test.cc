// Mail hosts, addresses and reverse names over the fake resolver, which is tested with them.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/dns/loop_for_tests.h"
#include "postern/dns_fake.h"

using namespace postern;
using namespace postern::dns;
using Status = MailHosts::Status;

namespace {

constexpr Deadline kLong = Deadline::after(10s);

struct World {
  TestLoop loop;
  FakeResolver dns{loop.executor()};
};

Task<void> get_hosts(World* world, std::string domain, MailHosts* out) {
  *out = co_await world->dns.mail_hosts(std::move(domain), kLong);
}
Task<void> get_addresses(World* world, std::string host, HostAddresses* out) {
  *out = co_await world->dns.host_addresses(std::move(host), kLong);
}
Task<void> get_name(World* world, std::string ip, ReverseName* out) {
  *out = co_await world->dns.reverse_name(IpAddress::parse(ip).value(), kLong);
}

MailHosts hosts_of(World& world, std::string domain) {
  MailHosts out;
  world.loop.run(get_hosts(&world, std::move(domain), &out));
  return out;
}
HostAddresses addresses_of(World& world, std::string host) {
  HostAddresses out;
  world.loop.run(get_addresses(&world, std::move(host), &out));
  return out;
}
ReverseName name_of(World& world, std::string ip) {
  ReverseName out;
  world.loop.run(get_name(&world, std::move(ip), &out));
  return out;
}

std::vector<std::string> names(const MailHosts& hosts) {
  std::vector<std::string> out;
  for (const MailHost& host : hosts.hosts) out.push_back(host.name);
  return out;
}
std::vector<std::string> texts(const HostAddresses& addresses) {
  std::vector<std::string> out;
  for (const IpAddress& ip : addresses.addresses) out.push_back(ip.to_string());
  return out;
}
using Texts = std::vector<std::string>;

Task<void> equal_preferences(World* world) {
  std::set<Texts> orders;
  for (int i = 0; i < 200; ++i) {
    const Texts order = names(co_await world->dns.mail_hosts("x.org", kLong));
    REQUIRE(order.size() == 4);
    CHECK(order.front() == "first.x.org");
    orders.insert(order);
  }
  CHECK(orders.size() == 6);
}

Task<void> delays(World* world) {
  const Instant start = world->loop.executor().now();
  DnsAnswer late = co_await world->dns.query("slow.org", RecordType::kA, Deadline::after(10s));
  CHECK(late.ok());
  CHECK(world->loop.executor().now() - start >= 20ms);
  DnsAnswer missed = co_await world->dns.query("slow.org", RecordType::kA, Deadline::after(2ms));
  CHECK(missed.status == DnsStatus::kTimeout);
}

}  // namespace

TEST_CASE("mail hosts come by preference") {
  World world;
  world.dns.mx("x.org", 30, "c.x.org").mx("x.org", 10, "A.x.org").mx("x.org", 20, "b.x.org").secure("x.org");
  const MailHosts hosts = hosts_of(world, "X.org");
  CHECK(hosts.status == Status::kFound);
  CHECK_FALSE(hosts.implicit);
  CHECK(hosts.authenticated);
  CHECK(names(hosts) == Texts{"a.x.org", "b.x.org", "c.x.org"});
  CHECK(hosts.hosts[2].preference == 30);
  CHECK(world.dns.asked("x.org", RecordType::kMx) == 1);
  CHECK(world.dns.asked() == 1);
}

TEST_CASE("hosts of equal preference come in every order") {
  World world;
  world.dns.mx("x.org", 5, "first.x.org").mx("x.org", 7, "a.x.org").mx("x.org", 7, "b.x.org").mx("x.org", 7, "c.x.org");
  world.loop.run(equal_preferences(&world));
}

TEST_CASE("a domain without MX is its own host, by its canonical name") {
  World world;
  world.dns.a("x.org", "192.0.2.1").cname("alias.org", "x.org");
  const MailHosts hosts = hosts_of(world, "alias.org");
  CHECK(hosts.status == Status::kFound);
  CHECK(hosts.implicit);
  CHECK(names(hosts) == Texts{"x.org"});
}

TEST_CASE("a null MX takes no mail, even when the domain has an address") {
  World world;
  world.dns.mx("x.org", 0, ".").a("x.org", "192.0.2.1");
  const MailHosts hosts = hosts_of(world, "x.org");
  CHECK(hosts.status == Status::kNullMx);
  CHECK(hosts.hosts.empty());
}

TEST_CASE("a root host beside others is passed over") {
  World world;
  world.dns.mx("x.org", 0, ".").mx("x.org", 10, "mx.x.org").mx("x.org", 20, "mx.x.org");
  CHECK(names(hosts_of(world, "x.org")) == Texts{"mx.x.org"});
}

TEST_CASE("more hosts than the limit are cut after the best") {
  World world;
  for (unsigned i = 0; i < 50; ++i)
    world.dns.mx("x.org", static_cast<std::uint16_t>(50 - i), "mx" + std::to_string(i) + ".x.org");
  const MailHosts hosts = hosts_of(world, "x.org");
  CHECK(hosts.hosts.size() == Resolver::kMaxMailHosts);
  CHECK(hosts.hosts.front().name == "mx49.x.org");
}

TEST_CASE("a domain that does not exist, has nothing, or cannot be asked is told apart") {
  SUBCASE("no domain") {
    World world;
    const MailHosts hosts = hosts_of(world, "nowhere.org");
    CHECK(hosts.status == Status::kNoDomain);
    CHECK(hosts.detail == "MX nowhere.org: nxdomain");
  }
  SUBCASE("no host") {
    World world;
    world.dns.txt("x.org", "v=spf1 -all");
    CHECK(hosts_of(world, "x.org").status == Status::kNoHost);
  }
  SUBCASE("no answer about MX: the address is not asked for") {
    World world;
    world.dns.a("x.org", "192.0.2.1").fail("x.org", RecordType::kMx, DnsStatus::kServfail);
    CHECK(hosts_of(world, "x.org").status == Status::kTryLater);
    CHECK(world.dns.asked() == 1);
  }
  SUBCASE("no answer about addresses") {
    World world;
    world.dns.txt("x.org", "").fail("x.org", RecordType::kA, DnsStatus::kTimeout);
    CHECK(hosts_of(world, "x.org").status == Status::kTryLater);
  }
}

TEST_CASE("addresses of both families, IPv6 first, one failing family aside") {
  SUBCASE("both") {
    World world;
    world.dns.a("h.org", "192.0.2.1").a("h.org", "192.0.2.2").a("h.org", "2001:db8::1").secure("h.org");
    const HostAddresses found = addresses_of(world, "h.org");
    CHECK(found.ok());
    CHECK(found.authenticated);
    CHECK(texts(found) == Texts{"2001:db8::1", "192.0.2.1", "192.0.2.2"});
  }
  SUBCASE("one family fails") {
    World world;
    world.dns.a("h.org", "192.0.2.1").fail("h.org", RecordType::kAaaa, DnsStatus::kServfail);
    CHECK(texts(addresses_of(world, "h.org")) == Texts{"192.0.2.1"});
  }
  SUBCASE("one fails, the other has none: nothing may be concluded") {
    World world;
    world.dns.txt("h.org", "").fail("h.org", RecordType::kAaaa, DnsStatus::kServfail);
    CHECK(addresses_of(world, "h.org").status == DnsStatus::kServfail);
  }
  SUBCASE("neither has one") {
    World world;
    CHECK(addresses_of(world, "h.org").status == DnsStatus::kNxDomain);
  }
  SUBCASE("an alias shows its end, and is authenticated only as a whole") {
    World world;
    world.dns.cname("alias.org", "h.org").a("h.org", "192.0.2.1").secure("alias.org");
    const HostAddresses found = addresses_of(world, "alias.org");
    CHECK(found.canonical_name == "h.org");
    CHECK_FALSE(found.authenticated);
  }
}

TEST_CASE("a reverse name is believed only when it leads back") {
  SUBCASE("IPv4") {
    World world;
    world.dns.ptr("192.0.2.1", "liar.org").ptr("192.0.2.1", "Mail.x.org").a("mail.x.org", "192.0.2.1");
    const ReverseName found = name_of(world, "192.0.2.1");
    CHECK(found.confirmed());
    CHECK(found.name == "mail.x.org");
    CHECK(world.dns.asked("1.2.0.192.in-addr.arpa", RecordType::kPtr) == 1);
  }
  SUBCASE("IPv6") {
    World world;
    world.dns.ptr("2001:db8::1", "mail.x.org").a("mail.x.org", "2001:db8::1");
    CHECK(name_of(world, "2001:db8::1").confirmed());
  }
  SUBCASE("it leads elsewhere") {
    World world;
    world.dns.ptr("192.0.2.1", "mail.x.org").a("mail.x.org", "192.0.2.9");
    const ReverseName found = name_of(world, "192.0.2.1");
    CHECK(found.status == ReverseName::Status::kUnconfirmed);
    CHECK(found.name == "mail.x.org");
  }
  SUBCASE("no name") {
    World world;
    CHECK(name_of(world, "192.0.2.1").status == ReverseName::Status::kNone);
  }
  SUBCASE("the DNS fails") {
    World world;
    world.dns.ptr("192.0.2.1", "mail.x.org").fail("mail.x.org", DnsStatus::kTimeout);
    CHECK(name_of(world, "192.0.2.1").status == ReverseName::Status::kTryLater);
  }
  SUBCASE("only so many names are tried") {
    World world;
    for (int i = 0; i < 20; ++i) world.dns.ptr("192.0.2.1", "n" + std::to_string(i) + ".x.org");
    CHECK(name_of(world, "192.0.2.1").status == ReverseName::Status::kUnconfirmed);
    CHECK(world.dns.asked() == 1 + Resolver::kMaxReverseNames);
  }
}

TEST_CASE("the fake delays its answers within the asker's deadline") {
  World world;
  world.dns.a("slow.org", "192.0.2.1").delay("slow.org", 20ms);
  world.loop.run(delays(&world));
}
