// Reads reports as a program of their receiver would: the parts of multipart/report, the groups of the delivery status.
//
// Values. Errors: text that is no report gives nothing.
// RFC: 3464, 6522.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::simulation {

struct ReportEntry {
  std::string recipient;  ///< Final-Recipient, without its type
  std::string action;     ///< "failed"
  std::string about;      ///< Final-Log-ID: the id of the message that it is about
  bool maybe = false;     ///< the words say that it may have been delivered all the same
};

struct Report {
  std::string id;          ///< of the report itself in the server's spool, from its Received field
  std::string message_id;  ///< one that is sent twice has the same both times
  std::vector<ReportEntry> entries;
  std::string returned;  ///< the last part: the message, or its header
};

std::optional<Report> read_report(std::string_view text);

}  // namespace postern::simulation
