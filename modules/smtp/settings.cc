#include "settings.h"

#include <set>

#include "postern/address.h"

namespace postern::smtp {

TlsMode ListenerSettings::tls_mode() const {
  if (tls) return *tls;
  switch (role) {
    case SessionRole::kSubmission:
      return TlsMode::kStartTls;  // AUTH waits for TLS anyway (RFC 8314 §3.3)
    case SessionRole::kSubmissions:
      return TlsMode::kImplicit;
    case SessionRole::kLmtp:
    case SessionRole::kLocal:
      return TlsMode::kNone;
    case SessionRole::kMx:
      break;
  }
  return TlsMode::kStartTls;
}

bool ListenerSettings::offers_auth() const {
  return auth.value_or(is_submission());
}

ReverseNames ListenerSettings::reverse_names() const {
  return reverse_lookup.value_or(role == SessionRole::kMx ? ReverseNames::kOn : ReverseNames::kOff);
}

unsigned ListenerSettings::socket_mode() const {
  return unix_mode.value_or(is_local() ? 0666 : 0660);
}

namespace {

/// "example.org", or ".example.org" for all names below it.
std::optional<std::string> wrong_etrn_domain(const std::string& text) {
  const auto parsed = Domain::parse(text.starts_with('.') ? text.substr(1) : text, {.allow_literal = false});
  if (!parsed) return parsed.error().to_string();
  if (!text.ends_with(parsed->ascii())) return "is written in lower case and ASCII: " + parsed->ascii();
  return std::nullopt;
}

}  // namespace

void describe(Schema<EtrnSettings>& s) {
  s.table("etrn", "Who may ask for the mail that waits for some domains to be sent now (ETRN, RFC 1985).");
  s.field("domains", &EtrnSettings::domains, "The domains; \".example.org\" means all names below it.")
      .required()
      .items(1, 1000)
      .check(wrong_etrn_domain)
      .example("branch.example.org");
  s.field("networks", &EtrnSettings::networks, "Hosts that may ask without logging in.")
      .items(0, 1000)
      .example("192.0.2.25/32");
  s.field("users", &EtrnSettings::users, "Accounts that may ask.").items(0, 1000).example("branch@example.org");
  s.check([](const EtrnSettings& settings, Diagnostics& diagnostics) {
    if (settings.networks.empty() && settings.users.empty())
      diagnostics.error(settings.origin("domains"), "nobody may ask for these: there are neither networks nor users");
  });
}

void describe(Schema<ListenerSettings>& s) {
  s.table("listener", "One address on which SMTP or LMTP is spoken.");
  s.field("name", &ListenerSettings::name, "Its name in logs, rules and metrics.")
      .required()
      .length(1, 40)
      .example("mx");
  s.field("address", &ListenerSettings::address, "Where to listen: address and port, or unix:/path.")
      .required()
      .example("0.0.0.0:25");
  s.field(
       "role", &ListenerSettings::role,
       "mx takes mail for our domains from anybody; submission (RFC 6409) and submissions (RFC 8314) take mail from "
       "users; lmtp (RFC 2033) takes mail from another server of ours; local takes mail from this machine's users and "
       "programs (postern-sendmail) over a Unix socket, and knows them by their user id.")
      .names({{"mx", SessionRole::kMx},
              {"submission", SessionRole::kSubmission},
              {"submissions", SessionRole::kSubmissions},
              {"lmtp", SessionRole::kLmtp},
              {"local", SessionRole::kLocal}});
  s.field(
       "tls", &ListenerSettings::tls,
       "none; starttls offers it; required refuses mail without it; implicit speaks TLS from the first octet. Without "
       "it: starttls for mx and submission, implicit for submissions, none for lmtp and local.")
      .names({{"none", TlsMode::kNone},
              {"starttls", TlsMode::kStartTls},
              {"required", TlsMode::kRequired},
              {"implicit", TlsMode::kImplicit}});
  s.field("certificate", &ListenerSettings::certificate, "Name of the certificate set to show; empty: the default.");
  s.field("auth", &ListenerSettings::auth, "Whether AUTH (RFC 4954) is offered. Without it: on submission roles only.");
  s.field("allow_plaintext_auth", &ListenerSettings::allow_plaintext_auth,
          "For lessons on a closed network: passwords may travel without TLS. Never on the Internet.");
  s.field("proxy_protocol", &ListenerSettings::proxy_protocol,
          "Networks of load balancers. Connections from there must begin with a PROXY header, version 1 or 2, whose "
          "client address is then believed.")
      .example("192.0.2.10/32");
  s.field("xclient", &ListenerSettings::xclient,
          "Networks of proxies and filters that may say on whose behalf they speak (XCLIENT), a login name included.")
      .example("192.0.2.11/32");
  s.field("unix_mode", &ListenerSettings::unix_mode,
          "Permissions of a Unix socket. Without it: 0o666 for local, 0o660 elsewhere.")
      .range(0, 0777)
      .example("0o660");
  s.field("max_message_size", &ListenerSettings::max_message_size, "Largest message here; else that of [smtp].")
      .range(64_KiB, 10_GiB)
      .applies(Apply::kNewSessions);
  s.field("greet_pause", &ListenerSettings::greet_pause, "Silence before the greeting here; else that of [smtp].")
      .range(0s, 60s)
      .applies(Apply::kNewSessions);
  s.field("reverse_lookup", &ListenerSettings::reverse_lookup,
          "Whether the name of a client's address is asked of the DNS, for rules, logs and Received: off; on, but not "
          "for clients on this machine; all. Without it: on for mx, off elsewhere.")
      .names({{"off", ReverseNames::kOff}, {"on", ReverseNames::kOn}, {"all", ReverseNames::kAll}})
      .applies(Apply::kNewSessions);
  s.table_field(
      "etrn", &ListenerSettings::etrn,
      "Who may ask here for the mail that waits for some domains (ETRN, RFC 1985). Without any, the command is "
      "not offered.",
      0, 100);
}

namespace {

void describe_limits(Schema<Settings>& s) {
  s.field("max_message_size", &Settings::max_message_size, "Largest message, announced as SIZE (RFC 1870).")
      .range(64_KiB, 10_GiB);
  s.field("max_recipients", &Settings::max_recipients, "Recipients of one message, announced as RCPTMAX (RFC 9422).")
      .range(1, 60'000);
  s.field("max_messages", &Settings::max_messages, "Messages of one session, announced as MAILMAX (RFC 9422).")
      .range(1, 1'000'000'000);
  s.field("max_commands", &Settings::max_commands, "Commands of one session between two accepted messages.")
      .range(10, 1'000'000);
  s.field("max_errors", &Settings::max_errors, "Commands answered with 5xx after which a session is ended.")
      .range(1, 100'000);
  s.field("max_unknown_commands", &Settings::max_unknown_commands, "Unknown commands after which a session is ended.")
      .range(1, 100'000);
  s.field("max_auth_failures", &Settings::max_auth_failures, "Failed logins after which a session is ended.")
      .range(1, 1000);
  s.field("max_session_bytes", &Settings::max_session_bytes, "Octets of message text that one session may send.")
      .range(1_MiB, 1024_GiB);
  s.field("max_connections", &Settings::max_connections, "Sessions at a time, all listeners together; more get 421.")
      .range(1, 1'000'000);
  s.field(
       "max_connections_per_ip", &Settings::max_connections_per_ip,
       "Sessions at a time from one address (IPv6: one /64), or of one user of this machine on a local listener; more "
       "get 421.")
      .range(1, 1'000'000);
  s.field("connection_limit_exempt", &Settings::connection_limit_exempt,
          "Networks to which max_connections_per_ip does not apply.");
  s.field("max_received", &Settings::max_received,
          "Received fields that a message may have before it counts as looping (RFC 5321 §6.3).")
      .range(10, 10'000);
  s.field("max_line", &Settings::max_line,
          "Longest line of a message, without CRLF. 998 B is the letter of RFC 5322 §2.1.1; much mail breaks it.")
      .range(998_B, 64_MiB);
}

void describe_times(Schema<Settings>& s) {
  s.field("command_timeout", &Settings::command_timeout, "Wait for a command (RFC 5321 §4.5.3.2.7).").range(1s, 1h);
  s.field("data_timeout", &Settings::data_timeout, "Wait for more of a message's text.").range(1s, 1h);
  s.field("transfer_timeout", &Settings::transfer_timeout, "Time that one message's text may take.").range(10s, 24h);
  s.field("write_timeout", &Settings::write_timeout, "Wait for a client that does not read our replies.").range(1s, 1h);
  s.field("tls_timeout", &Settings::tls_timeout, "Time for a TLS handshake.").range(1s, 10min);
  s.field("auth_timeout", &Settings::auth_timeout, "Wait for each answer within AUTH.").range(1s, 1h);
  s.field("proxy_timeout", &Settings::proxy_timeout, "Wait for a PROXY header.").range(1s, 1min);
  s.field("reverse_timeout", &Settings::reverse_timeout,
          "Time from the connection on in which the name of its address must be found; after that it has none.")
      .range(100ms, 30s);
  s.field("greet_pause", &Settings::greet_pause,
          "Silence before the greeting on mx listeners; who speaks earlier is refused. 0 greets at once.")
      .range(0s, 60s);
  s.field("auth_failure_delay", &Settings::auth_failure_delay, "Pause before a failed login is answered.")
      .range(0s, 60s);
}

}  // namespace

void describe(Schema<Settings>& s) {
  s.table("smtp", "SMTP, submission and LMTP server (RFC 5321, 6409, 8314, 2033).");
  s.applies(Apply::kNewSessions);
  s.table_field("listener", &Settings::listeners, "Addresses on which SMTP or LMTP is spoken.", 0, 64);
  s.field("banner", &Settings::banner, "What the greeting says after the host name and protocol.").length(0, 200);
  describe_limits(s);
  describe_times(s);
  s.field("bare_newline", &Settings::bare_newline,
          "What becomes of a message with CR or LF that is no line end (RFC 5321 §2.3.8): refuse it, or normalize it. "
          "Only CRLF.CRLF ends a message either way.")
      .names({{"refuse", BareNewline::kRefuse}, {"normalize", BareNewline::kNormalize}});
  s.field("vrfy", &Settings::vrfy, "Answer to VRFY and EXPN: noncommittal is 252, disabled is 502.")
      .names({{"noncommittal", VrfyAnswer::kNoncommittal}, {"disabled", VrfyAnswer::kDisabled}});
  s.field("strict_helo", &Settings::strict_helo,
          "On mx listeners, EHLO must give a domain or an address literal. Users' programs may say what they like.");
  s.field("strip_bcc", &Settings::strip_bcc, "Take Bcc fields out of submitted messages.");
  s.field("smtputf8", &Settings::smtputf8, "Offer SMTPUTF8 (RFC 6531).");
  s.field("chunking", &Settings::chunking, "Offer CHUNKING, the BDAT command (RFC 3030).");
  s.field("prdr", &Settings::prdr, "Offer PRDR: an answer for each recipient after the text.");
  s.field("dsn", &Settings::dsn, "Offer DSN: delivery status notifications on demand (RFC 3461).");
}

namespace {

/// A local listener knows its clients by what the system says of their processes, which it says of Unix sockets only.
void check_local(const ListenerSettings& listener, Diagnostics& diagnostics) {
  if (!listener.address.is_unix())
    diagnostics.error(listener.origin("address"), "role local is for a Unix socket: users are known by their processes",
                      "address = \"unix:/run/postern/submission.sock\"");
  if (listener.tls_mode() != TlsMode::kNone)
    diagnostics.error(listener.origin("tls"), "role local has no TLS: its octets never leave this machine");
  if (listener.offers_auth())
    diagnostics.error(listener.origin("auth"), "role local has no AUTH: its users are known already",
                      "for passwords use role submission");
}

}  // namespace

void check_settings(const Settings& settings, bool have_auth, bool have_tls, Diagnostics& diagnostics) {
  std::set<std::string> names;
  std::set<std::string> addresses;
  for (const ListenerSettings& listener : settings.listeners) {
    if (!names.insert(listener.name).second)
      diagnostics.error(listener.origin("name"), "a second listener named \"" + listener.name + "\"");
    if (!addresses.insert(listener.address.to_string()).second &&
        (listener.address.is_unix() || listener.address.port != 0))
      diagnostics.error(listener.origin("address"), "a second listener on " + listener.address.to_string());
    if (listener.role == SessionRole::kLmtp && !listener.address.is_unix() && listener.address.port == 25)
      diagnostics.error(listener.origin("address"), "LMTP must not be spoken on port 25", "RFC 2033 §5");
    if (listener.role == SessionRole::kSubmissions && listener.tls_mode() != TlsMode::kImplicit)
      diagnostics.error(listener.origin("tls"), "role submissions means tls = \"implicit\"",
                        "for STARTTLS use role submission");
    if (listener.is_submission() && !listener.offers_auth())
      diagnostics.error(listener.origin("auth"), "a submission listener without AUTH could accept no mail");
    if (listener.is_local()) check_local(listener, diagnostics);
    if (listener.offers_auth() && !have_auth)
      diagnostics.error(listener.origin("auth"), "no module provides the service \"auth\"", "load module auth");
    const bool must_have_tls = listener.tls_mode() == TlsMode::kImplicit || listener.tls_mode() == TlsMode::kRequired;
    if (must_have_tls && !have_tls)
      diagnostics.error(listener.origin("tls"), "this listener needs TLS, and there is no certificate", "see [tls]");
    if (listener.allow_plaintext_auth)
      diagnostics.warning(listener.origin("allow_plaintext_auth"), "smtp.plaintext-auth",
                          "passwords may cross this listener in the clear");
  }
}

void check_certificates(const Settings& settings, TlsService& tls, Diagnostics& diagnostics) {
  const auto all = tls.server();
  if (!all) return;
  const std::vector<std::string> names = all->names();
  const std::vector<std::string_view> known(names.begin(), names.end());
  for (const ListenerSettings& listener : settings.listeners)
    if (!listener.certificate.empty() && listener.tls_mode() != TlsMode::kNone && !tls.server(listener.certificate))
      diagnostics.error(listener.origin("certificate"), "no certificate is for \"" + listener.certificate + "\"",
                        did_you_mean(listener.certificate, known));
}

}  // namespace postern::smtp
