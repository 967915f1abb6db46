// What a shard keeps of a message: an Item always, and what its turn needs (Active) while it has its turn or is hot.
//
// An Item is under 100 octets with its place in the table; the rest is in the spool (architecture.md decision 5).
// Owner: the Shard. Thread: its worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/pipeline.h"
#include "postern/spool.h"

namespace postern::queue {

/// Where one recipient stands, as far as the queue needs it.
struct Standing {
  RecipientState state = RecipientState::kWaiting;
  std::uint16_t attempts = 0;
  WallTime next{};
};

/// A message whose envelope and plan are in memory.
struct Active {
  Envelope envelope;
  Plan plan;
  std::uint64_t size = 0;
  WallTime accepted{};
  std::vector<Standing> recipients;
  std::map<std::uint32_t, std::string> tokens;  ///< of those that are placed
  std::vector<std::uint32_t> released;          ///< quarantined once, and let go by an administrator
  Handling handling;

  std::size_t cursor = 0;        ///< the step to look at next
  unsigned running = 0;          ///< steps under way
  std::optional<WallTime> next;  ///< the earliest instant at which something of it is due again
  std::string hold;              ///< why what is left cannot go on by itself

  void due_at(WallTime when) { next = next ? std::min(*next, when) : when; }
  bool done(std::uint32_t recipient) const { return recipients[recipient].state == RecipientState::kDone; }
  bool all_done() const {
    return std::ranges::all_of(recipients, [](const Standing& one) { return one.state == RecipientState::kDone; });
  }
};

struct Item {
  enum class State : std::uint8_t { kReady, kRunning, kWaiting };
  MessageId id;
  WallTime due{};
  Item* next_ready = nullptr;
  std::unique_ptr<Active> active;
  State state = State::kReady;
  bool forced = false;   ///< an administrator wants it now, whatever its schedule says
  bool suspect = false;  ///< it was being handled when the process crashed
  bool dropped = false;  ///< gone or held meanwhile; forget it when its turn comes or ends
};

}  // namespace postern::queue
