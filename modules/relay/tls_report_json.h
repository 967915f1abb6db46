// TLS reports as JSON: the report of RFC 8460 §4, and the same "policies" as our files keep them. Values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls_report.h"

namespace postern::relay {

/// Who reports.
struct TlsReportIdentity {
  std::string organization;
  std::string contact;  ///< an address
  std::string report_id;
};

/// RFC 8460 §4.4; the day from 00:00:00 to 23:59:59 UTC.
std::string tls_report_json(const TlsReportIdentity& who, UtcDay day, const std::vector<TlsReportCounts>& policies);

/// A day's counts for our files; a text that is not one gives an empty day.
std::string day_to_json(const TlsReportDay& day);
TlsReportDay day_from_json(UtcDay day, std::string_view text);

}  // namespace postern::relay
