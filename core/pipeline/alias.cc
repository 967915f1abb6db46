#include "core/pipeline/alias.h"

#include <set>

namespace postern {
namespace {

constexpr std::size_t kNoParent = ~std::size_t{0};

/// An alias on the way, and by which one it was reached.
struct Visited {
  Address address;
  std::size_t parent;
  std::size_t depth;
  bool wild;
};

bool among_ancestors(const std::vector<Visited>& visited, std::size_t from, const Address& address) {
  for (std::size_t at = from; at != kNoParent; at = visited[at].parent)
    if (visited[at].address == address) return true;
  return false;
}

}  // namespace

Task<Result<AliasTargets>> resolve_alias(RecordedDirectory& directory, Address alias, AddressLookup lookup) {
  struct Pending {
    Address address;
    std::size_t parent;
  };
  AliasTargets out;
  std::vector<Visited> aliases{{alias, kNoParent, 1, lookup.wild}};
  std::vector<Pending> pending;
  std::set<Address> seen;
  for (const Address& target : lookup.targets) pending.push_back({target, 0});
  for (std::size_t next = 0; next < pending.size(); ++next) {
    if (pending.size() > kMaxAliasTargets)
      co_return fault("alias.limit", alias.to_string() + " leads to too many addresses");
    const Address address = pending[next].address;
    const std::size_t parent = pending[next].parent;
    if (among_ancestors(aliases, parent, address))
      co_return fault("alias.loop", alias.to_string() + " leads back to " + address.to_string());
    if (!seen.insert(address).second) continue;
    AddressLookup found;
    const DomainKind domain = directory.peek(address.domain().ascii());
    const Instant since = directory.now();
    if (domain == DomainKind::kLocal) found = co_await directory.look_up(address);
    directory.write(address, domain, found, since);
    switch (found.kind) {
      case AddressLookup::Kind::kTemporary:
        co_return fault("alias.temporary", "no answer about " + address.to_string());
      case AddressLookup::Kind::kNoSuchUser:
        co_return fault("alias.nobody",
                        alias.to_string() + " leads to " + address.to_string() + ", who does not exist");
      case AddressLookup::Kind::kAlias: {
        const std::size_t depth = aliases[parent].depth + 1;
        if (depth > kMaxAliasDepth)
          co_return fault("alias.limit", alias.to_string() + " leads through too many aliases");
        aliases.push_back({address, parent, depth, aliases[parent].wild || found.wild});
        for (Address& target : found.targets) pending.push_back({std::move(target), aliases.size() - 1});
        break;
      }
      case AddressLookup::Kind::kForeign:
        out.foreign = out.foreign || domain == DomainKind::kForeign;
        out.wild = out.wild || (domain == DomainKind::kForeign && aliases[parent].wild);
        [[fallthrough]];
      case AddressLookup::Kind::kAccount:
        out.targets.push_back({address, std::move(found)});
        break;
    }
  }
  if (out.targets.empty()) co_return fault("alias.empty", alias.to_string() + " leads nowhere");
  co_return out;
}

}  // namespace postern
