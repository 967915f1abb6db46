// The proof that no stranger relays: decide() asked about every class of client and recipient there is.
//
// A client's class depends on its address only through membership in the networks that the configuration names. The
// first addresses of all those networks, and the addresses just behind them, therefore stand for every address there
// is: asking about these is asking about all (IPv4 and IPv6 apart). The same list, crossed with "connected itself",
// "declared by a trusted proxy" and "declared by somebody else", stands for every connection.
//
// Who is a stranger: an address that is neither private (see private_networks()) nor in a named network that is narrow
// enough to be somebody's own:
//   IPv4: /16 or narrower (kWidestV4), and all such networks together hold at most 2^20 addresses (kMostV4Addresses)
//   IPv6: /29 or narrower (kWidestV6), the largest block a registry hands to one holder in the ordinary course
// A wider network names nobody: who is in it is a stranger, and a configuration that relays for one is open. Private
// networks are anybody's own, but the report reminds of what translators and proxies do to them. A relay domain without
// a dot, or "*", opens the server as well.
//
// Return paths open nothing: that an address is of the class kReturnPath takes our signature, which a stranger cannot
// make (the policy classes what does not verify as no such user), so that a stranger chooses none of the addresses
// there. What is proved here is that no other class profits from them: the answers about all others are the same with
// return paths and without. The report says under which terms they are taken.
//
// Thread: any; values. Cost: milliseconds for hundreds of networks.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/pipeline/gate.h"
#include "postern/auth.h"
#include "postern/pipeline.h"

namespace postern {

inline constexpr int kWidestV4 = 16;
inline constexpr int kWidestV6 = 29;
inline constexpr std::uint64_t kMostV4Addresses = 1ULL << 20;

/// One row of the table: a class of clients in one role, with the answer for each class of recipients.
struct GateCell {
  std::string client;  ///< "stranger", "relay network 192.0.2.0/24 (office)"
  SessionRole role = SessionRole::kMx;
  bool authenticated = false;
  RecipientClass recipient{};
  GateAnswer answer{};
};

/// The smallest way in that was found: the client, the recipient, and the line that opens it.
struct GateWitness {
  ClientFacts client;
  RecipientClass recipient = RecipientClass::kForeign;
  Origin origin;         ///< of the line in the configuration; may be a default
  std::string cause;     ///< "[[relay.network]] 0.0.0.0/0 (everyone) is wider than /16"
  std::string dialogue;  ///< as a session would see it
};

struct GateReport {
  std::vector<GateCell> cells;
  std::optional<GateWitness> witness;
  std::vector<std::string> notes;
  bool open() const { return witness.has_value(); }
  std::string table() const;   ///< for a terminal: clients down, recipients across
  std::string render() const;  ///< the table, the notes, and the witness if there is one
};

GateReport prove_gate(const GateConfig& config, const DirectoryFacts& facts);
/// Adds what scripts send by themselves to what the proof says: addresses elsewhere that stand in a script (act.forward
/// and its kin, Action::sends_to) get mail whoever it is from, as foreign aliases do, and by the same setting. What a
/// function of a script decides is asked when it runs, by the same rule.
void note_script_targets(GateReport& report, const GateConfig& config, const RuleSet& rules,
                         const Directory& directory);
/// Puts an open gate among the errors, so that the server does not start.
void report_gate(const GateReport& report, Diagnostics& diagnostics);

/// The same question about one address, as the proof understands it; for its tests.
bool is_stranger(const GateConfig& config, const IpAddress& ip);
std::span<const IpNetwork> private_networks();

}  // namespace postern
