// The transport as the shards see it when there is a suppression list: recipients that are on it are refused here, and
// what a server refuses for good is entered.
//
// Owner: the module. Thread: any worker. Errors: as the transport's; a list that cannot be asked lets mail pass.
#pragma once

#include <string>
#include <vector>

#include "postern/log.h"
#include "postern/transport.h"
#include "suppress.h"

namespace postern::queue {

class ScreenedTransport final : public Transport {
 public:
  ScreenedTransport(Transport& inner, SuppressionList& list) : inner_(inner), list_(list) {}
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override;
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override {
    return inner_.next_hop(envelope, step, recipient);
  }

 private:
  Task<std::vector<AttemptResult>> screen(AttemptRequest* request);
  Transport& inner_;
  SuppressionList& list_;
};

}  // namespace postern::queue
