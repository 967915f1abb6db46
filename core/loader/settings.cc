#include "core/loader/settings.h"

namespace postern {

namespace {

std::optional<std::string> host_name_fault(const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const char c : name)
    if (!(c == '-' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      return "is not a host name: it has a character that host names do not have";
  if (name.front() == '.' || name.back() == '.' || name.front() == '-') return "is not a host name";
  return std::nullopt;
}

/// A name as clients ask for it (SNI, RFC 6066 section 3), or *.example.org for all of one level.
std::optional<std::string> certificate_name_fault(const std::string& name) {
  if (name.empty()) return "is empty";
  return host_name_fault(name.starts_with("*.") && name.size() > 2 ? name.substr(2) : name);
}

}  // namespace

void describe(Schema<ServerSettings>& s) {
  s.table("server", "The server as a whole: its name, its folder, its user and its threads.");
  s.field(
       "hostname", &ServerSettings::hostname,
       "Fully qualified name of this server, as it greets and as Received fields have it. Empty: what the system says.")
      .length(0, 255)
      .check(host_name_fault)
      .example("mail.example.org");
  s.field("state", &ServerSettings::state,
          "Folder for the spool, trails, mail and sockets. Belongs to one server at a time.");
  s.field("control", &ServerSettings::control, "The control socket. Empty: control.sock in the state folder.");
  s.field("user", &ServerSettings::user,
          "User to run as once addresses are bound and keys are read. Needed when started as root; ignored otherwise.")
      .example("postern");
  s.field("group", &ServerSettings::group, "Group to run as. Empty: the user's.");
  s.field("workers", &ServerSettings::workers, "Worker threads, each with its own loop. 0: one per core.")
      .range(0, 256);
  s.field(
      "pin_workers", &ServerSettings::pin_workers,
      "Keep each worker on a core of its own, when there are as many workers as cores that the server may use. Turn it "
      "off where other busy programs share the machine.");
  s.field("disk_threads", &ServerSettings::disk_threads, "Threads for blocking disk work.").range(1, 256);
  s.field("cpu_threads", &ServerSettings::cpu_threads, "Threads for password hashes.").range(1, 256);
  s.field("pool_queue", &ServerSettings::pool_queue,
          "Jobs that may wait for one of these pools; beyond, they are refused.")
      .range(16, 1'000'000);
  s.field("backlog", &ServerSettings::backlog, "Connections that the system keeps waiting per listener and worker.")
      .range(1, 65'535);
  s.field("drain", &ServerSettings::drain, "How long running sessions may take to end when the server stops.")
      .range(0s, 1h);
}

void describe(Schema<LogSettings>& s) {
  s.table("log", "What is logged, and where.");
  s.field("level", &LogSettings::level, "The least severe lines that are written.")
      .names({{"trace", LogLevel::kTrace},
              {"debug", LogLevel::kDebug},
              {"info", LogLevel::kInfo},
              {"warn", LogLevel::kWarn},
              {"error", LogLevel::kError},
              {"off", LogLevel::kOff}})
      .applies(Apply::kLive);
  s.field("levels", &LogSettings::levels,
          "Other levels for events that begin with a word: levels = { smtp = \"debug\" }.")
      .one_of({"trace", "debug", "info", "warn", "error", "off"})
      .applies(Apply::kLive);
  s.field("format", &LogSettings::format, "One line per event: as text, or as JSON.")
      .names({{"text", LogFormat::kText}, {"json", LogFormat::kJson}});
  s.field("file", &LogSettings::file, "The log file, opened anew on SIGHUP. Empty: standard error.");
  s.field("journald", &LogSettings::journald,
          "Begin each line on standard error with its priority, as journald reads it.");
}

void describe(Schema<SpoolConfig>& s) {
  s.table("spool", "Where mail is from its 250 until its last recipient has been served.");
  s.field("directory", &SpoolConfig::directory, "Folder of the spool. Empty: spool in the state folder.");
  s.field("segment_size", &SpoolConfig::segment_size, "Size of each file of the log.").range(1_MiB, 1_GiB);
  s.field("large_body_threshold", &SpoolConfig::large_body_threshold, "Bodies above this get a file of their own.")
      .range(4_KiB, 16_MiB);
  s.field(
       "hot_bodies", &SpoolConfig::hot_bodies,
       "Memory for large bodies (up to 1.25 MiB each) that just came in: their first delivery need not read them back. "
       "0: none.")
      .range(0_B, 16_GiB);
  s.field("max_blank_body_bytes", &SpoolConfig::max_blank_body_bytes,
          "Room kept in body files that are empty and wait to be overwritten, which is faster than making new ones.");
  s.field("header_limit", &SpoolConfig::header_limit, "Header blocks beyond this are not kept in memory as one.")
      .range(16_KiB, 16_MiB);
  s.field("lazy_flush_interval", &SpoolConfig::lazy_flush_interval, "After this, marks that can wait are synced.")
      .range(1ms, 10s);
  s.field("min_free", &SpoolConfig::min_free,
          "Room on the file system that accepting mail leaves alone; below it mail is answered with 452.");
}

void describe(Schema<DnsConfig>& s) {
  s.table("dns", "How names are looked up.");
  s.field("servers", &DnsConfig::servers, "Name servers. Empty: those of /etc/resolv.conf.")
      .items(0, 16)
      .example("127.0.0.1:53");
  s.field("timeout", &DnsConfig::timeout, "Of the first try at one server; doubles with each round.").range(100ms, 60s);
  s.field("tries", &DnsConfig::tries, "Rounds over all servers.").range(1, 10);
  s.field("cache_entries", &DnsConfig::cache_entries, "Answers that each worker keeps. 0: none.").range(0, 10'000'000);
  s.field("cache_bytes", &DnsConfig::cache_bytes, "Memory that each worker's answers may take.");
  s.field("min_ttl", &DnsConfig::min_ttl, "Answers are kept at least this long.").range(0s, 1h);
  s.field("max_ttl", &DnsConfig::max_ttl, "Answers are kept at most this long.").range(1min, 168h);
  s.field("max_negative_ttl", &DnsConfig::max_negative_ttl, "That there is nothing is believed at most this long.")
      .range(1s, 24h);
  s.field("failure_ttl", &DnsConfig::failure_ttl, "After a failure the same question is not asked again for this long.")
      .range(1s, 5min);
  s.field("trust_ad", &DnsConfig::trust_ad,
          "Believe the servers' word that an answer was validated (AD bit). Unset: when all servers are on loopback.");
  s.field("max_outstanding", &DnsConfig::max_outstanding, "Questions that may be on their way at once, per worker.")
      .range(1, 60'000);
}

HttpClientSettings http_settings(const HttpConfig& config) {
  HttpClientSettings settings{.allow_plain = config.allow_plain,
                              .max_concurrent = config.max_concurrent,
                              .max_timeout = config.timeout,
                              .max_body_octets = config.max_size.bytes};
  for (const std::string& text : config.allow_private)
    if (auto place = HttpPrivatePlace::parse(text)) settings.private_places.push_back(std::move(*place));
  return settings;
}

void describe(Schema<HttpConfig>& s) {
  s.table("http", "What scripts ask over HTTP (postern.http): its limits, and where it may go.");
  s.field("timeout", &HttpConfig::timeout, "The longest that one request takes, with redirects; a script may say less.")
      .range(100ms, 10min);
  s.field("max_size", &HttpConfig::max_size, "The largest body of an answer; a script may say less.")
      .range(1_KiB, 64_MiB);
  s.field("allow_private", &HttpConfig::allow_private,
          "Places that are not public and may be reached all the same: networks, addresses and hosts, each with a port "
          "or without. None by default, so that no script can be led behind the firewall.")
      .items(0, 256)
      .length(1, 255)
      .check([](const std::string& text) -> std::optional<std::string> {
        if (HttpPrivatePlace::parse(text)) return std::nullopt;
        return "is no network, address or host, with or without a port";
      })
      .example("127.0.0.1:8080");
  s.field("allow_plain", &HttpConfig::allow_plain, "http:// too, not https:// alone.");
  s.field("max_concurrent", &HttpConfig::max_concurrent, "Requests under way at once, per worker; more are refused.")
      .range(1, 10'000);
  s.field("ca_file", &HttpConfig::ca_file,
          "PEM file with the authorities that servers' certificates are checked against. Empty: the system's.");
}

void describe(Schema<TlsNamed>& s) {
  s.field("certificate", &TlsNamed::certificate, "PEM file with the certificate and its chain.").required();
  s.field("key", &TlsNamed::key, "PEM file with its private key.").required();
  s.field("names", &TlsNamed::names, "Names (SNI) that it is used for. Empty: those in the certificate.")
      .items(0, 1000)
      .length(1, 253)
      .check(certificate_name_fault)
      .example("mail.example.org");
}

void describe(Schema<TlsSettings>& s) {
  s.table("tls", "Certificates and protocol versions. Certificates are read again on reload.");
  s.applies(Apply::kNewSessions);
  s.field("certificate", &TlsSettings::certificate,
          "PEM file with the default certificate and its chain. Empty: no TLS.")
      .example("/etc/postern/mail.example.org.crt");
  s.field("key", &TlsSettings::key, "PEM file with its private key.").example("/etc/postern/mail.example.org.key");
  s.field("min_version", &TlsSettings::min_version, "The oldest protocol version that is spoken.")
      .one_of({"TLSv1.2", "TLSv1.3"});
  s.field("ciphers", &TlsSettings::ciphers,
          "Cipher list for TLS 1.2, as OpenSSL writes it. Empty: forward secret AEAD ones.");
  s.table_field("name", &TlsSettings::named,
                "A further certificate, chosen by the name that the client asks for (SNI).");
  s.check([](const TlsSettings& t, Diagnostics& d) {
    if (t.certificate.empty() != t.key.empty())
      d.error(t.origin(), "certificate and key go together: one of them is missing");
  });
}

void describe(Schema<MetricsSettings>& s) {
  s.table("metrics", "Prometheus text, at /metrics of the Unix socket metrics.sock in the state folder.");
  s.field("listen", &MetricsSettings::listen, "Also on this loopback address.")
      .check([](const Endpoint& e) -> std::optional<std::string> {
        if (!e.is_unix() && !e.ip.is_loopback()) return "is not a loopback address: metrics are not for strangers";
        return std::nullopt;
      })
      .example("127.0.0.1:9100");
}

void describe(Schema<LimitSettings>& s) {
  s.table("limits", "Where the server stops taking more, so that what runs can go on.");
  s.field("memory", &LimitSettings::memory,
          "Above this much memory new connections wait; above a quarter more they are refused with 421.")
      .range(64_MiB, Size{1ULL << 44})
      .applies(Apply::kLive);
  s.field("reserved_descriptors", &LimitSettings::reserved_descriptors,
          "File descriptors kept back from connections for files and look-ups.")
      .range(16, 100'000)
      .applies(Apply::kLive);
}

void add_core_schemas(ConfigSchemas& schemas) {
  schemas.add<ServerSettings>();
  schemas.add<LogSettings>();
  schemas.add<SpoolConfig>();
  schemas.add<DnsConfig>();
  schemas.add<HttpConfig>();
  schemas.add<TlsSettings>();
  schemas.add<MetricsSettings>();
  schemas.add<LimitSettings>();
}

DnsSettings resolver_settings(const DnsConfig& config) {
  auto seconds = [](Duration d) { return std::chrono::duration_cast<std::chrono::seconds>(d); };
  return DnsSettings{.servers = config.servers,
                     .timeout = config.timeout,
                     .tries = config.tries,
                     .cache_entries = config.cache_entries,
                     .cache_bytes = config.cache_bytes.bytes,
                     .min_ttl = seconds(config.min_ttl),
                     .max_ttl = seconds(config.max_ttl),
                     .max_negative_ttl = seconds(config.max_negative_ttl),
                     .failure_ttl = seconds(config.failure_ttl),
                     .max_outstanding = config.max_outstanding,
                     .trust_ad = config.trust_ad};
}

}  // namespace postern
