// The relay gate: who may send to whom through this server (architecture.md decision 7).
//
// decide() is a pure function of the configuration and a few facts, so that gate_proof.h can ask it about every class
// of client there is, before the server starts. Nobody relays by default: a network must be named in [[relay.network]]
// with a reason, private ones included, and the submission ports take mail from authenticated clients only.
//
// What makes a client more than a stranger:
//   authenticated   it has proven an account ([relay] authenticated), in a session of its own or of a [[relay.proxy]]
//   network         its address lies in a [[relay.network]]. The address is the connection's own, unless a host of
//                   [[relay.proxy]] declared it (PROXY, XCLIENT). A proxy that declares nobody is a stranger itself,
//                   even inside a relay network: behind it could be anyone.
//
// What makes a recipient ours: an account, an alias to addresses of ours, a domain that we relay for, postmaster.
// An alias to a foreign address is the administrator's word, and passes only with [relay] forward_aliases = true; it is
// refused to strangers even then when the sender chooses the target's local part (AddressLookup::wild).
// A return path of mail that we forwarded (postern/return_path.h) is ours for the address that is signed into it, and
// for reports to it: whoever holds one has had mail through us, and reaches with it the one who sent that mail, nobody
// else. Without such a service no address is of that class, and the gate refuses it all the same.
//
// Thread: any; values. RFC: 5321 §4.5.1 (postmaster), App. F.2 (source routes), 6409 §4.3 (submission), 5068.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/diagnostics.h"
#include "postern/endpoint.h"
#include "postern/envelope.h"
#include "postern/verdict.h"

namespace postern {

/// A network that is more than the rest of the world, and why.
struct NamedNetwork {
  IpNetwork network;
  std::string reason;
  Origin origin;
};

struct GateConfig {
  bool authenticated = true;           ///< those who have logged in may relay
  bool forward_aliases = false;        ///< aliases may lead to foreign addresses
  std::string return_paths;            ///< ReturnPaths::terms(); empty: there are none
  std::vector<NamedNetwork> networks;  ///< that may relay
  std::vector<NamedNetwork> proxies;   ///< whose PROXY and XCLIENT words are believed
};

struct ClientFacts {
  IpAddress ip;  ///< the client's, as declared if it was
  SessionRole role = SessionRole::kMx;
  bool authenticated = false;
  std::optional<IpAddress> proxy{};  ///< the connected host that declared `ip`
};

enum class ClientClass : std::uint8_t {
  kStranger,
  kSilentProxy,  ///< a trusted proxy that did not say for whom it speaks
  kFalseProxy,   ///< declared by a host that nobody trusts
  kNetwork,      ///< of a relay network
};
std::string_view to_string(ClientClass kind);
ClientClass classify(const GateConfig& config, const ClientFacts& facts);

enum class RecipientClass : std::uint8_t {
  kLocalAccount,
  kPostmaster,
  kAliasOurs,     ///< all targets are ours
  kNoSuchUser,    ///< our domain, nobody by that name
  kTemporary,     ///< the directory did not answer
  kRelayDomain,   ///< a domain that we take mail for and pass on
  kRelayRouted,   ///< likewise, with a route for the next server hidden in the local part: a%b@ours, "a@b"@ours,
                  ///< b!a@ours
  kLocalRouted,   ///< the same at a local domain, and no account has this name
  kAliasForeign,  ///< an alias with a target elsewhere
  kAliasWild,     ///< likewise, and the sender chooses the target's local part
  kForeign,
  kLiteral,         ///< an address literal that is not ours
  kReturnPath,      ///< a signed return path of ours, in date, and the mail is a report (ReturnPaths::takes_from)
  kReturnPathMail,  ///< likewise, and the mail is no report
};
inline constexpr RecipientClass kAllRecipientClasses[] = {
    RecipientClass::kLocalAccount, RecipientClass::kPostmaster,    RecipientClass::kAliasOurs,
    RecipientClass::kNoSuchUser,   RecipientClass::kTemporary,     RecipientClass::kRelayDomain,
    RecipientClass::kRelayRouted,  RecipientClass::kLocalRouted,   RecipientClass::kAliasForeign,
    RecipientClass::kAliasWild,    RecipientClass::kForeign,       RecipientClass::kLiteral,
    RecipientClass::kReturnPath,   RecipientClass::kReturnPathMail};
std::string_view to_string(RecipientClass kind);

enum class GateAnswer : std::uint8_t { kDeliver, kRelay, kNoSuchUser, kRefuse, kNeedAuth, kTemporary };
std::string_view to_string(GateAnswer answer);

struct GateDecision {
  GateAnswer answer = GateAnswer::kRefuse;
  std::string cell;  ///< "stranger/anonymous/foreign"
  bool accepts() const { return answer == GateAnswer::kDeliver || answer == GateAnswer::kRelay; }
};

/// The gate's answer. Total: every combination has one, and what is not allowed is refused.
GateDecision decide(const GateConfig& config, const ClientFacts& facts, RecipientClass recipient);

/// The answer without the words, for the proof.
GateAnswer answer(const GateConfig& config, const ClientFacts& facts, RecipientClass recipient);

/// What the session says for an answer that does not accept.
Verdict refusal(GateAnswer answer);

/// Whether a local part may hide a further route: '%', '@' or '!' in it.
bool hides_route(std::string_view local_part);

/// Roles that take mail from users only.
bool wants_login(SessionRole role);

}  // namespace postern
