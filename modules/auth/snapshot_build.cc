// From settings and users file to a Snapshot: every name is parsed, made canonical and checked against the others here,
// so that look-ups have nothing left to doubt.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "password.h"
#include "postern/text.h"
#include "snapshot.h"

namespace postern::auth {

class SnapshotBuilder {
 public:
  SnapshotBuilder(const AuthSettings& auth, const DirectorySettings& directory, std::vector<UserEntry> users,
                  Diagnostics& d)
      : auth_(auth), directory_(directory), users_(std::move(users)), d_(d), made_(std::make_shared<Snapshot>()) {}

  std::shared_ptr<const Snapshot> build() {
    std::size_t errors_before = d_.errors();
    made_->delimiters_ = auth_.recipient_delimiter;
    add_domains();
    add_accounts();
    add_aliases();
    add_catch_alls();
    add_postmaster();
    refuse_loops();
    look_for_nobody();
    made_->dummy_hash_ = most_common_hash();
    return d_.errors() == errors_before ? made_ : nullptr;
  }

 private:
  std::optional<Address> parse_address(std::string_view text, const Origin& origin) {
    std::string whole(text);
    if (text.find('@') == std::string_view::npos) {
      if (made_->default_domain_.empty()) {
        d_.error(origin, fmt::format("\"{}\" has no domain, and there is no default domain", text),
                 "write user@domain, or declare a local [[domain]]");
        return std::nullopt;
      }
      whole += "@" + made_->default_domain_;
    }
    auto parsed = Address::parse(whole);
    if (parsed) return *std::move(parsed);
    d_.error(origin, fmt::format("\"{}\" is not an address: {}", text, parsed.error().to_string()));
    return std::nullopt;
  }

  static std::string key_of(const Address& address) {
    return to_lower(address.local()) + "@" + address.domain().ascii();
  }

  void add_domains() {
    for (const DomainSettings& domain : directory_.domains) {
      auto parsed = Domain::parse(domain.name);
      if (!parsed) {
        d_.error(domain.origin("name"),
                 fmt::format("\"{}\" is not a domain: {}", domain.name, parsed.error().to_string()));
        continue;
      }
      Snapshot::DomainEntry entry;
      entry.kind = domain.kind;
      if (!made_->domains_.emplace(parsed->ascii(), entry).second)
        d_.error(domain.origin("name"), fmt::format("the domain {} is declared twice", parsed->ascii()));
      if (domain.kind == DomainKind::kLocal && made_->default_domain_.empty()) made_->default_domain_ = parsed->ascii();
    }
    if (auth_.default_domain.empty()) return;
    auto chosen = Domain::parse(auth_.default_domain);
    if (!chosen || made_->domain_kind(chosen->ascii()) != DomainKind::kLocal)
      d_.error(auth_.origin("default_domain"), fmt::format("\"{}\" is not a local [[domain]]", auth_.default_domain));
    else
      made_->default_domain_ = chosen->ascii();
  }

  void add_accounts() {
    for (const AccountSettings& account : directory_.accounts) {
      if (auto problem = hash_problem(account.password))
        d_.error(account.origin("password"), "the password " + *problem);
      std::string name = add_account(account.name, account.password, account.apop_secret, account.origin("name"));
      if (name.empty()) continue;
      for (std::size_t i = 0; i < account.aliases.size(); ++i) {
        const Origin& origin = account.origin(fmt::format("aliases[{}]", i));
        if (auto address = parse_address(account.aliases[i], origin)) add_name(*address, name, {}, origin);
      }
    }
    for (UserEntry& user : users_) add_account(user.name, user.hash, user.apop_secret, user.origin);
  }

  std::string add_account(const std::string& typed, const std::string& hash, const std::string& secret,
                          const Origin& origin) {
    auto address = parse_address(typed, origin);
    if (!address) return {};
    std::string name = key_of(*address);
    if (made_->domain_kind(address->domain().ascii()) != DomainKind::kLocal) {
      d_.error(origin, fmt::format("{} is not a local domain", address->domain().ascii()),
               fmt::format("declare it: [[domain]] name = \"{}\"", address->domain().ascii()));
      return {};
    }
    if (!add_name(*address, name, {}, origin)) return {};
    made_->accounts_.emplace(name, Credentials{name, hash, secret});
    if (first_account_.is_null()) first_account_ = *address;
    return name;
  }

  bool add_name(const Address& address, const std::string& account, std::vector<Address> targets,
                const Origin& origin) {
    std::string key = key_of(address);
    if (made_->domain_kind(address.domain().ascii()) == DomainKind::kForeign) {
      d_.error(origin, fmt::format("{} is of a domain that is not ours", key), "declare the domain with [[domain]]");
      return false;
    }
    Snapshot::Name name;
    name.account = account;
    name.targets = std::move(targets);
    if (!made_->names_.emplace(key, std::move(name)).second) {
      d_.error(origin, fmt::format("{} is defined twice (before at {})", key, origins_[key].to_string()));
      return false;
    }
    origins_[key] = origin;
    return true;
  }

  void add_aliases() {
    for (const AliasSettings& alias : directory_.aliases) {
      auto from = parse_address(alias.from, alias.origin("from"));
      std::vector<Address> targets;
      for (std::size_t i = 0; i < alias.to.size(); ++i)
        if (auto target = parse_address(alias.to[i], alias.origin(fmt::format("to[{}]", i))))
          targets.push_back(*target);
      if (from && targets.size() == alias.to.size()) add_name(*from, {}, std::move(targets), alias.origin("from"));
    }
  }

