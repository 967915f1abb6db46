// What an administrator can set about mail that leaves: the table [delivery].
//
// Routes are matched in the order in which they stand; what none matches goes by MX. The texts of hosts are those of
// next_hop.h. Owner: the Config of an epoch. Thread: any; immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "postern/config.h"
#include "way.h"

namespace postern::relay {

enum class ProxyHeader : std::uint8_t { kNone, kV1, kV2 };

/// [[delivery.route]]: where mail of some senders, for some recipients, goes.
struct RouteSettings : Located {
  std::string name;
  std::vector<std::string> domains;  ///< of recipients: "example.org", ".example.org", "*", "bob@example.org"
  std::vector<std::string> senders;  ///< likewise, of senders; "<>" is the null sender
  std::vector<std::string> to;       ///< next hops, tried in this order; empty: by MX, with the rest of this table
  std::string tls;
  std::string credentials;
  std::string source;  ///< name of a [[delivery.source]] pool
  std::optional<FamilyOrder> family;
  std::optional<std::uint32_t> max_connections;
  std::optional<std::uint32_t> max_recipients;
  std::uint32_t messages_per_minute = 0;
  bool verp = false;
  bool xclient = false;
  bool xforward = false;
  ProxyHeader proxy = ProxyHeader::kNone;
};
void describe(Schema<RouteSettings>& s);

/// [[delivery.source]]: an address to connect from. Those of one pool share the connections by their weights.
struct SourceSettings : Located {
  std::string pool = "default";
  IpAddress address;
  std::uint32_t weight = 1;
  std::string ehlo;                    ///< empty: [delivery] ehlo
  std::string since;                   ///< "2026-11-22", with warm_up
  std::vector<std::uint32_t> warm_up;  ///< messages on the first day, the second, ...; then without limit
};
void describe(Schema<SourceSettings>& s);

/// [delivery.timeout]: RFC 5321 §4.5.3.2.
struct TimeoutSettings {
  Duration connect = 30s;
  Duration greeting = 5min;
  Duration hello = 5min;
  Duration tls = 1min;
  Duration auth = 5min;
  Duration mail = 5min;
  Duration rcpt = 5min;
  Duration data = 2min;
  Duration block = 3min;
  Duration final_dot = 10min;
  Duration quit = 5s;
  Duration dns = 30s;
  Duration line = 20s;
};
void describe(Schema<TimeoutSettings>& s);

struct DeliverySettings : Located {
  std::string ehlo;  ///< empty: [server] hostname
  std::string tls = "dane-or-mta-sts-or-opportunistic";
  bool tls_reports = true;
  std::string tls_report_from;
  std::string tls_report_contact;
  FamilyOrder family = FamilyOrder::kIpv6First;
  std::vector<IpNetwork> allow_private;
  bool allow_literals = false;
  std::uint16_t port = 25;
  std::vector<std::string> own_names;
  std::vector<IpAddress> own_addresses;
  std::filesystem::path credentials_file;
  std::uint32_t max_connections = 20;
  std::uint32_t first_connections = 5;
  std::uint32_t max_recipients = 100;
  std::uint32_t max_messages_per_connection = 1000;
  std::uint32_t max_hosts = 6;
  std::uint32_t max_answering_hosts = 2;
  std::uint32_t max_idle_connections = 200;
  Duration idle_time = 5s;
  Duration back_off = 30s;
  Duration max_back_off = 15min;
  Size single_flight = 256_KiB;
  TimeoutSettings timeout;
  std::vector<RouteSettings> routes;
  std::vector<SourceSettings> sources;
};
void describe(Schema<DeliverySettings>& s);

/// What the schema cannot say: names that must exist, hosts that must parse. Places are those of the settings.
void check_settings(const DeliverySettings& settings, Diagnostics& diagnostics);

/// Of the words for TLS (postern/transport.h): those under which a host that anybody may have put there is taken for
/// ours, on purpose: TLS without proof.
bool trusts_any_host(std::string_view tls);
/// Those under which a host has to prove who it is, or gets nothing.
bool proves_host(std::string_view tls);

}  // namespace postern::relay
