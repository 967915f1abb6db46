// A mail store in memory that keeps its promises (mailstore.h) and fails as a disk does: full, broken before the
// rename, broken after it, or dead with its process.
//
// What is staged and published is durable: it outlives every crash. Tokens are "account/unique".
// Owner: the scenario, across lives. Thread: the simulation's.
#pragma once

#include <map>
#include <string>

#include "ledger.h"
#include "postern/mailstore.h"
#include "postern/random.h"

namespace postern::simulation {

class Mailboxes final : public MailStore {
 public:
  Mailboxes(Ledger& ledger, const bool& dead, std::uint64_t seed) : ledger_(ledger), dead_(dead), random_(seed) {}
  double full = 0;    ///< chance that staging finds no room
  double broken = 0;  ///< chance that a step fails

  Task<Result<std::string>> stage(DeliveryRequest request, MessageReader& message) override;
  Task<Result<void>> publish(std::string token) override;
  Task<Result<bool>> is_staged(std::string token) override;
  Task<void> discard(std::string token) override;
  Task<std::size_t> sweep(WallTime before) override;
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string account, std::string folder) override;

 private:
  struct Staged {
    std::string account, text;
    WallTime when;
  };
  Ledger& ledger_;
  const bool& dead_;
  Prng random_;
  std::map<std::string, Staged> staged_;
  std::map<std::string, bool> published_;
};

}  // namespace postern::simulation
