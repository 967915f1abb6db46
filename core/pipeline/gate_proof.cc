#include "core/pipeline/gate_proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace postern {
namespace {

using Octets = std::array<std::uint8_t, 16>;

Octets octets_of(const IpAddress& ip) {
  Octets out{};
  std::copy_n(ip.octets(), ip.size(), out.begin());
  return out;
}

IpAddress address_of(const Octets& octets, bool v6) {
  if (v6) return IpAddress::v6(octets);
  return IpAddress::v4(std::uint32_t{octets[0]} << 24 | std::uint32_t{octets[1]} << 16 | std::uint32_t{octets[2]} << 8 |
                       octets[3]);
}

/// The first address behind a network; nothing at the end of the address space.
std::optional<IpAddress> behind(const IpNetwork& network) {
  const bool v6 = network.base().is_v6();
  Octets octets = octets_of(network.base());
  int bit = network.prefix() - 1;  // adds one at the prefix's last bit, with carry
  for (; bit >= 0; --bit) {
    const auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
    std::uint8_t& octet = octets[static_cast<std::size_t>(bit / 8)];
    octet ^= mask;
    if (octet & mask) break;
  }
  if (bit < 0) return std::nullopt;
  return address_of(octets, v6);
}

bool covers(const IpNetwork& outer, const IpNetwork& inner) {
  return outer.prefix() <= inner.prefix() && outer.contains(inner.base());
}

bool is_private_network(const IpNetwork& network) {
  return std::ranges::any_of(private_networks(), [&](const IpNetwork& one) { return covers(one, network); });
}

bool too_wide(const IpNetwork& network) {
  if (is_private_network(network)) return false;
  return network.prefix() < (network.base().is_v6() ? kWidestV6 : kWidestV4);
}

/// Public IPv4 addresses in all narrow networks together, those in several counted once.
std::uint64_t named_v4_addresses(const GateConfig& config) {
  std::vector<IpNetwork> narrow;
  for (const auto* list : {&config.networks, &config.proxies})
    for (const NamedNetwork& one : *list)
      if (!one.network.base().is_v6() && !too_wide(one.network) && !is_private_network(one.network))
        narrow.push_back(one.network);
  std::ranges::sort(narrow, {}, &IpNetwork::prefix);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    const auto earlier = std::span(narrow).first(i);
    if (std::ranges::none_of(earlier, [&](const IpNetwork& one) { return covers(one, narrow[i]); }))
      total += 1ULL << (32 - narrow[i].prefix());
  }
  return total;
}

bool is_stranger(const GateConfig& config, const IpAddress& ip, bool too_many) {
  for (const IpNetwork& network : private_networks())
    if (network.contains(ip)) return false;
  if (too_many) return true;
  for (const auto* list : {&config.networks, &config.proxies})
    for (const NamedNetwork& one : *list)
      if (!too_wide(one.network) && one.network.contains(ip)) return false;
  return true;
}

/// Addresses that stand for all: see the head of gate_proof.h.
std::vector<IpAddress> representatives(const GateConfig& config) {
  std::set<IpAddress> found{IpAddress::v4(0xCB007101), *IpAddress::parse("2001:db8::1"), IpAddress::v4(0),
                            IpAddress::v6({})};
  const auto add = [&](const IpNetwork& network) {
    found.insert(network.base());
    if (auto next = behind(network)) found.insert(*next);
  };
  for (const auto* list : {&config.networks, &config.proxies})
    for (const NamedNetwork& one : *list) add(one.network);
  for (const IpNetwork& network : private_networks()) add(network);
  return {found.begin(), found.end()};
}

const NamedNetwork* first_containing(const std::vector<NamedNetwork>& networks, const IpAddress& ip) {
  for (const NamedNetwork& one : networks)
    if (one.network.contains(ip)) return &one;
  return nullptr;
}

std::string words(const NamedNetwork& one) {
  return fmt::format("{} ({})", one.network.to_string(), one.reason);
}

std::string dialogue_of(const ClientFacts& client) {
  const std::string who =
      client.proxy ? fmt::format("{} connects and declares {}{}", client.proxy->to_string(), client.ip.to_string(),
                                 client.authenticated ? " and a login (XCLIENT)" : " (PROXY)")
                   : fmt::format("{} connects", client.ip.to_string());
  return who +
         "\n  MAIL FROM:<stranger@elsewhere.example>\n  250\n  RCPT TO:<victim@foreign.example>\n  250   <- relayed";
}

GateWitness network_witness(const GateConfig& config, const ClientFacts& client, bool too_many) {
  GateWitness out;
  out.client = client;
  const bool by_proxy = client.proxy.has_value();
  const NamedNetwork* line =
      first_containing(by_proxy ? config.proxies : config.networks, by_proxy ? *client.proxy : client.ip);
  if (line) {
    out.origin = line->origin;
    const std::string_view table = by_proxy ? "[[relay.proxy]]" : "[[relay.network]]";
    out.cause = too_many && !too_wide(line->network)
                    ? fmt::format("{} {}: all named networks together hold more than {} public addresses", table,
                                  words(*line), kMostV4Addresses)
                    : fmt::format("{} {} is wider than /{}, so strangers are in it", table, words(*line),
                                  line->network.base().is_v6() ? kWidestV6 : kWidestV4);
  }
  out.dialogue = dialogue_of(client);
  return out;
}

