#include "settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "next_hop.h"
#include "postern/text.h"
#include "postern/transport.h"
#include "utc_day.h"

namespace postern::relay {

namespace {

std::optional<std::string> check_tls(const std::string& text) {
  if (text.empty() || is_tls_word(text)) return std::nullopt;
  return fmt::format("is none of {}", fmt::join(kTlsWords, ", "));
}

std::optional<std::string> check_host_name(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text.front() == '[' && text.back() == ']') return std::nullopt;  // an address literal greets as well
  if (auto parsed = Domain::parse(text); !parsed) return "is not a host name: " + parsed.error().to_string();
  return std::nullopt;
}

std::optional<std::string> check_address(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (auto parsed = Address::parse(text); !parsed) return "is not an address: " + parsed.error().to_string();
  return std::nullopt;
}

std::optional<std::string> check_day(const std::string& text) {
  if (text.empty() || parse_day(text)) return std::nullopt;
  return "is no day such as 2026-11-22";
}

std::optional<std::string> check_pattern(const std::string& text) {
  if (auto pattern = Pattern::parse(text); !pattern) return pattern.error().detail;
  return std::nullopt;
}

std::optional<std::string> check_next_hop(const std::string& text) {
  if (auto hop = parse_next_hop(text); !hop) return hop.error().detail;
  return std::nullopt;
}

const std::vector<std::pair<std::string, FamilyOrder>> kFamilies = {{"ipv6-first", FamilyOrder::kIpv6First},
                                                                    {"ipv4-first", FamilyOrder::kIpv4First},
                                                                    {"ipv6-only", FamilyOrder::kIpv6Only},
                                                                    {"ipv4-only", FamilyOrder::kIpv4Only}};

}  // namespace

bool trusts_any_host(std::string_view tls) {
  return tls == "opportunistic" || tls == "may" || tls == "encrypt";
}

bool proves_host(std::string_view tls) {
  return tls == "verify" || tls == "dane" || tls == "mta-sts";
}

