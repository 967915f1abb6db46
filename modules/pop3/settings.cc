#include "settings.h"

#include <fmt/format.h>

namespace postern::pop3 {

namespace {

void check_listener(const ListenerSettings& listener, Diagnostics& diagnostics) {
  bool local = listener.address.is_unix() || listener.address.ip.is_loopback();
  if (listener.allow_plaintext && listener.tls != TlsMode::kImplicit && !local)
    diagnostics.warning(listener.origin("allow_plaintext"), "pop3.plaintext-passwords",
                        fmt::format("passwords cross the network in the clear at {}", listener.address.to_string()),
                        "leave allow_plaintext out; clients can use STLS");
  if (listener.tls == TlsMode::kNone && !listener.allow_plaintext && !listener.address.is_unix())
    diagnostics.warning(
        listener.origin("tls"), "pop3.no-login",
        fmt::format("nobody can log in at {}: no TLS, and no passwords without it", listener.address.to_string()),
        "tls = \"starttls\", or allow_plaintext = true for lessons on this machine");
}

}  // namespace

void describe(Schema<ListenerSettings>& s) {
  s.field("name", &ListenerSettings::name, "A name for the log.").length(0, 64).example("pop3s");
  s.field("address", &ListenerSettings::address, "Where to listen.").required().example("0.0.0.0:995");
  s.field("tls", &ListenerSettings::tls,
          "none; starttls: clients may send STLS; implicit: TLS from the first octet (POP3S).")
      .names({{"none", TlsMode::kNone}, {"starttls", TlsMode::kStartTls}, {"implicit", TlsMode::kImplicit}});
  s.field("certificate", &ListenerSettings::certificate, "Name of the TLS context to use; empty: the default one.");
  s.field("allow_plaintext", &ListenerSettings::allow_plaintext,
          "Passwords without TLS. For lessons on one's own machine, never for a network.");
}

void describe(Schema<Pop3Settings>& s) {
  s.table("pop3", "POP3 server (RFC 1939).");
  s.applies(Apply::kNewSessions);
  s.table_field("listener", &Pop3Settings::listeners, "An address where POP3 is spoken.", 0, 64);
  s.field(
       "idle_timeout", &Pop3Settings::idle_timeout,
       "A client that is silent this long is disconnected, and nothing is deleted. At least 10m (RFC 1939 section 3).")
      .range(10min, 24h);
  s.field("write_timeout", &Pop3Settings::write_timeout, "A client that takes no octet for this long is disconnected.")
      .range(1s, 1h);
  s.field("tls_timeout", &Pop3Settings::tls_timeout, "Time for a TLS handshake.").range(1s, 10min);
  s.field("max_connections", &Pop3Settings::max_connections, "Connections at one time.").range(1, 10'000'000);
  s.field("max_connections_per_ip", &Pop3Settings::max_connections_per_ip, "Connections at one time from one address.")
      .range(1, 1'000'000);
  s.field("max_errors", &Pop3Settings::max_errors, "Commands of a session that may be wrong before it is ended.")
      .range(1, 10'000);
  s.field("max_login_attempts", &Pop3Settings::max_login_attempts, "Failed log-ins before a session is ended.")
      .range(1, 1000);
  s.field("max_commands", &Pop3Settings::max_commands, "Commands of one session.").range(100, 1'000'000'000);
  s.field("apop", &Pop3Settings::apop,
          "Offer APOP, for accounts that keep a shared secret (apop_secret). MD5 is broken: better not.");
  s.field("login_delay", &Pop3Settings::login_delay,
          "Shortest time between two log-ins of an account (LOGIN-DELAY). 0: none.")
      .range(0s, 24h);
  s.field("expire_days", &Pop3Settings::expire_days,
          "Messages that a client has fetched are removed at its QUIT when they are older than this (EXPIRE). Unset: "
          "never.")
      .range(0, 36'500)
      .example("30");
  s.check([](const Pop3Settings& settings, Diagnostics& diagnostics) {
    for (std::size_t i = 0; i < settings.listeners.size(); ++i) {
      check_listener(settings.listeners[i], diagnostics);
      for (std::size_t j = 0; j < i; ++j)
        if (settings.listeners[i].address == settings.listeners[j].address && settings.listeners[i].address.port != 0)
          diagnostics.error(settings.listeners[i].origin("address"),
                            fmt::format("two listeners share {}", settings.listeners[i].address.to_string()));
    }
  });
}

void check_certificates(const Pop3Settings& settings, TlsService& tls, Diagnostics& diagnostics) {
  const auto all = tls.server();
  if (!all) return;
  const std::vector<std::string> names = all->names();
  const std::vector<std::string_view> known(names.begin(), names.end());
  for (const ListenerSettings& listener : settings.listeners)
    if (!listener.certificate.empty() && listener.tls != TlsMode::kNone && !tls.server(listener.certificate))
      diagnostics.error(listener.origin("certificate"),
                        fmt::format("no certificate is for \"{}\"", listener.certificate),
                        did_you_mean(listener.certificate, known));
}

}  // namespace postern::pop3
