// A schema with every kind of field, shared by the tests of this area and by the fuzz target.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "postern/config.h"

namespace postern::config_testing {

enum class Role : std::uint8_t { kMx, kSubmission };

struct Listener : Located {
  Endpoint address;
  Role role = Role::kMx;
  bool proxy = false;
  std::optional<Size> max_message;
};
inline void describe(Schema<Listener>& s) {
  s.applies(Apply::kRestart);
  s.field("address", &Listener::address, "Where to listen.").required().example("0.0.0.0:25");
  s.field("role", &Listener::role, "What the listener is for.")
      .names({{"mx", Role::kMx}, {"submission", Role::kSubmission}});
  s.field("proxy", &Listener::proxy, "Expect the PROXY protocol.");
  s.field("max_message", &Listener::max_message, "The largest message.").range(1_KiB, 1_GiB).example("25 MiB");
}

struct Domain {
  std::string postmaster = "postmaster";
  std::vector<std::string> aliases;
};
inline void describe(Schema<Domain>& s) {
  s.field("postmaster", &Domain::postmaster, "Who gets the postmaster's mail.").length(1, 64);
  s.field("aliases", &Domain::aliases, "Other names of the domain.").items(0, 3);
}

struct Server {
  std::string hostname;
  std::vector<Listener> listeners;
  std::map<std::string, Domain> domains;
};
inline void describe(Schema<Server>& s) {
  s.table("", "The server.");
  s.field("hostname", &Server::hostname, "Our name.")
      .required()
      .example("mx.example.org")
      .check([](const std::string& name) {
        return name.find('.') == std::string::npos ? std::optional<std::string>("is not a full host name")
                                                   : std::nullopt;
      });
  s.table_field("listener", &Server::listeners, "Listeners.");
  s.table_field("domain", &Server::domains, "Our domains.");
}

struct Limits {
  int per_minute = 60;
  double ratio = 0.5;
};
inline void describe(Schema<Limits>& s) {
  s.field("per_minute", &Limits::per_minute, "Sessions a minute.").range(1, 1000).applies(Apply::kLive);
  s.field("ratio", &Limits::ratio, "Share.").range(0, 1);
}

struct Pop3 : Located {
  Duration idle_timeout = 10min;
  std::uint64_t max_line = 255;
  std::vector<std::string> hosts = {"localhost"};
  bool apop = false;
  Size buffer = 64_KiB;
  std::string policy = "strict";
  std::string password;
  std::string greeting = "ready";
  std::filesystem::path banner = "banner.txt";
  IpAddress source;
  std::vector<IpNetwork> networks;
  std::map<std::string, std::int64_t> weights;
  Limits limits;
  std::optional<Limits> strangers;
};
inline void describe(Schema<Pop3>& s) {
  s.table("pop3", "POP3 server (RFC 1939).");
  s.applies(Apply::kNewSessions);
  s.field("idle_timeout", &Pop3::idle_timeout, "How long a silent client is kept.").range(10min, 24h).example("15m");
  s.field("max_line", &Pop3::max_line, "Octets of a command line.").range(64, 4096);
  s.field("hosts", &Pop3::hosts, "Names under which the server is reached.").items(1, 3).length(1, 255);
  s.field("apop", &Pop3::apop, "Offer APOP.");
  s.field("buffer", &Pop3::buffer, "Octets kept in memory for a client.").range(4_KiB, 1_MiB);
  s.field("policy", &Pop3::policy, "How strict to be.").one_of({"strict", "lenient"});
  s.field("password", &Pop3::password, "For the backend.").secret().length(0, 8);
  s.field("greeting", &Pop3::greeting, "Text of the greeting.");
  s.field("banner", &Pop3::banner, "A file.").applies(Apply::kRestart);
  s.field("source", &Pop3::source, "Address to connect from.");
  s.field("networks", &Pop3::networks, "Who may connect.");
  s.field("weights", &Pop3::weights, "Weights by name.").range(-5, 5).items(0, 2);
  s.table_field("limits", &Pop3::limits, "Limits.");
  s.table_field("strangers", &Pop3::strangers, "Limits for strangers.");
  s.check([](const Pop3& settings, Diagnostics& d) {
    if (settings.apop && settings.password.empty()) d.error(settings.origin("apop"), "pop3.apop needs pop3.password");
    if (settings.max_line > 1000)
      d.warning(settings.origin("max_line"), "pop3.long-lines", "lines of more than 1000 octets");
  });
}

inline void add_all(ConfigSchemas& schemas) {
  schemas.add<Server>();
  schemas.add<Pop3>();
}

}  // namespace postern::config_testing
