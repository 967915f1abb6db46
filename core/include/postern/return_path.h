// Return paths: senders of ours that lead back to the true ones, for mail that we forward (SRS).
//
// Mail that comes from elsewhere and goes on to another domain by an alias of ours leaves with a sender at a domain of
// ours, made by forward(), so that SPF at the next server holds; its bounces come back to that address, and reverse()
// tells where they belong. Only who has the secret can make an address that reverse() takes: this is why the relay gate
// may let mail for it out again (RecipientClass::kReturnPath).
//
// modules/queue provides it, when a domain for it is configured. The policy asks it at RCPT, and for the relay steps of
// forwarded recipients, whose option "sender" is what forward() made; the queue sends with that sender.
//
// Thread: any; no call waits. Errors: faults with codes "srs.*", whose detail is for the log.
#pragma once

#include <string>
#include <string_view>

#include "postern/address.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

/// Option of a relay step: the sender that its recipients get the message from, instead of the envelope's.
inline constexpr std::string_view kSenderOption = "sender";

/// Service "return-paths".
class ReturnPaths {
 public:
  static constexpr std::string_view kService = "return-paths";
  virtual ~ReturnPaths() = default;

  /// The sender for a message that goes on; the same one when it needs none (the null sender, one made here).
  virtual Result<Address> forward(const Address& sender, WallTime now) const = 0;
  /// Whether it is at our domain for return paths and looks like one. Says nothing about who made it.
  virtual bool is_return_path(const Address& recipient) const = 0;
  /// Where mail to such a recipient belongs. Faults: "srs.syntax", "srs.hash" (not made here), "srs.expired".
  virtual Result<Address> reverse(const Address& recipient, WallTime now) const = 0;
  /// Whether mail of this sender may use a return path: reports have the null sender (RFC 5321 §4.5.5).
  virtual bool takes_from(const Address& sender) const = 0;
  /// For the gate's proof: "bounces.example.org, from the null sender".
  virtual std::string terms() const = 0;
};

}  // namespace postern
