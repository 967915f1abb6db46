#include "ways.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"

namespace postern::relay {

namespace {

Reply no_hosts_reply(const MailHosts& found, const std::string& domain) {
  switch (found.status) {
    case MailHosts::Status::kNullMx:  // RFC 7505 §4
      return {556, "5.1.10", fmt::format("{} takes no mail (null MX)", domain)};
    case MailHosts::Status::kNoDomain:
      return {550, "5.1.2", fmt::format("there is no domain {}", domain)};
    case MailHosts::Status::kNoHost:
      return {550, "5.4.4", fmt::format("{} has no mail host", domain)};
    default:
      return {451, "4.4.3", fmt::format("the mail hosts of {} could not be looked up ({})", domain, found.detail)};
  }
}

std::uint16_t port_of(const NextHop& hop, std::uint16_t usual) {
  return hop.port.value_or(usual);
}

/// The hosts as one text, in an order of their own: destinations with the same hosts share a site's limits.
std::string site_of(const Way& way) {
  std::vector<std::string> names;
  for (const WayHost& host : way.hosts)
    names.push_back(host.unix_path.empty() ? fmt::format("{}:{}", host.host.name, host.port) : host.unix_path);
  std::ranges::sort(names);
  std::string site = fmt::format("{}", fmt::join(names, ","));
  return way.route.empty() ? site : way.route + "=" + site;
}

void order_families(std::vector<IpAddress>& addresses, FamilyOrder order) {
  if (order == FamilyOrder::kIpv6Only) std::erase_if(addresses, [](const IpAddress& one) { return !one.is_v6(); });
  if (order == FamilyOrder::kIpv4Only) std::erase_if(addresses, [](const IpAddress& one) { return one.is_v6(); });
  const bool v6_first = order == FamilyOrder::kIpv6First;
  std::vector<IpAddress> ordered;
  for (const bool first : {true, false})
    for (const IpAddress& one : addresses)
      if ((one.is_v6() == v6_first) == first) ordered.push_back(one);
  addresses = std::move(ordered);
}

/// Whose policies decide about a host: those of the name that the administrator or the sender wrote.
const std::string& domain_of(const Way& way, const WayHost& host) {
  if (host.from_mx) return host.domain;
  return way.smarthost ? host.host.name : way.domain;
}

bool guarded(const Way& way) {
  return !way.credentials.empty() && !way.trusts_any;
}

/// A password goes to a host that has proved who it is, unless the route itself says in so many words that any will do.
void guard_password(Way& way, const RouteSettings& route) {
  way.trusts_any = trusts_any_host(route.tls);
  if (route.tls.empty()) way.tls = "verify";
}

}  // namespace

WayFinder::WayFinder(Executor& executor, Resolver& dns, TlsPolicies& tls, std::shared_ptr<const Outbound> outbound)
    : executor_(executor), dns_(dns), tls_(tls), outbound_(std::move(outbound)) {}

template <class T>
std::shared_ptr<const T> WayFinder::keep(Shelf<T>& shelf, std::string key, T value, Duration time) {
  const Instant now = executor_.now();
  return shelf.put(std::move(key), std::move(value), now, now + std::min(time, kLongest));
}

Heading WayFinder::heading(const Address& sender, const Address& recipient, const PlanStep& step) const {
  Heading out;
  out.domain = recipient.domain().ascii();
  const auto option = [&](const char* name) -> std::string_view {
    const auto found = step.options.find(name);
    return found == step.options.end() ? std::string_view() : std::string_view(found->second);
  };
  out.tls = option("tls");
  if (const auto source = option("source"); !source.empty()) out.source = IpAddress::parse(source);
  if (const auto gateway = option("gateway"); !gateway.empty()) {
    out.route = outbound_->routes.named(gateway);
    if (!out.route) out.gateway = gateway;
  } else {
    out.route = outbound_->routes.find(sender, recipient);
  }
  out.by_mx = out.gateway.empty() && (!out.route || out.route->settings.to.empty());
  const std::string& name = out.route ? out.route->settings.name : out.gateway;
  out.key = fmt::format("{}|{}|{}|{}", name, out.by_mx ? out.domain : std::string(), out.tls, option("source"));
  if (!out.by_mx) out.domain = name;
  return out;
}

Task<std::shared_ptr<const Way>> WayFinder::find(const Heading& heading, Deadline deadline) {
  if (auto found = ways_.find(heading.key, executor_.now()))
    return Task<std::shared_ptr<const Way>>::ready(std::move(found));
  return look_up(heading, deadline);
}

Task<std::shared_ptr<const Way>> WayFinder::look_up(Heading heading, Deadline deadline) {
  Way way;
  way.domain = heading.domain;
  way.families = outbound_->settings.family;
  way.tls = outbound_->settings.tls;
  std::vector<NextHop> hops;
  if (heading.route) {
    const RouteSettings& route = heading.route->settings;
    way.route = route.name;
    way.credentials = route.credentials;
    way.source_pool = route.source;
    if (!route.tls.empty()) way.tls = route.tls;
    if (!way.credentials.empty()) guard_password(way, route);
    if (route.family) way.families = *route.family;
    hops = heading.route->hops;
  } else if (!heading.gateway.empty()) {
    auto hop = parse_next_hop(heading.gateway);
    if (hop)
      hops.push_back(std::move(*hop));
    else
      way.dead_end = Reply{451, "4.3.5", "the plan's next hop " + heading.gateway + " " + hop.error().detail};
  }
  // What a plan wants may strengthen a route that logs in, and not weaken it.
  if (!heading.tls.empty() && (way.credentials.empty() || proves_host(heading.tls))) way.tls = heading.tls;
  way.source = heading.source;
  if (!heading.by_mx && !way.dead_end)
    co_await add_hops(way, std::move(hops), deadline);
  else if (!way.dead_end && way.domain.starts_with('['))
    literal(way, heading.domain);
  else if (!way.dead_end && way.domain.empty())
    way.dead_end = Reply{550, "5.1.2", "the address has no domain"};
  else if (!way.dead_end)
    co_await add_mx(way, way.domain, outbound_->settings.port, false, deadline);
  way.site = site_of(way);
  const Duration time = way.dead_end && way.dead_end->temporary() ? kFailure : way.valid_for;
  co_return keep(ways_, heading.key, std::move(way), time);
}

/// The hosts of a configured list. A configuration that leads nowhere makes mail wait: its sender cannot help it.
Task<void> WayFinder::add_hops(Way& way, std::vector<NextHop> hops, Deadline deadline) {
  way.smarthost = true;
  if (!hops.empty()) way.protocol = hops.front().protocol;
  std::optional<Reply> why;
  for (NextHop& hop : hops) {
    if (hop.protocol != way.protocol) continue;
    if (hop.by_mx) {
      co_await add_mx(way, hop.host, port_of(hop, outbound_->settings.port), true, deadline);
      if (way.dead_end) why = std::exchange(way.dead_end, std::nullopt);
      continue;
    }
    WayHost host;
    host.host.name = hop.unix_path.empty() ? hop.host : "unix:" + hop.unix_path;
    host.port = port_of(hop, outbound_->settings.port);
    host.unix_path = std::move(hop.unix_path);
    host.fixed = hop.address;
    host.implicit_tls = hop.implicit_tls;
    way.hosts.push_back(std::move(host));
  }
  if (way.hosts.size() > Resolver::kMaxMailHosts) way.hosts.resize(Resolver::kMaxMailHosts);
  if (!way.hosts.empty()) co_return;
  way.dead_end = why.value_or(Reply{451, "4.3.5", "route " + way.route + " has no host"});
  if (way.dead_end->permanent()) way.dead_end = Reply{451, "4.4.4", "the configured next hop: " + way.dead_end->text};
}

Task<void> WayFinder::add_mx(Way& way, std::string domain, std::uint16_t port, bool configured, Deadline deadline) {
  MailHosts found = co_await dns_.mail_hosts(domain, deadline);
  if (!found.found()) {
    way.dead_end = no_hosts_reply(found, domain);
    co_return;
  }
  way.valid_for = std::min<Duration>(way.valid_for, std::max<Duration>(found.ttl, 1s));
  for (MailHost& mx : found.hosts) {
    WayHost host;
    host.host = std::move(mx);
    host.port = port;
    host.from_mx = true;
    host.mx_authenticated = found.authenticated;
    host.domain = domain;
    way.hosts.push_back(std::move(host));
  }
  if (!configured) cut_loop(way);
}

/// RFC 5321 §5.1: when we are among the hosts, neither we nor a host that is no better than us may be tried.
void WayFinder::cut_loop(Way& way) const {
  const auto own =
      std::ranges::find_if(way.hosts, [this](const WayHost& one) { return outbound_->is_own_name(one.host.name); });
  if (own == way.hosts.end()) return;
  const std::uint16_t preference = own->host.preference;
  const std::string name = own->host.name;
  std::erase_if(way.hosts, [&](const WayHost& one) { return one.host.preference >= preference; });
  if (way.hosts.empty())
    way.dead_end = Reply{554, "5.4.6", fmt::format("mail for {} leads back to us ({})", way.domain, name)};
}

void WayFinder::literal(Way& way, const std::string& domain) const {
  const auto parsed = Domain::parse(domain);
  const auto address = parsed ? parsed->address() : std::nullopt;
  if (!outbound_->settings.allow_literals || !address) {
    way.dead_end = Reply{550, "5.1.2", "mail to address literals is not sent from here"};
    return;
  }
  if (outbound_->is_own_address(*address) || !outbound_->may_lead_to(*address)) {
    way.dead_end = Reply{550, "5.1.2", fmt::format("no mail is sent to {} from here", domain)};
    return;
  }
  WayHost host;
  host.host.name = domain;
  host.port = outbound_->settings.port;
  host.fixed = address;
  way.hosts.push_back(std::move(host));
}

Task<std::shared_ptr<const Target>> WayFinder::target(const Way& way, std::size_t host, bool require_tls,
                                                      Deadline deadline) {
  const WayHost& one = way.hosts[host];
  const int flags = one.from_mx + 2 * require_tls + 4 * one.mx_authenticated + 8 * way.smarthost + 16 * guarded(way);
  std::string key = fmt::format("{}|{}|{}|{}|{}|{}", domain_of(way, one), one.host.name, one.port, way.tls,
                                static_cast<int>(way.families), flags);
  if (auto found = targets_.find(key, executor_.now()))
    return Task<std::shared_ptr<const Target>>::ready(std::move(found));
  return look_up_target(std::move(key), way, host, require_tls, deadline);
}

void WayFinder::take_addresses(Target& target, const WayHost& host, HostAddresses& found, FamilyOrder order) const {
  if (!found.ok()) {
    const bool gone = found.status == DnsStatus::kNxDomain || found.status == DnsStatus::kNoData;
    target.dead_end = gone ? Reply{550, "5.4.4", fmt::format("the mail host {} has no address", target.name)}
                           : Reply{451, "4.4.3",
                                   fmt::format("the addresses of {} could not be looked up ({})", target.name,
                                               to_string(found.status))};
    return;
  }
  if (host.from_mx) {
    target.loop = std::ranges::any_of(found.addresses, [&](const auto& one) { return outbound_->is_own_address(one); });
    std::erase_if(found.addresses, [&](const IpAddress& one) { return !outbound_->may_lead_to(one); });
    if (target.loop)
      target.dead_end = Reply{554, "5.4.6", fmt::format("{} is this server: the mail would loop", target.name)};
    else if (found.addresses.empty())
      target.dead_end = Reply{550, "5.4.4", fmt::format("{} has no public address", target.name)};
  }
  order_families(found.addresses, order);
  if (!target.dead_end && found.addresses.empty())
    target.dead_end = Reply{451, "4.4.4", fmt::format("{} has no address of a family that may be used", target.name)};
  if (target.dead_end) return;
  for (const IpAddress& ip : found.addresses) target.endpoints.push_back({ip, host.port, {}});
}

Task<std::shared_ptr<const Target>> WayFinder::look_up_target(std::string key, Way way, std::size_t at,
                                                              bool require_tls, Deadline deadline) {
  const WayHost& host = way.hosts[at];
  Target target;
  target.name = host.host.name;
  target.domain = domain_of(way, host);
  target.implicit_tls = host.implicit_tls;
  HostAddresses found;
  if (!host.unix_path.empty()) {
    target.endpoints.push_back({{}, 0, host.unix_path});
    target.tls.level = TlsLevel::kNone;
    target.tls.key = "unix";
    co_return keep(targets_, std::move(key), std::move(target), kLongest);
  }
  if (host.fixed)
    found = {.status = DnsStatus::kOk, .canonical_name = host.host.name, .addresses = {*host.fixed}};
  else
    found = co_await dns_.host_addresses(host.host.name, deadline);
  take_addresses(target, host, found, way.families);
  if (!target.dead_end) {
    target.tls = co_await tls_.decide({.domain = target.domain,
                                       .host = host.host,
                                       .addresses = std::move(found),
                                       .port = host.port,
                                       .from_mx = host.from_mx,
                                       .mx_authenticated = host.mx_authenticated,
                                       .smarthost = way.smarthost,
                                       .log_in = guarded(way),
                                       .wanted = way.tls,
                                       .require_tls = require_tls},
                                      deadline);
    target.dead_end = target.tls.refusal;
  }
  const bool waits = target.dead_end && target.dead_end->temporary();
  co_return keep(targets_, std::move(key), std::move(target), waits ? kFailure : target.tls.valid_for);
}

}  // namespace postern::relay