void describe(Schema<RouteSettings>& s) {
  s.table("route", "Where mail of some senders, for some recipients, goes. The first route that matches is taken.");
  s.field("name", &RouteSettings::name, "Its name in logs, and for act.relay { gateway = NAME }.")
      .required()
      .length(1, 64)
      .example("intranet");
  s.field("domains", &RouteSettings::domains,
          "Recipients that it is for: a domain, .domain for all names below it, a whole address, or * for all. Empty: "
          "it is taken only by its name, or by sender.")
      .check(check_pattern)
      .example(".example.org");
  s.field("senders", &RouteSettings::senders, "Senders that it is for, likewise; <> is the null sender. Empty: all.")
      .check(check_pattern);
  s.field("to", &RouteSettings::to,
          "Next hops in the order to try: example.org (its MX), [host] (no MX), host:port, smtps://host, "
          "lmtp://host:port, lmtp:unix:/path. Empty: the recipient's own MX.")
      .items(0, 64)
      .check(check_next_hop)
      .example("[smarthost.example.org]:587");
  s.field("tls", &RouteSettings::tls,
          "TLS policy of this route. Empty: verify for a route with credentials, else [delivery] tls.")
      .check(check_tls);
  s.field(
      "credentials", &RouteSettings::credentials,
      "Name of a line in credentials_file: AUTH, under TLS only, and only to a host whose certificate was verified, "
      "unless tls of this route is encrypt or opportunistic.");
  s.field("source", &RouteSettings::source, "Pool of [[delivery.source]] to connect from. Empty: default.");
  s.field("family", &RouteSettings::family, "Which address family is tried first, or alone.").names(kFamilies);
  s.field("max_connections", &RouteSettings::max_connections, "Instead of [delivery] max_connections.")
      .range(1, 10'000);
  s.field("max_recipients", &RouteSettings::max_recipients, "Instead of [delivery] max_recipients.").range(1, 10'000);
  s.field("messages_per_minute", &RouteSettings::messages_per_minute, "Of each worker, to one site. 0: no limit.");
  s.field("verp", &RouteSettings::verp,
          "Each recipient gets a copy of its own, whose sender names it: list+bob=example.org@here.example.");
  s.field("xclient", &RouteSettings::xclient,
          "Tell the next hop on whose behalf we speak (XCLIENT); for backends that trust us.");
  s.field("xforward", &RouteSettings::xforward, "Tell the next hop who brought the mail, for its logs (XFORWARD).");
  s.field("proxy", &RouteSettings::proxy, "Begin each connection with a PROXY header that names the client.")
      .names({{"none", ProxyHeader::kNone}, {"v1", ProxyHeader::kV1}, {"v2", ProxyHeader::kV2}});
}

void describe(Schema<SourceSettings>& s) {
  s.table("source", "An address to connect from. The addresses of a pool share its connections by their weights.");
  s.field("pool", &SourceSettings::pool, "The pool that it belongs to.").length(1, 64);
  s.field("address", &SourceSettings::address, "An address of this machine.").required().example("192.0.2.10");
  s.field("weight", &SourceSettings::weight, "Its share. 0: not used now.").range(0, 1000);
  s.field("ehlo", &SourceSettings::ehlo, "The name in EHLO, which should lead to the address. Empty: [delivery] ehlo.")
      .check(check_host_name);
  s.field("since", &SourceSettings::since,
          "The day (UTC) on which a new address begins to send, with warm_up; before it nothing leaves from there.")
      .check(check_day)
      .example("2026-11-22");
  s.field("warm_up", &SourceSettings::warm_up,
          "Messages that may leave from the address on its first day, its second and so on, since a new one that sends "
          "much at once is taken for a spammer's; after the last of these days there is no limit. What one address may "
          "not send the others of its pool do; when none may, mail waits. The count outlives a restart.")
      .items(0, 366)
      .range(0, 1'000'000'000)
      .example("50");
}

void describe(Schema<TimeoutSettings>& s) {
  s.table("timeout", "How long the other side may take (RFC 5321 section 4.5.3.2).");
  const auto wait = [&s](std::string_view name, Duration TimeoutSettings::* member, std::string_view doc) {
    s.field(name, member, doc).range(100ms, 1h);
  };
  wait("connect", &TimeoutSettings::connect, "For a TCP connection.");
  wait("greeting", &TimeoutSettings::greeting, "For the 220.");
  wait("hello", &TimeoutSettings::hello, "For the reply to EHLO, HELO, LHLO, XCLIENT and STARTTLS.");
  wait("tls", &TimeoutSettings::tls, "For a TLS handshake.");
  wait("auth", &TimeoutSettings::auth, "For each reply to AUTH.");
  wait("mail", &TimeoutSettings::mail, "For the reply to MAIL.");
  wait("rcpt", &TimeoutSettings::rcpt, "For the reply to each RCPT.");
  wait("data", &TimeoutSettings::data, "For the 354.");
  wait("block", &TimeoutSettings::block, "For each block of the text to be taken.");
  wait("final_dot", &TimeoutSettings::final_dot, "For the reply to the end of the text.");
  wait("quit", &TimeoutSettings::quit, "For the reply to QUIT.");
  wait("dns", &TimeoutSettings::dns, "For the hosts of a domain and their addresses.");
  wait("line", &TimeoutSettings::line, "For a connection to a site that has as many as it may.");
}

namespace {

void describe_limits(Schema<DeliverySettings>& s) {
  s.field("max_connections", &DeliverySettings::max_connections,
          "Connections to one site (set of mail hosts) at one time, of all workers together.")
      .range(1, 10'000);
  s.field("first_connections", &DeliverySettings::first_connections,
          "With how many a site begins, of all workers together; success lets them grow, failure and waiting shrink.")
      .range(1, 1000);
  s.field("max_recipients", &DeliverySettings::max_recipients,
          "Recipients of one transaction; what a host says of its limits (RFC 9422) lowers it.")
      .range(1, 10'000);
  s.field("max_messages_per_connection", &DeliverySettings::max_messages_per_connection,
          "After so many a connection is closed.")
      .range(1, 1'000'000);
  s.field("max_hosts", &DeliverySettings::max_hosts, "Addresses that one attempt tries.").range(1, 100);
  s.field(
       "max_answering_hosts", &DeliverySettings::max_answering_hosts,
       "Of these, how many may put a recipient off with a 4yz before it waits: the next host is tried at once. 1: the "
       "first one's word counts.")
      .range(1, 100);
  s.field("max_idle_connections", &DeliverySettings::max_idle_connections,
          "Idle connections that each worker keeps for the next message.")
      .range(0, 10'000);
  s.field("idle_time", &DeliverySettings::idle_time, "How long a connection waits for the next message.")
      .range(0s, 5min);
  s.field("back_off", &DeliverySettings::back_off,
          "A site or address that cannot be reached is left alone for so long; then one message probes it.")
      .range(1s, 1h);
  s.field("max_back_off", &DeliverySettings::max_back_off, "The wait doubles with each failed probe, up to this.")
      .range(1s, 24h);
  s.field("single_flight", &DeliverySettings::single_flight,
          "Messages up to this size go with their commands in one flight, where the host offers CHUNKING and "
          "PIPELINING: one round trip for a message.")
      .range(0_B, 16_MiB);
}

}  // namespace

void describe(Schema<DeliverySettings>& s) {
  s.table("delivery", "How mail leaves for other servers.");
  s.applies(Apply::kRestart);
  s.field("ehlo", &DeliverySettings::ehlo, "Our name in EHLO. Empty: [server] hostname.").check(check_host_name);
  s.field("tls", &DeliverySettings::tls,
          "TLS towards hosts for which no route says anything: none, opportunistic, encrypt, verify, dane, mta-sts, or "
          "dane-or-mta-sts-or-opportunistic.")
      .check(check_tls);
  s.field("tls_reports", &DeliverySettings::tls_reports,
          "Count what becomes of TLS with each domain, and send a report a day to those that ask for it (RFC 8460).");
  s.field("tls_report_from", &DeliverySettings::tls_report_from,
          "Sender of these reports. Empty: tlsrpt-noreply at [server] hostname.")
      .check(check_address);
  s.field("tls_report_contact", &DeliverySettings::tls_report_contact,
          "Whom they name for questions. Empty: postmaster at [server] hostname.")
      .check(check_address);
  s.field("family", &DeliverySettings::family, "Which address family is tried first, or alone.").names(kFamilies);
  s.field("allow_private", &DeliverySettings::allow_private,
          "Loopback and private networks to which an MX may lead. Without one such hosts are refused: a stranger's DNS "
          "must not send mail into our network.")
      .example("10.0.0.0/8");
  s.field("allow_literals", &DeliverySettings::allow_literals, "Send to user@[192.0.2.1].");
  s.field("port", &DeliverySettings::port, "Where mail hosts that were found by MX listen.").range(1, 65535);
  s.field("own_names", &DeliverySettings::own_names,
          "Further names of this server in MX records: mail that leads back to us is a loop.")
      .check(check_host_name);
  s.field("own_addresses", &DeliverySettings::own_addresses,
          "Further addresses of this server, beyond those of its interfaces (behind NAT).");
  s.field("credentials_file", &DeliverySettings::credentials_file,
          "Lines of name:user:password for routes that log in. Readable by its owner alone.");
  describe_limits(s);
  s.table_field("timeout", &DeliverySettings::timeout, "How long the other side may take.");
  s.table_field("route", &DeliverySettings::routes, "A route.");
  s.table_field("source", &DeliverySettings::sources, "An address to connect from.");
  s.check([](const DeliverySettings& settings, Diagnostics& d) { check_settings(settings, d); });
}

void check_settings(const DeliverySettings& settings, Diagnostics& diagnostics) {
  const auto pool_exists = [&](const std::string& name) {
    return std::ranges::any_of(settings.sources, [&](const SourceSettings& one) { return one.pool == name; });
  };
  for (std::size_t at = 0; at < settings.routes.size(); ++at) {
    const RouteSettings& route = settings.routes[at];
    const bool twice = std::ranges::any_of(settings.routes.begin(), settings.routes.begin() + static_cast<long>(at),
                                           [&](const RouteSettings& other) { return other.name == route.name; });
    if (twice) diagnostics.error(route.origin("name"), "there is another route with the name \"" + route.name + "\"");
    if (!route.source.empty() && !pool_exists(route.source))
      diagnostics.error(route.origin("source"), "no [[delivery.source]] has the pool \"" + route.source + "\"");
    if (!route.credentials.empty() && settings.credentials_file.empty())
      diagnostics.error(route.origin("credentials"), "credentials need [delivery] credentials_file");
    if (!route.credentials.empty() && route.to.empty())
      diagnostics.error(route.origin("credentials"),
                        "a route by MX must not log in: the password would go to strangers");
    if (!route.credentials.empty() && route.tls == "none")
      diagnostics.error(route.origin("tls"), "a password never travels without TLS");
    if (!route.credentials.empty() && trusts_any_host(route.tls))
      diagnostics.warning(route.origin("tls"), "delivery.password-unverified",
                          "the password of route \"" + route.name + "\" goes to whoever answers in the host's place",
                          "leave tls out, or say verify or dane");
    if ((route.xclient || route.xforward || route.proxy != ProxyHeader::kNone) && route.to.empty())
      diagnostics.error(route.origin("name"), "xclient, xforward and proxy are for hosts that `to` names");
  }
  for (const SourceSettings& source : settings.sources)
    if (source.warm_up.empty() != source.since.empty())
      diagnostics.error(source.origin(source.since.empty() ? "warm_up" : "since"),
                        "since and warm_up stand together: the day that the schedule begins with");
  for (std::size_t at = 0; at < settings.sources.size(); ++at) {
    const SourceSettings& source = settings.sources[at];
    const auto end = settings.sources.begin() + static_cast<long>(at);
    const auto other = std::find_if(settings.sources.begin(), end, [&](const SourceSettings& one) {
      return one.address == source.address && (one.warm_up != source.warm_up || one.since != source.since);
    });
    if (other != end)
      diagnostics.warning(source.origin("address"), "delivery.warm-up-differs",
                          source.address.to_string() + " warms up in another way at " +
                              other->origin("address").to_string() +
                              ": mail is counted together, and the laxer line rules",
                          "write the same since and warm_up, or none, wherever the address stands");
  }
  if (settings.max_back_off < settings.back_off)
    diagnostics.error(settings.origin("max_back_off"), "max_back_off is less than back_off");
}

}  // namespace postern::relay
