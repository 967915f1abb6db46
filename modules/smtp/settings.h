// Settings of the SMTP server: [smtp] and its [[smtp.listener]] tables.
//
// The declarations here are also the manual (settings.cc). Times are those of RFC 5321 §4.5.3.2 or longer; limits are
// per session unless they say otherwise. Addresses, roles and networks need a restart; the rest applies to new
// sessions.
//
// Owner: Config. Thread: immutable; each worker keeps the Config it was last given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/config.h"
#include "postern/envelope.h"
#include "postern/tls.h"

namespace postern::smtp {

enum class TlsMode : std::uint8_t {
  kNone,
  kStartTls,  ///< offered
  kImplicit,  ///< from the first octet (RFC 8314)
  kRequired,  ///< STARTTLS before anything else
};

enum class BareNewline : std::uint8_t { kRefuse, kNormalize };
/// Whose name is asked of the DNS (reverse look-up).
enum class ReverseNames : std::uint8_t {
  kOff,
  kOn,   ///< of clients elsewhere
  kAll,  ///< of those on loopback too
};
enum class VrfyAnswer : std::uint8_t { kNoncommittal, kDisabled };

/// [[smtp.listener.etrn]]: who may ask for the mail of which domains (ETRN, RFC 1985).
struct EtrnSettings : Located {
  std::vector<std::string> domains;  ///< lower case ASCII; ".example.org": all names below it
  std::vector<IpNetwork> networks;
  std::vector<std::string> users;
};

struct ListenerSettings : Located {
  std::string name;
  Endpoint address;
  SessionRole role = SessionRole::kMx;
  std::optional<TlsMode> tls;
  std::string certificate;  ///< name in the TLS service; empty: the default
  std::optional<bool> auth;
  bool allow_plaintext_auth = false;
  std::vector<IpNetwork> proxy_protocol;
  std::vector<IpNetwork> xclient;
  std::optional<std::uint32_t> unix_mode;
  std::optional<Size> max_message_size;
  std::optional<Duration> greet_pause;
  std::optional<ReverseNames> reverse_lookup;
  std::vector<EtrnSettings> etrn;

  TlsMode tls_mode() const;
  bool offers_auth() const;
  ReverseNames reverse_names() const;
  unsigned socket_mode() const;
  bool is_submission() const { return role == SessionRole::kSubmission || role == SessionRole::kSubmissions; }
  /// A Unix socket on which this machine's users are known by their processes.
  bool is_local() const { return role == SessionRole::kLocal; }
  /// Mail that begins here (RFC 6409), not mail on its way.
  bool takes_first() const { return is_submission() || is_local(); }
  bool is_lmtp() const { return role == SessionRole::kLmtp; }
};

struct Settings : Located {
  std::vector<ListenerSettings> listeners;
  std::string banner = "Postern";

  Size max_message_size = 50_MiB;
  std::uint32_t max_recipients = 1000;
  std::uint32_t max_messages = 10'000;
  std::uint32_t max_commands = 5'000;
  std::uint32_t max_errors = 20;
  std::uint32_t max_unknown_commands = 5;
  std::uint32_t max_auth_failures = 3;
  Size max_session_bytes = 16_GiB;
  std::uint32_t max_connections = 20'000;
  std::uint32_t max_connections_per_ip = 100;
  std::vector<IpNetwork> connection_limit_exempt;
  std::uint32_t max_received = 100;
  Size max_line = 1_MiB;

  Duration command_timeout = 5min;
  Duration data_timeout = 5min;
  Duration transfer_timeout = 1h;
  Duration write_timeout = 5min;
  Duration tls_timeout = 30s;
  Duration auth_timeout = 2min;
  Duration proxy_timeout = 10s;
  Duration reverse_timeout = 5s;
  Duration greet_pause = 0s;
  Duration auth_failure_delay = 1s;

  BareNewline bare_newline = BareNewline::kRefuse;
  VrfyAnswer vrfy = VrfyAnswer::kNoncommittal;
  bool strict_helo = true;
  bool strip_bcc = true;
  bool smtputf8 = true;
  bool chunking = true;
  bool prdr = true;
  bool dsn = true;
};

void describe(Schema<EtrnSettings>& s);
void describe(Schema<ListenerSettings>& s);
void describe(Schema<Settings>& s);

/// What cannot be said of one field alone: names twice, addresses twice, TLS that the role contradicts.
void check_settings(const Settings& settings, bool have_auth, bool have_tls, Diagnostics& diagnostics);
/// Listeners whose `certificate` is the name of none; nothing is said when there is no certificate at all.
void check_certificates(const Settings& settings, TlsService& tls, Diagnostics& diagnostics);

}  // namespace postern::smtp
