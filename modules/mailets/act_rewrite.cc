// rewrite: recipients become other ones by a map of addresses and domains, each one of ours, so that no rule opens the
// gate. Aliases of the directory, which may lead outside and to several, are followed before the pipelines run.
#include <fmt/format.h>

#include <map>
#include <variant>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

/// Where addresses lead. An address counts before its domain; case does not count.
class AddressMap {
 public:
  using Target = std::variant<Address, Domain>;  ///< a domain keeps the local part

  void add(const Address& from, Address to) { addresses_.insert_or_assign(to_lower(from.to_string()), std::move(to)); }
  void add(const Domain& from, Target to) { domains_.insert_or_assign(from.ascii(), std::move(to)); }

  /// The end of the way; nothing when it goes in circles, or through what is no address.
  std::optional<Address> follow(Address from) const {
    for (std::size_t steps = 0; steps <= addresses_.size() + domains_.size(); ++steps) {
      if (const auto exact = addresses_.find(to_lower(from.to_string())); exact != addresses_.end()) {
        from = exact->second;
        continue;
      }
      const auto whole = domains_.find(from.domain().ascii());
      if (whole == domains_.end()) return from;
      if (const auto* address = std::get_if<Address>(&whole->second)) {
        from = *address;
        continue;
      }
      auto moved = Address::make(from.local(), std::get<Domain>(whole->second));
      if (!moved) return std::nullopt;
      from = std::move(*moved);
    }
    return std::nullopt;
  }

  /// Every address that stands on the right.
  std::vector<Address> targets() const {
    std::vector<Address> out;
    for (const auto& [from, to] : addresses_) out.push_back(to);
    for (const auto& [from, to] : domains_)
      if (const auto* address = std::get_if<Address>(&to)) out.push_back(*address);
    std::erase_if(out, [this](const Address& one) { return leads_on(one); });
    return out;
  }

 private:
  bool leads_on(const Address& one) const {
    return addresses_.contains(to_lower(one.to_string())) || domains_.contains(one.domain().ascii());
  }
  std::map<std::string, Address> addresses_;
  std::map<std::string, Target> domains_;
};

class Rewrite final : public Action {
 public:
  explicit Rewrite(AddressMap map) : map_(std::move(map)) {}
  std::string name() const override { return "rewrite"; }
  std::vector<Address> rewrites_to() const override { return map_.targets(); }

  Done run(RuleCall call) override {
    struct Change {
      std::size_t recipient;
      Address to;
      AddressLookup lookup;
    };
    std::vector<Change> changes;  // made together, so that a fault leaves all as it was
    for (std::size_t i = 0; i < call.recipients.size(); ++i) {
      if (!call.recipients.contains(i)) continue;
      auto to = map_.follow(recipient_address(call, i));
      if (!to) co_return fault("rewrite.address", recipient_address(call, i).to_string() + " leads to no address");
      if (*to == recipient_address(call, i)) continue;
      AddressLookup lookup = co_await call.effects.directory().find(*to);
      if (lookup.kind == AddressLookup::Kind::kTemporary)
        co_return fault("directory.temporary", "the directory did not answer");
      if (lookup.kind != AddressLookup::Kind::kAccount)
        co_return fault("rewrite.nobody", to->to_string() + " is no account here");
      changes.push_back({i, std::move(*to), std::move(lookup)});
    }
    for (Change& change : changes) {
      Transaction& mail = call.transaction;
      Recipient& recipient = mail.envelope.recipients[change.recipient];
      const std::string before = recipient.address.to_string();
      if (recipient.orcpt.empty()) recipient.orcpt = format_orcpt("rfc822", before);
      recipient.address = std::move(change.to);
      mail.lookups[change.recipient] = std::move(change.lookup);
      if (change.recipient < mail.relay.size()) mail.relay[change.recipient] = false;  // it stays here now
      mail.trail.fact(call.stage, "rewrite", fmt::format("{} -> {}", before, recipient.address.to_string()));
    }
    co_return ActionResult{};
  }

 private:
  AddressMap map_;
};

std::optional<Domain> domain_after_at(const std::string& text) {
  if (!text.starts_with('@')) return std::nullopt;
  auto domain = Domain::parse(std::string_view(text).substr(1));
  return domain ? std::optional(std::move(*domain)) : std::nullopt;
}

void add_pair(Arguments& arguments, AddressMap& map, const std::string& from, const std::string& to) {
  const auto to_address = Address::parse(to);
  const auto to_domain = domain_after_at(to);
  if (const auto domain = domain_after_at(from)) {
    if (to_domain) return map.add(*domain, *to_domain);
    if (to_address) return map.add(*domain, *to_address);
    return arguments.complain("\"" + to + "\" is neither an address nor @ and a domain");
  }
  const auto address = Address::parse(from);
  if (!address) return arguments.complain("\"" + from + "\" is neither an address nor @ and a domain");
  if (!to_address) return arguments.complain("\"" + to + "\" is not a mail address");
  map.add(*address, *to_address);
}

std::shared_ptr<Action> rewrite(Arguments& arguments) {
  AddressMap map;
  const auto pairs = arguments.pairs();
  for (const auto& [from, to] : pairs) add_pair(arguments, map, from, to);
  for (const auto& [from, to] : pairs) {  // a circle runs through an address of the map, or through domains alone
    const auto domain = domain_after_at(from);
    const auto start = domain ? Address::make("anybody", *domain) : Address::parse(from);
    if (start && !map.follow(*start)) arguments.complain(fmt::format("\"{}\" leads back to itself", from));
  }
  return std::make_shared<Rewrite>(std::move(map));
}

}  // namespace

void declare_rewrite(RuleRegistry& rules) {
  declare_action(
      rules, "rewrite", "Gives recipients other addresses of ours, by address or by domain, until none fits any more.",
      "act.rewrite { [\"info@example.org\"] = \"bob@example.org\", [\"@old.example\"] = \"@example.org\" }",
      "rewrite.nobody: where it leads is no account here; rewrite.address: it leads to no address; "
      "directory.temporary",
      {{"map", "table", "address by address, or by @domain; @domain by @domain keeps the local part"}}, rewrite);
}

}  // namespace postern::mailets
