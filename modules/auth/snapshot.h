// All that is known of domains, accounts and aliases, built once and never changed: a reload builds a new one.
//
// Names are kept in one canonical form, lower-case local part and ASCII domain ("alice@xn--bcher-kva.example"): local
// parts of our own accounts do not differ by case, which RFC 5321 §2.4 leaves to us.
//
// Owner:  Generations (generations.h). Thread: any, immutable.
// Errors: everything wrong goes to Diagnostics; nothing is returned then.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "postern/auth.h"
#include "postern/hash.h"
#include "settings.h"
#include "users.h"

namespace postern::auth {

template <class T>
using ByName = std::unordered_map<std::string, T, BytesHash, std::equal_to<>>;

struct Credentials {
  std::string account;
  std::string hash;
  std::string apop_secret;
};

class Snapshot {
 public:
  DomainKind domain_kind(std::string_view ascii_domain) const;
  const std::string& default_domain() const { return default_domain_; }
  AddressLookup find(const Address& address) const;
  DirectoryFacts facts() const;
  /// By canonical name; null when nobody is called that.
  const Credentials* credentials(std::string_view account) const;
  /// What a typed name means as an account: canonical, with the default domain when it has none.
  std::string canonical(std::string_view typed) const;
  /// The hash against which unknown names are checked, as costly as most accounts' hashes.
  const std::string& dummy_hash() const { return dummy_hash_; }
  std::size_t accounts() const { return accounts_.size(); }

 private:
  friend class SnapshotBuilder;
  struct DomainEntry {
    DomainKind kind = DomainKind::kForeign;
    std::optional<Address> catch_all;
  };
  struct Name {  // an account's name, or an alias of it, or an alias of others
    std::string account;
    std::vector<Address> targets;
  };
  std::optional<AddressLookup> find_name(std::string_view local, std::string_view domain) const;
  AddressLookup send_to(const Address& target) const;
  bool is_foreign(const Address& target) const { return domain_kind(target.domain().ascii()) == DomainKind::kForeign; }

  ByName<DomainEntry> domains_;
  ByName<Credentials> accounts_;
  ByName<Name> names_;
  std::string default_domain_;
  std::string delimiters_;
  std::optional<Address> postmaster_;
  std::string dummy_hash_;
};

/// Builds from the settings and the entries of the users file.
std::shared_ptr<const Snapshot> build_snapshot(const AuthSettings& auth, const DirectorySettings& directory,
                                               std::vector<UserEntry> users, Diagnostics& diagnostics);

/// The same, reading [auth] users_file first. Blocks.
std::shared_ptr<const Snapshot> load_snapshot(const AuthSettings& auth, const DirectorySettings& directory,
                                              Diagnostics& diagnostics);

}  // namespace postern::auth
