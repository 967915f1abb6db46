// The TXT record that says where TLS reports about a domain go (RFC 8460 §3). Values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/dns.h"

namespace postern::relay {

struct TlsReportRecord {
  static constexpr std::size_t kMaxTargets = 5;  ///< of those that we can send to; more are left out
  std::vector<std::string> rua;                  ///< "mailto:a@example.org", "https://example.org/r"; %-escapes undone

  static std::optional<TlsReportRecord> parse(std::string_view text);
};

/// That of an answer about "_smtp._tls.DOMAIN": exactly one record that begins as one must.
std::optional<TlsReportRecord> tls_report_record(const DnsAnswer& answer);

}  // namespace postern::relay
