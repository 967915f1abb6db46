// MTA-STS, the texts: the TXT record that announces a policy, and the policy itself (RFC 8461 §3.1, §3.2, §4.1).
//
// Values; any thread. Errors: Fault "sts.policy" with what is wrong, for the log and for reports.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/dns.h"
#include "postern/error.h"

namespace postern::relay {

struct StsPolicy {
  enum class Mode : std::uint8_t { kNone, kTesting, kEnforce };
  static constexpr std::size_t kMaxOctets = 64 * 1024;  ///< §3.3 suggests this limit
  static constexpr std::size_t kMaxMx = 500;
  static constexpr std::chrono::seconds kMaxAge{31'557'600};  ///< §3.2: a year

  Mode mode = Mode::kNone;
  std::vector<std::string> mx;  ///< lower case; "mx.example.org" or "*.example.org"
  std::chrono::seconds max_age{0};

  static Result<StsPolicy> parse(std::string_view body);
  /// Is this host one of those that the policy names? A wildcard stands for exactly one label (§4.1).
  bool matches(std::string_view host) const;
  bool operator==(const StsPolicy&) const = default;
};
std::string_view to_string(StsPolicy::Mode mode);

/// The id of one TXT record; nothing when it is no STSv1 record.
std::optional<std::string> parse_sts_record(std::string_view text);
/// The id that an answer about "_mta-sts.DOMAIN" announces: of exactly one record that begins as one must (§3.1).
std::optional<std::string> announced_sts_id(const DnsAnswer& answer);

}  // namespace postern::relay
