// What the core itself is told in postern.toml: [server], [log], [spool], [dns], [http], [tls], [metrics], [limits].
#pragma once

#include <string>
#include <vector>

#include "postern/config.h"
#include "postern/dns.h"
#include "postern/http.h"
#include "postern/log.h"
#include "postern/spool.h"

namespace postern {

struct ServerSettings : Located {
  std::string hostname;
  std::filesystem::path state = "/var/lib/postern";
  std::filesystem::path control;  ///< empty: state/control.sock
  std::string user;
  std::string group;
  unsigned workers = 0;
  bool pin_workers = true;
  unsigned disk_threads = 4;
  unsigned cpu_threads = 2;
  unsigned pool_queue = 4096;
  unsigned backlog = 1024;
  Duration drain = 30s;
};
void describe(Schema<ServerSettings>& s);

struct LogSettings : Located {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::filesystem::path file;
  bool journald = false;
  std::map<std::string, std::string> levels;  ///< by event prefix
};
void describe(Schema<LogSettings>& s);

struct SpoolConfig : Located {
  std::filesystem::path directory;  ///< empty: state/spool
  Size segment_size = 64_MiB;
  Size large_body_threshold = 256_KiB;
  Size hot_bodies = 64_MiB;
  Size max_blank_body_bytes = 1_GiB;
  Size header_limit = 256_KiB;
  Duration lazy_flush_interval = 50ms;
  Size min_free = 64_MiB;
};
void describe(Schema<SpoolConfig>& s);

struct DnsConfig : Located {
  std::vector<std::string> servers;
  Duration timeout = 3s;
  int tries = 3;
  unsigned cache_entries = 20'000;
  Size cache_bytes = 8_MiB;
  Duration min_ttl = 5s;
  Duration max_ttl = 24h;
  Duration max_negative_ttl = 1h;
  Duration failure_ttl = 5s;
  unsigned max_outstanding = 1024;
  std::optional<bool> trust_ad;
};
void describe(Schema<DnsConfig>& s);
/// As a worker's resolver takes it.
DnsSettings resolver_settings(const DnsConfig& config);

/// What rules may ask over HTTP (postern.http).
struct HttpConfig : Located {
  Duration timeout = 10s;
  Size max_size = 1_MiB;
  std::vector<std::string> allow_private;
  bool allow_plain = true;
  unsigned max_concurrent = 100;
  std::filesystem::path ca_file;
};
void describe(Schema<HttpConfig>& s);
/// As a worker's client takes it.
HttpClientSettings http_settings(const HttpConfig& config);

struct TlsNamed : Located {
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::vector<std::string> names;
};
void describe(Schema<TlsNamed>& s);

struct TlsSettings : Located {
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::string min_version = "TLSv1.2";
  std::string ciphers;
  std::vector<TlsNamed> named;  ///< [[tls.name]]: further certificates, chosen by SNI
};
void describe(Schema<TlsSettings>& s);

struct MetricsSettings : Located {
  std::optional<Endpoint> listen;
};
void describe(Schema<MetricsSettings>& s);

struct LimitSettings : Located {
  Size memory = 1_GiB;
  unsigned reserved_descriptors = 128;
};
void describe(Schema<LimitSettings>& s);

void add_core_schemas(ConfigSchemas& schemas);

}  // namespace postern
