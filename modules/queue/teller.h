// Who tells senders what became of their mail, as the shards see it; module.cc puts the Reporter behind it.
//
// Thread: any worker. Errors: a Fault means that nothing was sent yet.
#pragma once

#include <optional>
#include <vector>

#include "postern/envelope.h"
#include "postern/log.h"
#include "postern/spool.h"
#include "postern/task.h"
#include "reporter.h"

namespace postern::queue {

class Teller {
 public:
  virtual ~Teller() = default;
  virtual Task<Result<std::size_t>> report(MessageId id, const Envelope& envelope, std::vector<Outcome> outcomes,
                                           Log log) = 0;
  virtual bool wanted(const Envelope& envelope, const Outcome& outcome) const = 0;
  /// The failure that a crash left half told: its intent is in the recipient's note.
  virtual std::optional<Outcome> half_told(std::uint32_t recipient, const RecipientInfo& info) const = 0;
};

}  // namespace postern::queue
