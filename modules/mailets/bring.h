// What the mailets that send mail of their own share: copies of the message, notices about it, and the guard that keeps
// a mail from being sent by what sent it.
//
// A copy is the message as it is where the rule stands, with the header edits made so far, in pieces: its Received
// fields stay. A notice is written here and says that a program wrote it (Auto-Submitted, RFC 3834 §5.1.7); its
// envelope sender is null, so that nothing answers it and what fails of it ends with it.
//
// Thread: the worker of the transaction. Errors: those of the spool ("spool.*"), "effects.none", "effects.limit".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "rules.h"

namespace postern::mailets {

inline constexpr std::size_t kMaxTargets = 100;  ///< addresses of one mailet

/// A list of addresses that a script names; complains about what is none.
std::vector<Address> addresses_of(Arguments& arguments, std::string_view key);
/// Where a mailet sends to: addresses that stand in the script, or a function of it that gives them for each mail.
struct Targets {
  std::vector<Address> fixed;
  std::shared_ptr<AddressSource> asked;  ///< instead of `fixed`
  /// For this mail, each once; none: it stays as it is. Errors: the function's; "mailet.targets": too many.
  Task<Result<std::vector<Address>>> of(RuleCall call) const;
};
Targets targets_of(Arguments& arguments, std::string_view key);
std::optional<Address> address_of(Arguments& arguments, std::string_view key);  ///< optional; a single one
std::string joined(const std::vector<Address>& addresses);

/// Whether this mail came, over any number of others, from what calls itself `why`: it is then left alone.
bool came_from(const RuleCall& call, std::string_view why);
/// The first of the recipients that the rule runs for.
std::size_t first_of(const RecipientSet& recipients);
/// The header as it is at this place.
std::string header_now(const RuleCall& call);

/// Appends what `from` has as its body, in pieces.
Task<Result<void>> append_body(Draft* from, Draft& to);

/// A copy under another header, with the trace fields of the original on top.
Task<Result<Draft>> copy_message(RuleCall call, std::string header);
/// The envelope of mail that is sent on: sender and promises of the original, other recipients. Where the rule runs for
/// one recipient alone, reports about them speak of that one (ORCPT, NOTIFY; RFC 3461).
Envelope envelope_onward(const RuleCall& call, const std::vector<Address>& to);

/// What was mail for these recipients is now somewhere else.
ActionResult sent_on(std::string reason);

// --- notices --------------------------------------------------------------------------------------------------------

struct Notice {
  enum class Attach : std::uint8_t { kNothing, kHeader, kMessage };
  Address from;
  std::string from_name;
  Address to;
  std::string subject;
  std::string text;  ///< UTF-8; lines end in LF or CRLF
  std::string auto_submitted = "auto-generated";
  Attach attach = Attach::kNothing;
};

inline constexpr std::uint64_t kMaxAttached = 1 << 20;  ///< octets of a message that is attached whole; else its header

/// Writes a notice about the message of `call`.
Task<Result<Draft>> write_notice(RuleCall call, Notice notice);

/// Puts a notice among the mails to be brought in: null sender, one recipient. `once`: BroughtMail::once.
void bring_notice(const RuleCall& call, Draft draft, const Address& to, std::string why, bool fixed,
                  std::shared_ptr<const KeyValueRequest> once = {});

/// Why a program must not answer this mail (RFC 3834 §2, RFC 5230 §4.6): "its sender is null"; nothing when it may.
std::optional<std::string> no_answer_to(const RuleCall& call);

/// postmaster at our domain, from whom notices come.
Address our_postmaster(const RuleCall& call);

}  // namespace postern::mailets
