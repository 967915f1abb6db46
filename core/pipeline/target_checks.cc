#include "core/pipeline/target_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/auth.h"
#include "postern/text.h"

namespace postern {
namespace {

/// A host that is reached over the network has a dot, or is written as an address, with a port, a scheme or in
/// brackets.
bool is_bare_name(std::string_view gateway) {
  return !gateway.empty() && gateway.find_first_of(".:[]/") == gateway.npos && !equal_folded(gateway, "localhost");
}

void check_gateway(const Rule& rule, const std::string& gateway, const KnownTargets& known, Diagnostics& diagnostics) {
  if (!known.relays || !is_bare_name(gateway) || std::ranges::find(known.routes, gateway) != known.routes.end()) return;
  const std::vector<std::string_view> names(known.routes.begin(), known.routes.end());
  std::string hint = did_you_mean(gateway, names);
  if (hint.empty())
    hint =
        fmt::format("declare [[delivery.route]] name = \"{}\", or write a host as mx.example.org or [host]", gateway);
  diagnostics.warning(rule.origin, std::string(kUnknownGateway),
                      fmt::format("rule \"{}\" relays through \"{}\", which is no route and no full name of a host",
                                  rule.name, gateway),
                      std::move(hint));
}

/// `account`: what leads there takes accounts alone.
void check_address(const Rule& rule, const Address& address, bool account, const KnownTargets& known,
                   Diagnostics& diagnostics) {
  if (!known.directory) return;
  const auto found = known.directory->look_ahead(address);
  if (!found || found->kind == AddressLookup::Kind::kTemporary || found->kind == AddressLookup::Kind::kAccount) return;
  if (!account && found->kind != AddressLookup::Kind::kNoSuchUser) return;
  diagnostics.warning(rule.origin, std::string(kUnknownRecipient),
                      fmt::format("rule \"{}\" sends mail to {}, and there is no {} of that name here", rule.name,
                                  address.to_string(), account ? "account" : "account or alias"),
                      "such mail is deferred until there is one");
}

void check_rule(const Rule& rule, const KnownTargets& known, Diagnostics& diagnostics) {
  for (const auto& action : rule.actions) {
    check_gateway(rule, action->gateway(), known, diagnostics);
    for (const Address& one : action->sends_to()) check_address(rule, one, false, known, diagnostics);
    for (const Address& one : action->rewrites_to()) check_address(rule, one, true, known, diagnostics);
  }
}

}  // namespace

void check_targets(const RuleSet& rules, const KnownTargets& known, Diagnostics& diagnostics) {
  for (const auto& [name, pipeline] : rules.pipelines)
    for (const Rule& rule : pipeline.rules) check_rule(rule, known, diagnostics);
}

}  // namespace postern
