// The text of a report (DSN): for people first, then for their administrators, then for programs.
//
//   multipart/report; report-type=delivery-status
//     text/plain                            what happened, what to do, then the technical detail
//     message/delivery-status               RFC 3464 (message/global-delivery-status with UTF-8 addresses, RFC 6533)
//     message/rfc822 | text/rfc822-headers  the message, or its header (message/global, message/global-headers)
//
// A Dsn is all but the returned message's octets: the caller writes `head`, then the message or its header, then
// `tail`. What came from outside (replies, subjects, ORCPT) is cut, stripped of control characters, and cannot break
// out of its field or part. The report needs SMTPUTF8 only when its own recipient does; otherwise 8-bit text stands in
// parts, for which 8BITMIME is enough.
//
// Pure; any thread. RFC: 3461 §6, 3464, 6522, 6533, 3834 §5 (Auto-Submitted).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/envelope.h"
#include "postern/spool.h"
#include "postern/time.h"
#include "reporter.h"

namespace postern::queue {

inline constexpr std::size_t kMaxReportSubject = 200;     ///< octets of the original's subject that are repeated
inline constexpr std::size_t kMaxReportReply = 900;       ///< octets of a reply's text
inline constexpr std::size_t kMaxReturnedHeader = 65536;  ///< octets of a header that is returned alone

/// All that a report says.
struct DsnFacts {
  MessageId original;
  std::string message_id;              ///< without "<" and "@host>"; that of a second try is that of the first
  const Envelope* envelope = nullptr;  ///< the original's
  std::vector<Outcome> outcomes;       ///< of one kind
  std::string hostname;
  std::string from_name;
  Address from;
  Address to;
  bool to_postmaster = false;  ///< a double bounce: the reader did not send it
  WallTime now{};
  std::string_view header;  ///< the original's, with our trace fields
  bool full = false;        ///< the whole message follows, not its header alone
  bool body_8bit = false;   ///< what follows may have 8-bit octets in its body
  std::string boundary;     ///< 1..70 characters that occur nowhere else
};

struct Dsn {
  std::string head;
  std::string tail;
  bool smtputf8 = false;
  BodyType body = BodyType::k7Bit;
};

Dsn compose_dsn(const DsnFacts& facts);

/// The header as far as it is returned alone: whole lines, at most kMaxReturnedHeader octets.
std::string_view returned_header(std::string_view header);

}  // namespace postern::queue
