// The transport as the shards see it when there is a suppression list: recipients that are on it are refused here, and
// what a server refuses for good is entered. With a proof, mail of our senders to a single recipient carries it, so
// that a complaint about it can be believed (suppress_proof.h).
//
// Owner: the module. Thread: any worker. Errors: as the transport's; a list that cannot be asked lets mail pass.
#pragma once

#include <string>
#include <vector>

#include "postern/auth.h"
#include "postern/transport.h"
#include "suppress.h"

namespace postern::queue {

class ScreenedTransport final : public Transport {
 public:
  ScreenedTransport(Transport& inner, SuppressionList& list) : inner_(inner), list_(list) {}
  /// Before any attempt; both outlive it. `directory` tells which senders are ours.
  void prove_with(const FeedbackProof& proof, const Directory& directory) {
    proof_ = &proof;
    directory_ = &directory;
  }
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override;
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override {
    return inner_.next_hop(envelope, step, recipient);
  }

 private:
  Task<std::vector<AttemptResult>> screen(AttemptRequest* request);
  bool proves(const AttemptRequest& request) const;
  Task<std::vector<AttemptResult>> attempt_with_proof(AttemptRequest request);
  Transport& inner_;
  SuppressionList& list_;
  const FeedbackProof* proof_ = nullptr;
  const Directory* directory_ = nullptr;
};

}  // namespace postern::queue
