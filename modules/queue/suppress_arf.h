// ARF: a complaint about a message, as mailbox providers send it ("this is spam" was pressed).
//
//   multipart/report; report-type=feedback-report
//     text/plain
//     message/feedback-report       Feedback-Type, Original-Mail-From, Original-Rcpt-To ...
//     message/rfc822 | text/rfc822-headers
//
// Providers leave the addresses out, or write them only into the returned header: From and To there are the second
// choice. Anybody can write such a report; that it is believed only from those who signed it is for the pipeline in
// front of the feedback address (DKIM), and that it is about mail of ours for the caller.
//
// Pure; any thread. Errors: "arf.syntax". RFC: 5965, 6591 (auth-failure, which is no complaint), 6650.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/error.h"

namespace postern::queue {

inline constexpr std::size_t kMaxArf = 1 << 20;        ///< octets of a report that is looked at
inline constexpr std::size_t kMaxArfRecipients = 100;  ///< that are taken from one report

struct ArfReport {
  std::string feedback_type;  ///< lower case: "abuse", "fraud", "opt-out", "not-spam", "other" ...
  std::string user_agent;
  std::string source_ip;
  Address mail_from;                ///< null when it is not told
  std::vector<Address> recipients;  ///< who complained
  std::string message_id;           ///< of the returned message

  bool is_complaint() const;  ///< not-spam, auth-failure and dmarc reports are none
};

Result<ArfReport> parse_arf(std::string_view message);

}  // namespace postern::queue
