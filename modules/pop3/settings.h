// The POP3 settings of an administrator: [pop3] and its [[pop3.listener]] tables.
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "postern/config.h"
#include "postern/tls.h"

namespace postern::pop3 {

enum class TlsMode : std::uint8_t { kNone, kStartTls, kImplicit };

struct ListenerSettings : Located {
  std::string name;
  Endpoint address;
  TlsMode tls = TlsMode::kStartTls;
  std::string certificate;
  bool allow_plaintext = false;
};
void describe(Schema<ListenerSettings>& s);

struct Pop3Settings : Located {
  std::vector<ListenerSettings> listeners;
  Duration idle_timeout = 10min;
  Duration write_timeout = 5min;
  Duration tls_timeout = 1min;
  std::uint32_t max_connections = 20'000;
  std::uint32_t max_connections_per_ip = 50;
  std::uint32_t max_errors = 20;
  std::uint32_t max_login_attempts = 5;
  std::uint32_t max_commands = 1'000'000;
  bool apop = false;
  Duration login_delay = 0s;
  std::optional<std::uint32_t> expire_days;
};
void describe(Schema<Pop3Settings>& s);

/// Listeners whose `certificate` is the name of none; nothing is said when there is no certificate at all.
void check_certificates(const Pop3Settings& settings, TlsService& tls, Diagnostics& diagnostics);

}  // namespace postern::pop3
