// Why a server refused, in one of twenty classes: for a person who is no administrator (title and advice), for logs and
// `postern show` (word), and for the suppression list (hard).
//
// The enhanced status code decides when it is one that means one thing (5.1.1, 5.2.2 ...). Codes that servers use for
// anything (5.7.1, 5.0.0, none) leave it to the words of the reply; where these say nothing either, to the code's
// subject. Words are looked for in ASCII without regard to case; the table is in the order of precedence.
//
// Pure; any thread. RFC: 3463, 5248 (registry), 7504, 7505, 7372, 6710.
#pragma once

#include <cstdint>
#include <string_view>

#include "postern/verdict.h"

namespace postern::queue {

enum class RefusalClass : std::uint8_t {
  kUnknownUser,
  kMailboxDisabled,
  kMailboxFull,
  kMoved,
  kBadAddress,
  kUnknownDomain,
  kNoMail,  ///< the domain takes none (null MX)
  kTooLarge,
  kContent,
  kSpam,
  kReputation,      ///< our address is on a list
  kAuthentication,  ///< SPF, DKIM, DMARC
  kRateLimited,
  kGreylisted,
  kPolicy,
  kDns,
  kUnreachable,
  kTls,
  kLoop,
  kProtocol,
  kUtf8,
  kServerFault,
  kExpired,
  kOther,
};

/// What is known of a class.
struct RefusalInfo {
  RefusalClass kind;
  std::string_view word;    ///< "mailbox-full"
  std::string_view title;   ///< a sentence: what happened
  std::string_view advice;  ///< a sentence or two: what the sender can do
  bool hard = false;        ///< permanent, it says that nobody will ever get mail at this address
};

RefusalClass classify(const Reply& reply);
const RefusalInfo& info_of(RefusalClass kind);

/// Whether this reply shows that the address is dead, so that further mail only harms our reputation: permanent, of a
/// hard class, and not a refusal of us.
bool is_hard_bounce(const Reply& reply);

/// "5.1.1" when it is one, else made from the reply's code: "5.0.0", "4.0.0", "2.0.0".
std::string_view status_of(const Reply& reply);

}  // namespace postern::queue
