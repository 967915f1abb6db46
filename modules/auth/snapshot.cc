#include "snapshot.h"

#include <algorithm>

#include "postern/text.h"

namespace postern::auth {

DomainKind Snapshot::domain_kind(std::string_view ascii_domain) const {
  auto found = domains_.find(ascii_domain);
  return found == domains_.end() ? DomainKind::kForeign : found->second.kind;
}

std::optional<AddressLookup> Snapshot::find_name(std::string_view local, std::string_view domain) const {
  std::string key = to_lower(local);
  key.append("@").append(domain);
  auto found = names_.find(key);
  if (found == names_.end()) return std::nullopt;
  AddressLookup answer;
  answer.kind = found->second.account.empty() ? AddressLookup::Kind::kAlias : AddressLookup::Kind::kAccount;
  answer.account = found->second.account;
  answer.targets = found->second.targets;
  return answer;
}

// An account at once where the target is one, so that nobody has to ask twice.
AddressLookup Snapshot::send_to(const Address& target) const {
  if (auto named = find_name(target.local(), target.domain().ascii())) return *std::move(named);
  AddressLookup answer;
  answer.kind = AddressLookup::Kind::kAlias;
  answer.targets = {target};
  return answer;
}

AddressLookup Snapshot::find(const Address& address) const {
  AddressLookup answer;
  if (address.is_null()) return answer;
  std::string_view domain = address.domain().ascii();
  if (address.is_bare_postmaster()) domain = default_domain_;
  auto entry = domains_.find(domain);
  if (entry == domains_.end()) return answer;
  if (auto exact = find_name(address.local(), domain)) return *std::move(exact);
  if (entry->second.kind != DomainKind::kLocal) return answer;  // a relay domain's users are known elsewhere
  std::string_view base = delimiters_.empty() ? std::string_view(address.local()) : address.base(delimiters_);
  if (base.size() != address.local().size())
    if (auto untagged = find_name(base, domain)) return *std::move(untagged);
  if (to_lower(base) == "postmaster" && postmaster_) return send_to(*postmaster_);  // RFC 5321 §4.5.1
  if (entry->second.catch_all) return send_to(*entry->second.catch_all);
  answer.kind = AddressLookup::Kind::kNoSuchUser;
  return answer;
}

DirectoryFacts Snapshot::facts() const {
  DirectoryFacts facts;
  for (const auto& [name, domain] : domains_) {
    facts.domains.push_back({name, domain.kind});
    if (domain.catch_all && is_foreign(*domain.catch_all)) ++facts.foreign_aliases;
  }
  for (const auto& [name, named] : names_)
    if (std::ranges::any_of(named.targets, [this](const Address& target) { return is_foreign(target); }))
      ++facts.foreign_aliases;
  if (postmaster_ && is_foreign(*postmaster_)) ++facts.foreign_aliases;
  std::ranges::sort(facts.domains, {}, &DirectoryFacts::Domain::name);
  return facts;  // no alias takes its target's local part from the sender: wild_aliases stays 0
}

const Credentials* Snapshot::credentials(std::string_view account) const {
  auto found = accounts_.find(account);
  return found == accounts_.end() ? nullptr : &found->second;
}

std::string Snapshot::canonical(std::string_view typed) const {
  std::size_t at = typed.rfind('@');
  if (at == std::string_view::npos)
    return default_domain_.empty() ? to_lower(typed) : to_lower(typed) + "@" + default_domain_;
  auto domain = Domain::parse(typed.substr(at + 1));
  return to_lower(typed.substr(0, at)) + "@" + (domain ? domain->ascii() : to_lower(typed.substr(at + 1)));
}

}  // namespace postern::auth
