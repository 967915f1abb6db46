// A TLS report as it travels: gzip, its file name, and the message around it (RFC 8460 §5.1-§5.3).
//
// The message is complete but for a DKIM signature, which the RFC wants (d= of the submitter, §3) and which is not made
// here. `TLS-Required: No` (RFC 8689 §3) lets it through where the very fault that it tells of would stop it.
// Values; any thread. Errors: "tlsrpt.gzip" when zlib has no memory.
#pragma once

#include <string>
#include <string_view>

#include "postern/error.h"
#include "postern/time.h"
#include "tls_report.h"

namespace postern::relay {

Result<std::string> gzip(std::string_view octets);

struct TlsReportMail {
  std::string from;       ///< address
  std::string to;         ///< address
  std::string submitter;  ///< our organisation's domain
  std::string domain;     ///< policy domain
  std::string report_id;
  std::string message_id;  ///< with angle brackets
  UtcDay day{};
  WallTime now{};
};

/// "submitter!domain!begin!end!id.json.gz", times in seconds since 1970 (§5.1).
std::string tls_report_file_name(const TlsReportMail& mail);
/// The whole message with CRLF; `report` is gzipped.
std::string tls_report_message(const TlsReportMail& mail, std::string_view report);

}  // namespace postern::relay
