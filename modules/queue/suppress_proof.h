// The proof that we sent a message: a field that only we can make, in the copy of one recipient.
//
//   Postern-Feedback: 20645 kC0Tk2uR9rB1mXxJpQ7aWw
//
// The day (since 1970), and the first 132 bits of the HMAC-SHA256 of day, sender and recipient, in base64. It says
// nothing to whoever has no secret, and it is right for this pair of addresses only. A report that returns the
// message's header returns the field; with the addresses that the report names or that stand in that header, verify()
// tells whether mail from this sender to this recipient left here in the last kMaxAge days.
//
// What that shows: the report was written by somebody who has this recipient's copy. Nobody else can make one, not even
// another recipient of the same message: a copy that several recipients share (one transaction with one host) gets no
// field.
//
// Immutable; any thread. RFC: 5965 §2 (the report returns the message), 6650 §4.2 (what to make of it).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/time.h"

namespace postern::queue {

class FeedbackProof {
 public:
  static constexpr std::string_view kField = "Postern-Feedback";
  static constexpr int kMaxAge = 90;  ///< days

  /// `secrets`: at least one; the first one signs, all are believed.
  explicit FeedbackProof(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {}

  /// The field's value.
  std::string make(const Address& sender, const Address& recipient, WallTime now) const;
  bool verify(std::string_view value, const Address& sender, const Address& recipient, WallTime now) const;

 private:
  std::vector<std::string> secrets_;
};

}  // namespace postern::queue
