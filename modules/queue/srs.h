// SRS: forwarded mail gets a sender of ours that leads back to the true one.
//
// Who forwards a message to another domain sends with a sender that is not ours, and SPF there says no. The Sender
// Rewriting Scheme puts the sender into a local part of our domain, with a hash that only we can make and a day, so
// that a bounce finds its way back through us and nobody else can use us as a relay:
//
//   ann@a.example         forwarded by b.example   SRS0=HASH=TT=a.example=ann@b.example
//   that one              forwarded by c.example   SRS1=HASH=b.example==HASH=TT=a.example=ann@c.example
//
// HASH is the first characters of the base64 HMAC-SHA1 over what follows it, in lower case; TT is the day (base32, 1024
// of them in a round). Compatible with the published scheme and its tools, so that hosts can share a key. Letters may
// change their case on the way. The first key of the key file makes hashes, all are believed.
//
// Use: srs_paths.h makes the service "return-paths" of it; the policy calls forward() for the senders of forwarded
// mail, and hands recipients for which is_srs() holds to reverse(), before the directory is asked. What a stranger may
// send through us by that is a report, to a sender whose mail we forwarded in the last days.
//
// Pure; immutable; any thread. Errors: srs.syntax, srs.hash (not made by us), srs.expired, srs.too_long. Spec: "The
// Sender Rewriting Scheme", Shevek, 2004; guarded scheme.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern::queue {

struct SrsOptions {
  Domain domain;  ///< of ours: rewritten senders are there, and bounces come there
  std::vector<std::string> keys;
  std::size_t hash_length = 6;      ///< characters of the hash that are written; 4 is the scheme's
  std::size_t min_hash_length = 4;  ///< that are believed
  int max_age_days = 21;            ///< longer than any queue keeps a bounce
};

class Srs {
 public:
  static constexpr std::size_t kMaxLocalPart =
      190;  ///< of what forward() makes; longer than RFC 5321's 64, as others do

  /// `options` with keys and domain set.
  explicit Srs(SrsOptions options) : options_(std::move(options)) {}

  /// The sender for a message that goes on. The null sender, and senders at the SRS domain, stay as they are.
  Result<Address> forward(const Address& sender, WallTime now) const;

  /// Whether it is at the SRS domain and looks rewritten.
  bool is_srs(const Address& recipient) const;
  /// Where mail to such a recipient goes: the true sender, or for SRS1 the first forwarder.
  Result<Address> reverse(const Address& recipient, WallTime now) const;

 private:
  std::string hash(std::string_view key, std::string_view data) const;
  bool verify(std::string_view given, std::string_view data) const;
  Result<Address> reverse_first(std::string_view rest, WallTime now) const;
  Result<Address> reverse_further(std::string_view rest) const;

  SrsOptions options_;
};

}  // namespace postern::queue
