#include "core/pipeline/gate.h"

#include <algorithm>

namespace postern {
namespace {

bool within(const std::vector<NamedNetwork>& networks, const IpAddress& ip) {
  return std::ranges::any_of(networks, [&](const NamedNetwork& one) { return one.network.contains(ip); });
}

GateAnswer relay_or_refuse(bool may_relay) {
  return may_relay ? GateAnswer::kRelay : GateAnswer::kRefuse;
}

}  // namespace

std::string_view to_string(ClientClass kind) {
  switch (kind) {
    case ClientClass::kStranger:
      return "stranger";
    case ClientClass::kSilentProxy:
      return "silent proxy";
    case ClientClass::kFalseProxy:
      return "false proxy";
    case ClientClass::kNetwork:
      return "relay network";
  }
  return "unknown";
}

std::string_view to_string(RecipientClass kind) {
  switch (kind) {
    case RecipientClass::kLocalAccount:
      return "account";
    case RecipientClass::kPostmaster:
      return "postmaster";
    case RecipientClass::kAliasOurs:
      return "alias";
    case RecipientClass::kNoSuchUser:
      return "no such user";
    case RecipientClass::kTemporary:
      return "directory down";
    case RecipientClass::kRelayDomain:
      return "relay domain";
    case RecipientClass::kRelayRouted:
      return "routed at relay domain";
    case RecipientClass::kLocalRouted:
      return "routed at local domain";
    case RecipientClass::kAliasForeign:
      return "alias to foreign";
    case RecipientClass::kAliasWild:
      return "wild alias to foreign";
    case RecipientClass::kForeign:
      return "foreign";
    case RecipientClass::kLiteral:
      return "address literal";
    case RecipientClass::kReturnPath:
      return "return path";
    case RecipientClass::kReturnPathMail:
      return "return path, no report";
  }
  return "unknown";
}

std::string_view to_string(GateAnswer answer) {
  switch (answer) {
    case GateAnswer::kDeliver:
      return "deliver";
    case GateAnswer::kRelay:
      return "relay";
    case GateAnswer::kNoSuchUser:
      return "550 no such user";
    case GateAnswer::kRefuse:
      return "550 refused";
    case GateAnswer::kNeedAuth:
      return "530 log in first";
    case GateAnswer::kTemporary:
      return "451 try later";
  }
  return "unknown";
}

ClientClass classify(const GateConfig& config, const ClientFacts& facts) {
  if (facts.proxy && !within(config.proxies, *facts.proxy)) return ClientClass::kFalseProxy;
  if (!facts.proxy && within(config.proxies, facts.ip)) return ClientClass::kSilentProxy;
  return within(config.networks, facts.ip) ? ClientClass::kNetwork : ClientClass::kStranger;
}

bool wants_login(SessionRole role) {
  return role == SessionRole::kSubmission || role == SessionRole::kSubmissions || role == SessionRole::kLocal;
}

bool hides_route(std::string_view local_part) {
  return local_part.find_first_of("%@!") != std::string_view::npos;
}

namespace {

GateAnswer answer_for(const GateConfig& config, ClientClass client, bool authenticated, SessionRole role,
                      RecipientClass recipient) {
  // The submission ports serve users alone, not even postmaster's strangers (RFC 6409 §4.3).
  if (wants_login(role) && !authenticated) return GateAnswer::kNeedAuth;
  // A host that nobody trusts may have declared the login as well (XCLIENT LOGIN).
  const bool logged_in = authenticated && client != ClientClass::kFalseProxy;
  const bool may_relay = (logged_in && config.authenticated) || client == ClientClass::kNetwork;
  switch (recipient) {
    case RecipientClass::kLocalAccount:
    case RecipientClass::kPostmaster:
    case RecipientClass::kAliasOurs:
      return GateAnswer::kDeliver;
    case RecipientClass::kNoSuchUser:
    case RecipientClass::kLocalRouted:
      return GateAnswer::kNoSuchUser;  // we follow no route in a name, for nobody
    case RecipientClass::kTemporary:
      return GateAnswer::kTemporary;
    case RecipientClass::kRelayDomain:
      return GateAnswer::kRelay;
    case RecipientClass::kAliasForeign:
      return relay_or_refuse(may_relay || config.forward_aliases);
    case RecipientClass::kReturnPath:
      return relay_or_refuse(may_relay || !config.return_paths.empty());
    case RecipientClass::kReturnPathMail:
    case RecipientClass::kRelayRouted:
    case RecipientClass::kAliasWild:
    case RecipientClass::kForeign:
    case RecipientClass::kLiteral:
      return relay_or_refuse(may_relay);
  }
  return GateAnswer::kRefuse;
}

}  // namespace

GateAnswer answer(const GateConfig& config, const ClientFacts& facts, RecipientClass recipient) {
  return answer_for(config, classify(config, facts), facts.authenticated, facts.role, recipient);
}

GateDecision decide(const GateConfig& config, const ClientFacts& facts, RecipientClass recipient) {
  const ClientClass client = classify(config, facts);
  GateDecision out;
  out.answer = answer_for(config, client, facts.authenticated, facts.role, recipient);
  const std::string_view parts[] = {to_string(client), facts.authenticated ? "/authenticated/" : "/anonymous/",
                                    to_string(recipient)};
  out.cell.reserve(parts[0].size() + parts[1].size() + parts[2].size());
  for (const std::string_view part : parts) out.cell += part;
  return out;
}

Verdict refusal(GateAnswer answer) {
  switch (answer) {
    case GateAnswer::kNoSuchUser:
      return Verdict::reject(550, "5.1.1", "no such user here");
    case GateAnswer::kRefuse:
      return Verdict::reject(550, "5.7.1", "relaying denied");
    case GateAnswer::kNeedAuth:
      return Verdict::reject(530, "5.7.0", "authentication required");
    case GateAnswer::kTemporary:
      return Verdict::defer(451, "4.4.3", "the recipient cannot be checked now, try again later");
    case GateAnswer::kDeliver:
    case GateAnswer::kRelay:
      break;
  }
  return {};
}

}  // namespace postern
