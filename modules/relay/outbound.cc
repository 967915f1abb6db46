#include "outbound.h"

#include <ifaddrs.h>
#include <sys/socket.h>

#include <algorithm>

#include "postern/text.h"

namespace postern::relay {

std::vector<IpAddress> interface_addresses() {
  std::vector<IpAddress> all;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return all;
  for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
    if (!one->ifa_addr || (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6)) continue;
    const IpAddress address = Endpoint::from_sockaddr(one->ifa_addr).ip;
    if (!address.is_loopback()) all.push_back(address);
  }
  freeifaddrs(first);
  return all;
}

Result<std::shared_ptr<const Outbound>> Outbound::make(DeliverySettings settings, std::string hostname,
                                                       unsigned workers, std::vector<IpAddress> interfaces) {
  auto out = std::make_shared<Outbound>();
  if (!settings.credentials_file.empty()) {
    auto read = Credentials::read(settings.credentials_file);
    if (!read) return std::unexpected(read.error());
    out->credentials = std::move(*read);
  }
  for (const RouteSettings& route : settings.routes)
    if (!route.credentials.empty() && !out->credentials.find(route.credentials))
      return fault("delivery.credentials", settings.credentials_file.string() + " has no line \"" + route.credentials +
                                               "\", which route \"" + route.name + "\" needs");
  out->routes = Routes(settings.routes);
  out->hostname = to_lower(hostname);
  out->own_addresses = std::move(interfaces);
  out->own_addresses.insert(out->own_addresses.end(), settings.own_addresses.begin(), settings.own_addresses.end());
  out->workers = std::max(workers, 1U);
  out->settings = std::move(settings);
  return std::shared_ptr<const Outbound>(std::move(out));
}

bool Outbound::is_own_name(std::string_view name) const {
  return equal_folded(name, hostname) || (!settings.ehlo.empty() && equal_folded(name, settings.ehlo)) ||
         std::ranges::any_of(settings.own_names, [&](const std::string& own) { return equal_folded(own, name); });
}

bool Outbound::is_own_address(const IpAddress& address) const {
  return std::ranges::find(own_addresses, address) != own_addresses.end();
}

bool Outbound::may_lead_to(const IpAddress& address) const {
  const std::uint8_t first = address.octets()[0];
  const bool unspecified = std::all_of(address.octets(), address.octets() + address.size(), [](auto o) { return !o; });
  // 0/8, multicast, class E and broadcast; of IPv6 the unspecified address and multicast.
  if (unspecified || (address.is_v6() ? first == 0xff : first == 0 || first >= 224)) return false;
  if (address.is_public()) return true;
  return std::ranges::any_of(settings.allow_private, [&](const IpNetwork& net) { return net.contains(address); });
}

}  // namespace postern::relay
