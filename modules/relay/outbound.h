// What the workers share of one configuration: settings, routes, log-ins, our names and addresses. Immutable.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "credentials.h"
#include "routes.h"
#include "settings.h"

namespace postern::relay {

struct Outbound {
  DeliverySettings settings;
  Routes routes;
  Credentials credentials;
  std::string hostname;                  ///< of the server, in lower case
  std::vector<IpAddress> own_addresses;  ///< of this machine's interfaces, and of the settings
  unsigned workers = 1;

  /// Errors: "delivery.credentials". Reads the credentials file. `interfaces`: interface_addresses().
  static Result<std::shared_ptr<const Outbound>> make(DeliverySettings settings, std::string hostname, unsigned workers,
                                                      std::vector<IpAddress> interfaces);
  const std::string& ehlo() const { return settings.ehlo.empty() ? hostname : settings.ehlo; }
  bool is_own_name(std::string_view name) const;
  bool is_own_address(const IpAddress& address) const;
  /// Whether mail that the DNS sends there may go there: not into private networks, unless they are listed.
  bool may_lead_to(const IpAddress& address) const;
};

/// Addresses of this machine's interfaces, without loopback.
std::vector<IpAddress> interface_addresses();

}  // namespace postern::relay