/// A stranger that relays; simplest first: connected itself, then through a proxy that anybody can be.
std::optional<GateWitness> find_stranger(const GateConfig& config, const std::vector<IpAddress>& addresses) {
  const bool too_many = named_v4_addresses(config) > kMostV4Addresses;
  std::optional<IpAddress> open_proxy;
  for (const IpAddress& ip : addresses) {
    if (!is_stranger(config, ip, too_many)) continue;
    const ClientFacts direct{.ip = ip};
    if (answer(config, direct, RecipientClass::kForeign) == GateAnswer::kRelay)
      return network_witness(config, direct, too_many);
    if (!open_proxy && first_containing(config.proxies, ip)) open_proxy = ip;
  }
  if (!open_proxy) return std::nullopt;
  for (const bool login : {false, true})  // XCLIENT LOGIN
    for (const IpAddress& ip : addresses) {
      const ClientFacts declared{.ip = ip, .authenticated = login, .proxy = open_proxy};
      if (answer(config, declared, RecipientClass::kForeign) == GateAnswer::kRelay)
        return network_witness(config, declared, too_many);
    }
  return std::nullopt;
}

std::optional<GateWitness> find_open_domain(const DirectoryFacts& facts) {
  for (const DirectoryFacts::Domain& domain : facts.domains) {
    if (domain.kind != DomainKind::kRelay) continue;
    if (domain.name.find('.') != std::string::npos && !domain.name.starts_with('*') && !domain.name.starts_with('.'))
      continue;
    if (domain.name.starts_with('[')) continue;
    GateWitness out;
    out.client.ip = IpAddress::v4(0xCB007101);
    out.recipient = RecipientClass::kRelayDomain;
    out.cause = fmt::format("[[domain]] \"{}\" of kind relay covers domains of others", domain.name);
    out.dialogue = dialogue_of(out.client);
    return out;
  }
  return std::nullopt;
}

void add_rows(GateReport& report, const GateConfig& config, std::string label, ClientFacts client) {
  for (const SessionRole role : {SessionRole::kMx, SessionRole::kSubmission, SessionRole::kLmtp})
    for (const bool authenticated : {false, true})
      for (const RecipientClass recipient : kAllRecipientClasses) {
        client.role = role;
        client.authenticated = authenticated;
        report.cells.push_back({label, role, authenticated, recipient, answer(config, client, recipient)});
      }
}

void add_cells(GateReport& report, const GateConfig& config, const std::vector<IpAddress>& addresses) {
  const auto outside = std::ranges::find_if(addresses, [&](const IpAddress& ip) {
    return !first_containing(config.networks, ip) && !first_containing(config.proxies, ip);
  });
  const IpAddress stranger = outside == addresses.end() ? IpAddress::v4(0xCB007101) : *outside;
  add_rows(report, config, "stranger", {.ip = stranger});
  for (const NamedNetwork& one : config.networks) {
    add_rows(report, config, "relay network " + words(one), {.ip = one.network.base()});
    if (report.cells.size() > 20'000) break;  // enough to read; the witness search goes over all of them
  }
  if (!config.proxies.empty()) {
    const IpAddress proxy = config.proxies.front().network.base();
    add_rows(report, config, "trusted proxy, declaring nobody", {.ip = proxy});
    add_rows(report, config, "stranger behind a trusted proxy", {.ip = stranger, .proxy = proxy});
    if (!config.networks.empty())
      add_rows(report, config, "relay network behind a trusted proxy",
               {.ip = config.networks.front().network.base(), .proxy = proxy});
  }
  if (!config.networks.empty())
    add_rows(report, config, "relay network as declared by anybody",
             {.ip = config.networks.front().network.base(), .proxy = stranger});
}

void add_notes(GateReport& report, const GateConfig& config, const DirectoryFacts& facts) {
  for (const NamedNetwork& one : config.networks) {
    if (is_private_network(one.network))
      report.notes.push_back(
          fmt::format("relay network {} is private: whoever reaches this server through a translator or a proxy "
                      "without PROXY in it "
                      "relays as well",
                      words(one)));
    for (const NamedNetwork& proxy : config.proxies)
      if (one.network.overlaps(proxy.network))
        report.notes.push_back(
            fmt::format("proxy {} lies in relay network {}: what it sends without declaring a client is not relayed",
                        words(proxy), words(one)));
  }
  if (facts.foreign_aliases && config.forward_aliases)
    report.notes.push_back(fmt::format(
        "{} aliases lead elsewhere and are forwarded for everybody ([relay] forward_aliases)", facts.foreign_aliases));
  if (facts.foreign_aliases && !config.forward_aliases)
    report.notes.push_back(
        fmt::format("{} aliases lead elsewhere and are refused to strangers ([relay] forward_aliases is false)",
                    facts.foreign_aliases));
  if (!config.return_paths.empty())
    report.notes.push_back(
        fmt::format("reports to return paths that were signed here go back to the senders of forwarded mail ({})",
                    config.return_paths));
  if (facts.wild_aliases)
    report.notes.push_back(
        fmt::format("{} aliases let the sender choose the name at a foreign domain and are refused to strangers",
                    facts.wild_aliases));
}

}  // namespace

