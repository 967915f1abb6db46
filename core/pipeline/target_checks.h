// What rules name outside of themselves, and whether it is there: next hops of act.relay, addresses of act.forward and
// its kin, of act.rewrite. A name that is written wrong defers mail for days before anybody sees it.
//
//   lint.unknown_gateway    a next hop of one word that is no [[delivery.route]]: nobody's host has such a name
//   lint.unknown_recipient  an address of ours that is neither account nor alias (of act.rewrite: no account)
//
// Warnings, at the place of their rule, which a script may waive as those of rule_checks.h. What a function of a script
// names is not known before it runs. Addresses of which the directory can tell nothing without being asked (SQL, LDAP)
// are left alone.
//
// Thread: the one that checks. Nothing is kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/pipeline.h"

namespace postern {

inline constexpr std::string_view kUnknownGateway = "lint.unknown_gateway";
inline constexpr std::string_view kUnknownRecipient = "lint.unknown_recipient";

/// What there is beside the scripts.
struct KnownTargets {
  bool relays = false;              ///< there is a transport, whose routes these are
  std::vector<std::string> routes;  ///< names of [[delivery.route]]
  const Directory* directory = nullptr;
};

void check_targets(const RuleSet& rules, const KnownTargets& known, Diagnostics& diagnostics);

}  // namespace postern
