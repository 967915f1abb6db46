// Arguments of MAIL, RCPT, BDAT and XCLIENT, parsed and checked; what is wrong comes back as the reply to give.
//
// Pure; views into the line, values out. A 501 always shows an example of what was meant.
//
// RFC: 5321 §4.1.1.2, §4.1.1.3, §4.1.1.11; 1870 (SIZE); 6152 (BODY); 6531 (SMTPUTF8); 3461 (RET, ENVID, NOTIFY, ORCPT);
//      4954 §5 (AUTH=); 3030 (BDAT); draft-hall-prdr.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "postern/address.h"
#include "postern/envelope.h"
#include "postern/verdict.h"

namespace postern::smtp {

template <class T>
using OrReply = std::expected<T, Reply>;

/// What was announced, and how forgiving to be.
struct ArgumentRules {
  bool esmtp = true;     ///< EHLO or LHLO: parameters are allowed at all
  bool lenient = false;  ///< submission: `MAIL FROM x@y` and `MAIL FROM: x@y` are understood (RFC 6409 §8)
  bool smtputf8 = true;  ///< MAIL: announced; RCPT: asked for by this MAIL
  bool dsn = true;
  bool prdr = true;
  bool auth = true;
  /// Submission: MT-PRIORITY (RFC 6710), BY (RFC 2852), HOLDFOR and HOLDUNTIL (RFC 4865), which are for users.
  bool timing = false;
  WallTime now{};  ///< with `timing`
};

struct MailArguments {
  Address sender;
  std::optional<std::uint64_t> size;
  BodyType body = BodyType::k7Bit;
  bool smtputf8 = false;
  bool prdr = false;
  DsnReturn ret = DsnReturn::kUnset;
  std::string envid;
  std::optional<std::int8_t> priority;
  std::optional<DeliverBy> deliver_by;
  std::optional<WallTime> hold_until;
};

inline constexpr std::size_t kMaxParameters = 16;                ///< of one MAIL or RCPT
inline constexpr std::chrono::hours kMaxFutureRelease{24 * 30};  ///< how long mail may be held for its sender
inline constexpr std::size_t kMaxAuthParameter = 500;            ///< octets of AUTH=, RFC 4954 §5

/// What follows the word MAIL: "FROM:<...> SIZE=1000".
OrReply<MailArguments> parse_mail(std::string_view argument, const ArgumentRules& rules);
/// What follows the word RCPT.
OrReply<Recipient> parse_rcpt(std::string_view argument, const ArgumentRules& rules);

struct BdatArguments {
  std::uint64_t size = 0;
  bool last = false;
};
OrReply<BdatArguments> parse_bdat(std::string_view argument);

/// XCLIENT NAME: the verified name of a client's address, or why there is none.
struct DeclaredName {
  std::string name;        ///< empty: [UNAVAILABLE] or [TEMPUNAVAIL]
  bool temporary = false;  ///< [TEMPUNAVAIL]
};

/// XCLIENT's attributes. Outer optional: given; an empty text: [UNAVAILABLE] or [TEMPUNAVAIL].
struct XclientArguments {
  std::optional<DeclaredName> name;
  std::optional<std::string> helo, login;
  std::optional<bool> esmtp;  ///< PROTO
  std::optional<std::string> addr, destaddr;
  std::optional<std::uint16_t> port, destport;
};
OrReply<XclientArguments> parse_xclient(std::string_view argument);

/// Whether EHLO's argument is a domain or an address literal (RFC 5321 §4.1.1.1).
bool is_helo_name(std::string_view text);
/// The 501 for EHLO that names an address, nothing, or no domain.
Reply helo_help(std::string_view verb, std::string_view argument);

}  // namespace postern::smtp
