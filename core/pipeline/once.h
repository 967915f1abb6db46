// Mail that a rule sends once in a while (vacation): counted when it is committed, and not a moment before.
//
// What a rule asked was whether one has been sent; what comes to nothing after it (a later rule refuses, the client
// goes away, the disk fails) has counted nothing, so that the mail that is tried again is answered. Just before the
// commit the claim is made, one increment that must be the first, so that two mails at once make one answer; after it
// the count is set for its whole time, or taken back. Between these two a crash leaves the claim, which ends by itself
// after kClaim.
//
// Where the store does not answer nothing is sent: an answer too few is forgiven, a storm is not.
// Thread: the worker of the transaction. Errors: values, in the trail and the log.
#pragma once

#include "core/pipeline/effects.h"
#include "postern/key_value.h"

namespace postern {

class OnceClaim {
 public:
  static constexpr Duration kClaim = 5min;  ///< that a claim stands without a word about the commit
  static constexpr Duration kAsk = 5s;      ///< for one answer of the store: a client waits

  /// `wanted` and `trail` outlive it.
  OnceClaim(PolicyWorker& worker, const KeyValueRequest& wanted, Trail& trail);
  /// Whether it may be sent now.
  Task<bool> take();
  /// After a take() that said yes.
  Task<void> end(bool committed);

 private:
  Task<Result<KeyValueReply>> ask(KeyValueRequest request);
  PolicyWorker& worker_;
  const KeyValueRequest& wanted_;
  Trail& trail_;
  KeyValueStore* store_ = nullptr;
};

}  // namespace postern
