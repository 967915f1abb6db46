// What a shard keeps of a message: an Item always, and what its turn needs (Active) while it has its turn or is hot.
//
// An Item is 48 octets; the rest is in the spool (architecture.md decision 5). Its Active holds the parts of its relay
// steps, one for each next hop, which stand in the ring by themselves: a slow destination holds only its own part.
// Owner: the Shard. Thread: its worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "marks.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/transport.h"
#include "teller.h"

namespace postern::queue {

struct Item;

/// Where one recipient stands, as far as the queue needs it.
struct Standing {
  RecipientState state = RecipientState::kWaiting;
  std::uint16_t attempts = 0;
  bool ended = false;       ///< given up, or served; its sender is to be told, and then it is done
  bool served = false;      ///< with `ended`: it got its mail
  bool maybe_sent = false;  ///< all of it left once, and no answer came: a failure must say so
  bool let_go = false;      ///< an administrator released it: no hook holds it back any more
  bool put_off = false;     ///< a hook at route does not want it in this turn
  WallTime next{};
  WallTime held_since{};  ///< a hook has held it back since then, when it was last asked
};

/// Recipients of one relay step that have the same next hop.
struct Part {
  Item* item = nullptr;
  std::size_t step = 0;
  std::vector<std::uint32_t> who;
  std::uint32_t destination = 0;
  bool unproven = false;               ///< it was begun when the destination had not taken anything yet
  std::unique_ptr<PlanStep> rerouted;  ///< instead of the plan's own step
  Part* next_ready = nullptr;
};

/// An attempt that the transport has in hand.
struct Sending {
  std::vector<std::uint32_t> who;
  DotGate gate;
};

/// A message whose envelope and plan are in memory.
struct Active {
  Envelope envelope;
  Plan plan;
  std::uint64_t size = 0;
  WallTime accepted{};
  WallTime arrival{};  ///< of its id: what its schedule counts from, also after a restart
  std::vector<Standing> recipients;
  std::map<std::uint32_t, std::string> tokens;    ///< of those that are placed
  std::vector<std::uint32_t> released;            ///< quarantined once, and let go by an administrator
  std::map<std::uint32_t, std::string> reroutes;  ///< gateways that an administrator chose
  Handling handling;

  std::list<Part> parts;
  std::list<Sending> sending;
  std::vector<std::uint32_t> beyond;            ///< local recipients whose delivery cannot be taken back any more
  std::vector<Outcome> outcomes;                ///< to be told when the turn ends
  std::map<std::uint32_t, std::string> warned;  ///< whose warning is among them, and the notes of their attempts
  std::size_t cursor = 0;                       ///< the local step to look at next
  unsigned open = 0;                            ///< parts and steps that stand in a ring or are under way
  unsigned running = 0;                         ///< of them: under way
  bool expanded = false;                        ///< parts have been made
  bool tell_later = false;                      ///< the reports could not be sent now
  bool noted = false;                           ///< lazy marks were given to the spool
  std::optional<std::uint64_t>
      random;                    ///< by which the waits of this turn are varied: together, as it is read together
  std::optional<WallTime> next;  ///< the earliest instant at which something of it is due again
  std::string hold;              ///< why what is left cannot go on by itself

  void due_at(WallTime when) { next = next ? std::min(*next, when) : when; }
  bool done(std::uint32_t recipient) const { return recipients[recipient].state == RecipientState::kDone; }
  bool all_done() const {
    return std::ranges::all_of(recipients, [](const Standing& one) { return one.state == RecipientState::kDone; });
  }
  /// Ends a recipient whose sender is to be told, of a failure or a success; only the first word about it counts.
  void give_up(Outcome outcome) {
    Standing& one = recipients[outcome.recipient];
    if (one.ended || one.state == RecipientState::kDone) return;
    one.ended = true;
    one.served = outcome.kind != Outcome::Kind::kFailed;
    outcomes.push_back(std::move(outcome));
  }
  bool owes_warning(std::uint32_t recipient) const { return warned.contains(recipient); }
  /// How many messages it counts for where memory is shared out: one, and one more for each kRecipientsOfOne.
  static constexpr std::size_t kRecipientsOfOne = 32;
  std::size_t weight() const { return 1 + recipients.size() / kRecipientsOfOne; }
};

struct Item {
  enum class State : std::uint8_t { kReady, kRunning, kWaiting };
  MessageId id;
  WallTime due{};
  Item* next_ready = nullptr;
  std::unique_ptr<Active> active;
  std::uint32_t number = 0;       ///< in the table
  std::uint32_t destination = 0;  ///< its first one
  std::uint32_t sender = 0;       ///< sender_hash()
  State state = State::kReady;
  bool forced : 1 = false;     ///< an administrator wants it now, whatever its schedule says
  bool suspect : 1 = false;    ///< it was being handled when the process crashed
  bool dropped : 1 = false;    ///< gone or held meanwhile; forget it when its turn comes or ends
  bool again : 1 = false;      ///< what is known of it is out of date: read it again when its turn comes or ends
  bool expire : 1 = false;     ///< an administrator wants it to fail
  bool recalled : 1 = false;   ///< taken back while under way: what is not beyond it ends with this turn
  bool asks : 1 = false;       ///< hooks are asked for a route of it when it is read: it waits for one of their places
  bool unsettled : 1 = false;  ///< marks of its last turn may still be on their way to the disk

  bool stopped() const { return dropped || again || recalled; }
};
static_assert(sizeof(Item) <= 48);

}  // namespace postern::queue
