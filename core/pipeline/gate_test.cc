#include <doctest/doctest.h>

#include "core/pipeline/gate_proof.h"
#include "postern/random.h"

namespace postern {
namespace {

NamedNetwork net(std::string_view text, std::string reason = "test") {
  return {*IpNetwork::parse(text), std::move(reason), {}};
}
ClientFacts client(std::string_view ip) {
  return {.ip = *IpAddress::parse(ip)};
}

TEST_CASE("nobody relays by default, private networks and loopback included") {
  const GateConfig config;
  for (const char* ip : {"127.0.0.1", "10.0.0.1", "192.168.1.1", "203.0.113.1", "::1", "fd00::1", "2001:db8::1"})
    for (const RecipientClass recipient :
         {RecipientClass::kForeign, RecipientClass::kLiteral, RecipientClass::kRelayRouted,
          RecipientClass::kAliasForeign, RecipientClass::kAliasWild})
      CHECK(answer(config, client(ip), recipient) == GateAnswer::kRefuse);
}

TEST_CASE("everybody reaches accounts, postmaster and relay domains, and learns who does not exist") {
  const GateConfig config;
  const ClientFacts stranger = client("203.0.113.1");
  CHECK(answer(config, stranger, RecipientClass::kLocalAccount) == GateAnswer::kDeliver);
  CHECK(answer(config, stranger, RecipientClass::kPostmaster) == GateAnswer::kDeliver);
  CHECK(answer(config, stranger, RecipientClass::kAliasOurs) == GateAnswer::kDeliver);
  CHECK(answer(config, stranger, RecipientClass::kRelayDomain) == GateAnswer::kRelay);
  CHECK(answer(config, stranger, RecipientClass::kNoSuchUser) == GateAnswer::kNoSuchUser);
  CHECK(answer(config, stranger, RecipientClass::kLocalRouted) == GateAnswer::kNoSuchUser);
  CHECK(answer(config, stranger, RecipientClass::kTemporary) == GateAnswer::kTemporary);
  CHECK(refusal(GateAnswer::kTemporary).reply.code == 451);
  CHECK(refusal(GateAnswer::kRefuse).reply.enhanced == "5.7.1");
}

TEST_CASE("those who have logged in relay, unless the configuration says no") {
  GateConfig config;
  ClientFacts user = client("203.0.113.1");
  user.authenticated = true;
  CHECK(answer(config, user, RecipientClass::kForeign) == GateAnswer::kRelay);
  config.authenticated = false;
  CHECK(answer(config, user, RecipientClass::kForeign) == GateAnswer::kRefuse);
}

TEST_CASE("a submission port serves nobody who has not logged in, relay networks included") {
  GateConfig config;
  config.networks = {net("192.0.2.0/24")};
  ClientFacts host = client("192.0.2.5");
  host.role = SessionRole::kSubmission;
  for (const RecipientClass recipient : kAllRecipientClasses)
    CHECK(answer(config, host, recipient) == GateAnswer::kNeedAuth);
}

TEST_CASE("a proxy is believed only when it is named, and is a stranger when it names nobody") {
  GateConfig config;
  config.networks = {net("10.0.0.0/8")};
  config.proxies = {net("10.0.0.2")};
  CHECK(answer(config, client("10.0.0.3"), RecipientClass::kForeign) == GateAnswer::kRelay);
  CHECK(answer(config, client("10.0.0.2"), RecipientClass::kForeign) == GateAnswer::kRefuse);
  ClientFacts declared = client("10.1.1.1");
  declared.proxy = IpAddress::parse("10.0.0.2");
  CHECK(answer(config, declared, RecipientClass::kForeign) == GateAnswer::kRelay);
  declared.proxy = IpAddress::parse("10.0.0.3");
  declared.authenticated = true;
  CHECK(classify(config, declared) == ClientClass::kFalseProxy);
  CHECK(answer(config, declared, RecipientClass::kForeign) == GateAnswer::kRefuse);
}

TEST_CASE("an alias to a foreign address passes only where the configuration says so, a wild one never") {
  GateConfig config;
  CHECK(answer(config, client("203.0.113.1"), RecipientClass::kAliasForeign) == GateAnswer::kRefuse);
  config.forward_aliases = true;
  CHECK(answer(config, client("203.0.113.1"), RecipientClass::kAliasForeign) == GateAnswer::kRelay);
  CHECK(answer(config, client("203.0.113.1"), RecipientClass::kAliasWild) == GateAnswer::kRefuse);
}

TEST_CASE("the proof finds the network that opens the server and names it") {
  GateConfig config;
  config.networks = {net("192.0.2.0/24", "office"), net("0.0.0.0/0", "everyone")};
  const GateReport report = prove_gate(config, {});
  REQUIRE(report.open());
  CHECK(report.witness->cause.find("0.0.0.0/0 (everyone)") != std::string::npos);
  CHECK(answer(config, report.witness->client, RecipientClass::kForeign) == GateAnswer::kRelay);
  CHECK(is_stranger(config, report.witness->client.ip));
  Diagnostics diagnostics;
  report_gate(report, diagnostics);
  CHECK(diagnostics.has_errors());
  CHECK(report.render().find("OPEN") != std::string::npos);
}

TEST_CASE("widths at the edge: what is a holder's own block and what is strangers") {
  const auto open = [](const char* network) {
    GateConfig config;
    config.networks = {net(network)};
    return prove_gate(config, {}).open();
  };
  CHECK_FALSE(open("198.18.0.0/16"));
  CHECK(open("198.18.0.0/15"));
  CHECK_FALSE(open("10.0.0.0/8"));
  CHECK(open("10.0.0.0/7"));
  CHECK(open("::/0"));
  CHECK(open("2000::/28"));
  CHECK_FALSE(open("2001:db8::/29"));
  CHECK_FALSE(open("fc00::/7"));
  CHECK(open("128.0.0.0/1"));
}

TEST_CASE("many narrow networks together are strangers as well") {
  GateConfig config;
  for (int i = 0; i < 17; ++i) config.networks.push_back(net("60." + std::to_string(i) + ".0.0/16"));
  CHECK(prove_gate(config, {}).open());
  config.networks.resize(16);
  CHECK_FALSE(prove_gate(config, {}).open());
}

TEST_CASE("a proxy that anybody can be opens the server: it may declare a network or a login") {
  GateConfig config;
  config.proxies = {net("0.0.0.0/0", "balancer")};
  CHECK(prove_gate(config, {}).open());
  CHECK(prove_gate(config, {}).witness->client.authenticated);
  config.authenticated = false;
  config.proxies = {net("0.0.0.0/0", "balancer")};
  CHECK_FALSE(prove_gate(config, {}).open());
  config.networks = {net("10.0.0.0/8", "lan")};
  const GateReport report = prove_gate(config, {});
  REQUIRE(report.open());
  CHECK(report.witness->client.proxy);
  CHECK(report.witness->cause.find("[[relay.proxy]]") != std::string::npos);
}

TEST_CASE("a relay domain that covers other people's domains opens the server") {
  DirectoryFacts facts;
  facts.domains = {{"example.org", DomainKind::kRelay}, {"com", DomainKind::kLocal}};
  CHECK_FALSE(prove_gate({}, facts).open());
  for (const char* name : {"com", "*", "*.org", ".net"}) {
    facts.domains[0].name = name;
    CHECK(prove_gate({}, facts).open());
  }
}

TEST_CASE("the table has a row for each class of clients and a column for each class of recipients") {
  GateConfig config;
  config.networks = {net("192.0.2.0/24", "office")};
  config.proxies = {net("198.51.100.7", "balancer")};
  const GateReport report = prove_gate(config, {});
  CHECK_FALSE(report.open());
  CHECK(report.cells.size() == 6 * 6 * std::size(kAllRecipientClasses));
  const std::string table = report.table();
  CHECK(table.find("relay network 192.0.2.0/24 (office)") != std::string::npos);
  CHECK(report.render().find("closed: no stranger may relay") != std::string::npos);
}

// --- the proof against brute force ---

IpNetwork random_network(Prng& random) {
  if (random.chance(0.3)) {
    static constexpr const char* kEdges[] = {"0.0.0.0/0",    "10.0.0.0/8",     "10.0.0.0/7",     "172.16.0.0/12",
                                             "172.0.0.0/11", "::/0",           "2000::/3",       "fc00::/7",
                                             "fc00::/6",     "192.168.0.0/16", "255.255.0.0/16", "ff00::/8"};
    return *IpNetwork::parse(kEdges[random.below(std::size(kEdges))]);
  }
  const auto prefix = static_cast<int>(random.below(25)) + (random.chance(0.5) ? 8 : 0);
  const auto bits = prefix == 0 ? 0U : ~0U << (32 - prefix);
  return *IpNetwork::parse(IpAddress::v4(static_cast<std::uint32_t>(random.next()) & bits).to_string() + "/" +
                           std::to_string(prefix));
}

IpAddress random_address(Prng& random, const GateConfig& config) {
  const auto near = [&](const std::vector<NamedNetwork>& list) {
    const IpAddress base = list[random.below(list.size())].network.base();
    if (base.is_v6()) return base;
    const auto* o = base.octets();
    const std::uint32_t value = std::uint32_t{o[0]} << 24 | std::uint32_t{o[1]} << 16 | std::uint32_t{o[2]} << 8 | o[3];
    return IpAddress::v4(value +
                         static_cast<std::uint32_t>(random.below(3) ? random.next() >> (40 + random.below(24)) : 0));
  };
  if (!config.networks.empty() && random.chance(0.5)) return near(config.networks);
  if (!config.proxies.empty() && random.chance(0.3)) return near(config.proxies);
  if (random.chance(0.1)) return *IpAddress::parse(random.chance(0.5) ? "2a00::1" : "ffff::1");
  return IpAddress::v4(static_cast<std::uint32_t>(random.next()));
}

TEST_CASE("property: whoever brute force finds, the proof has found, and its witness is one") {
  Prng random(20261121);
  int opened = 0;
  for (int round = 0; round < 3000; ++round) {
    GateConfig config;
    config.authenticated = random.chance(0.5);
    config.forward_aliases = random.chance(0.5);
    for (std::uint64_t i = random.below(4); i > 0; --i) config.networks.push_back({random_network(random), "n", {}});
    for (std::uint64_t i = random.below(3); i > 0; --i) config.proxies.push_back({random_network(random), "p", {}});
    const GateReport report = prove_gate(config, {});
    if (report.open()) {
      ++opened;
      const ClientFacts& found = report.witness->client;
      CHECK(answer(config, found, RecipientClass::kForeign) == GateAnswer::kRelay);
      CHECK_FALSE((found.authenticated && !found.proxy));
      CHECK(is_stranger(config, found.proxy.value_or(found.ip)));
      continue;
    }
    for (int sample = 0; sample < 60; ++sample) {
      ClientFacts facts;
      facts.ip = random_address(random, config);
      facts.role = random.chance(0.5) ? SessionRole::kMx : SessionRole::kLmtp;
      if (random.chance(0.4)) {
        facts.proxy = random_address(random, config);
        facts.authenticated = random.chance(0.5);  // declared, not proven
      }
      if (!is_stranger(config, facts.proxy.value_or(facts.ip))) continue;
      for (const RecipientClass recipient : {RecipientClass::kForeign, RecipientClass::kLiteral,
                                             RecipientClass::kRelayRouted, RecipientClass::kAliasWild})
        CHECK_MESSAGE(answer(config, facts, recipient) != GateAnswer::kRelay, facts.ip.to_string());
    }
  }
  CHECK(opened > 300);
  CHECK(opened < 2700);
}

}  // namespace
}  // namespace postern