  void add_catch_alls() {
    for (const DomainSettings& domain : directory_.domains) {
      if (domain.catch_all.empty()) continue;
      if (domain.kind != DomainKind::kLocal) {
        d_.error(domain.origin("catch_all"), "only a local domain can have a catch_all");
        continue;
      }
      auto target = parse_address(domain.catch_all, domain.origin("catch_all"));
      auto name = Domain::parse(domain.name);
      if (!target || !name) continue;
      must_exist(*target, domain.origin("catch_all"));
      made_->domains_[name->ascii()].catch_all = *std::move(target);
    }
  }

  // A catch-all or postmaster that is nobody would take mail and lose its way.
  void must_exist(const Address& target, const Origin& origin) {
    if (made_->domain_kind(target.domain().ascii()) == DomainKind::kLocal && !made_->names_.contains(key_of(target)))
      d_.error(origin, fmt::format("there is no account or alias {}", key_of(target)));
  }

  void add_postmaster() {
    if (!auth_.postmaster.empty()) {
      if (auto chosen = parse_address(auth_.postmaster, auth_.origin("postmaster"))) {
        must_exist(*chosen, auth_.origin("postmaster"));
        made_->postmaster_ = *std::move(chosen);
      }
      return;
    }
    std::string missing;
    for (const auto& [domain, entry] : made_->domains_)
      if (entry.kind == DomainKind::kLocal && !made_->names_.contains("postmaster@" + domain))
        if (missing.empty() || domain < missing) missing = domain;
    if (missing.empty()) return;
    if (auto own = Address::parse("postmaster@" + made_->default_domain_);
        own && made_->names_.contains(key_of(*own))) {
      made_->postmaster_ = *std::move(own);  // the default domain's postmaster serves the others
      return;
    }
    if (!first_account_.is_null()) made_->postmaster_ = first_account_;
    std::string who =
        first_account_.is_null() ? "is refused: there is no account" : "goes to " + key_of(first_account_);
    d_.warning(auth_.origin(), "auth.no-postmaster", fmt::format("mail for postmaster@{} {}", missing, who),
               "say who gets it: [auth] postmaster = \"...\" (RFC 5321 section 4.5.1)");
  }

  enum class Mark { kEntered, kLeft };

  // Depth first over aliases; one that is met while it is still entered goes round in circles.
  void refuse_loops() {
    std::map<std::string, Mark> marks;
    for (const auto& [name, ignored] : made_->names_) visit(name, marks, 0);
  }
  void visit(const std::string& name, std::map<std::string, Mark>& marks, int depth) {
    auto found = made_->names_.find(name);
    if (found == made_->names_.end() || !found->second.account.empty()) return;
    auto [mark, fresh] = marks.emplace(name, Mark::kEntered);
    if (!fresh && mark->second == Mark::kLeft) return;
    if (!fresh) return d_.error(origins_[name], fmt::format("the alias {} leads back to itself", name));
    if (depth >= kMaxAliasDepth)
      return d_.error(origins_[name], fmt::format("more than {} aliases lead on from each other", kMaxAliasDepth));
    for (const Address& target : found->second.targets) visit(key_of(target), marks, depth + 1);
    marks[name] = Mark::kLeft;
  }

  // Mail for such an alias is accepted and then waits for an account that nobody makes.
  void look_for_nobody() {
    for (const AliasSettings& alias : directory_.aliases)
      for (std::size_t i = 0; i < alias.to.size(); ++i) {
        const auto target = parse_quietly(alias.to[i]);
        if (!target || made_->find(*target).kind != AddressLookup::Kind::kNoSuchUser) continue;
        d_.warning(alias.origin(fmt::format("to[{}]", i)), "auth.alias-to-nobody",
                   fmt::format("the alias {} leads to {}, and there is no account or alias of that name", alias.from,
                               key_of(*target)),
                   "mail for it is deferred until there is one");
      }
  }
  std::optional<Address> parse_quietly(const std::string& text) const {  // what is wrong with it has been said
    auto parsed = Address::parse(text.find('@') == text.npos ? text + "@" + made_->default_domain_ : text);
    return parsed ? std::optional(*std::move(parsed)) : std::nullopt;
  }

  std::string most_common_hash() const {
    std::map<std::string_view, std::size_t> counts;
    const std::string* best = nullptr;
    std::size_t most = 0;
    for (const auto& [name, account] : made_->accounts_) {
      if (is_locked(account.hash)) continue;
      if (std::size_t count = ++counts[hash_cost(account.hash)]; count > most) most = count, best = &account.hash;
    }
    return best ? *best : std::string(kDummyHash);
  }

  static constexpr int kMaxAliasDepth = 50;
  const AuthSettings& auth_;
  const DirectorySettings& directory_;
  std::vector<UserEntry> users_;
  Diagnostics& d_;
  std::shared_ptr<Snapshot> made_;
  std::map<std::string, Origin> origins_;
  Address first_account_;
};

std::shared_ptr<const Snapshot> build_snapshot(const AuthSettings& auth, const DirectorySettings& directory,
                                               std::vector<UserEntry> users, Diagnostics& diagnostics) {
  return SnapshotBuilder(auth, directory, std::move(users), diagnostics).build();
}

std::shared_ptr<const Snapshot> load_snapshot(const AuthSettings& auth, const DirectorySettings& directory,
                                              Diagnostics& diagnostics) {
  std::size_t errors_before = diagnostics.errors();
  std::vector<UserEntry> users;
  if (auth.users_file) users = read_users_file(*auth.users_file, auth.origin("users_file"), diagnostics);
  auto made = build_snapshot(auth, directory, std::move(users), diagnostics);
  return diagnostics.errors() == errors_before ? made : nullptr;
}

}  // namespace postern::auth