std::span<const IpNetwork> private_networks() {
  // Addresses that never cross the internet: this host, RFC 1918, RFC 4193, link-local. Not 100.64.0.0/10: behind a
  // carrier's translator are strangers.
  static const std::array<IpNetwork, 10> kNetworks = {
      *IpNetwork::parse("0.0.0.0/8"),      *IpNetwork::parse("10.0.0.0/8"),    *IpNetwork::parse("127.0.0.0/8"),
      *IpNetwork::parse("169.254.0.0/16"), *IpNetwork::parse("172.16.0.0/12"), *IpNetwork::parse("192.168.0.0/16"),
      *IpNetwork::parse("::/128"),         *IpNetwork::parse("::1/128"),       *IpNetwork::parse("fc00::/7"),
      *IpNetwork::parse("fe80::/10")};
  return kNetworks;
}

bool is_stranger(const GateConfig& config, const IpAddress& ip) {
  return is_stranger(config, ip, named_v4_addresses(config) > kMostV4Addresses);
}

GateReport prove_gate(const GateConfig& config, const DirectoryFacts& facts) {
  GateReport report;
  const std::vector<IpAddress> addresses = representatives(config);
  add_cells(report, config, addresses);
  report.witness = find_stranger(config, addresses);
  if (!report.witness) report.witness = find_open_domain(facts);
  add_notes(report, config, facts);
  return report;
}

void note_script_targets(GateReport& report, const GateConfig& config, const RuleSet& rules,
                         const Directory& directory) {
  constexpr std::size_t kMostNamed = 10;
  std::set<std::string> elsewhere;
  for (const auto& [name, pipeline] : rules.pipelines)
    for (const Rule& rule : pipeline.rules)
      for (const auto& action : rule.actions)
        for (const Address& one : action->sends_to())
          if (directory.domain_kind(one.domain().ascii()) == DomainKind::kForeign) elsewhere.insert(one.to_string());
  if (elsewhere.empty()) return;
  std::string names;
  std::size_t named = 0;
  for (const std::string& one : elsewhere)
    if (++named <= kMostNamed) names += (names.empty() ? "" : ", ") + one;
  if (named > kMostNamed) names += fmt::format(" and {} more", named - kMostNamed);
  report.notes.push_back(
      config.forward_aliases
          ? fmt::format(
                "{} addresses of scripts lie elsewhere and get mail from everybody ([relay] forward_aliases): {}",
                elsewhere.size(), names)
          : fmt::format("{} addresses of scripts lie elsewhere and get notices alone, other mail for them is deferred "
                        "([relay] forward_aliases is false): {}",
                        elsewhere.size(), names));
}

std::string GateReport::table() const {
  static constexpr std::string_view kMarks[] = {"deliver", "relay", "no user", "refuse", "log in", "later"};
  std::string out = fmt::format("{:<44} {:<11} {:<5}", "client", "role", "login");
  for (const RecipientClass recipient : kAllRecipientClasses) out += fmt::format(" | {}", to_string(recipient));
  out += '\n';
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const GateCell& cell = cells[i];
    if (cell.recipient == kAllRecipientClasses[0])
      out += fmt::format("{:<44} {:<11} {:<5}", cell.client.substr(0, 44), to_string(cell.role),
                         cell.authenticated ? "yes" : "no");
    out += fmt::format(" | {:<{}}", kMarks[static_cast<std::size_t>(cell.answer)], to_string(cell.recipient).size());
    if (cell.recipient == std::end(kAllRecipientClasses)[-1]) out += '\n';
  }
  return out;
}

std::string GateReport::render() const {
  std::string out = table();
  for (const std::string& note : notes) out += fmt::format("note: {}\n", note);
  if (witness)
    out += fmt::format("OPEN: a stranger may relay\n  {}\n  {}: {}\n", witness->dialogue, witness->origin.to_string(),
                       witness->cause);
  else
    out += "closed: no stranger may relay\n";
  return out;
}

void report_gate(const GateReport& report, Diagnostics& diagnostics) {
  if (!report.witness) return;
  diagnostics.error(report.witness->origin, "a stranger may relay through this server: " + report.witness->cause,
                    "for instance: " + report.witness->dialogue);
}

}  // namespace postern
