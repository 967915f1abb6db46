// DANE for SMTP: the TLSA records that say which keys a host has, when the DNS can be believed about it.
//
// RFC 7672 §2.2: only when the MX answer (or its absence) and the host's addresses are authenticated are TLSA records
// asked for; first at the name that CNAMEs lead to, then at the host's own. What they are worth:
//
//   kNone      the DNS vouches for nothing here: other policies apply
//   kUsable    the host must show one of these keys
//   kUnusable  there are records, and none that SMTP can use: TLS is a must, whoever answers (§2.2, §3.1.3)
//   kTryLater  the answer is bogus or did not come. It may be an attack: the host is not used now (§2.2.2, §2.1.1)
//
// Thread: the resolver's worker. Errors: throws Cancelled only. Needs a validating resolver whose AD bit is believed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/dns.h"
#include "postern/task.h"
#include "postern/tls.h"
#include "way.h"

namespace postern::relay {

struct DaneFinding {
  enum class Kind : std::uint8_t { kNone, kUsable, kUnusable, kTryLater };
  static constexpr std::size_t kMaxRecords = 20;  ///< of the usable ones; what a rollover of several keys needs, twice

  Kind kind = Kind::kNone;
  std::string base;                     ///< TLSA base domain: SNI and first reference identifier (§3.2.2)
  std::vector<TlsAssociation> records;  ///< usable ones
  std::vector<std::string> strings;     ///< all records as text, "3 1 1 0b9f...", for reports (RFC 8460 §4.2)
  std::chrono::seconds ttl{60};
  std::string text;  ///< for the trail
};

/// May TLSA records be asked for at all? Empty when they may; else why not.
std::string why_no_dane(const TlsQuestion& question);

/// `dns` outlives the task.
Task<DaneFinding> find_dane(Resolver& dns, TlsQuestion question, Deadline deadline);

}  // namespace postern::relay
