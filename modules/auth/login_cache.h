// Right passwords of a short while ago, as digests under a key that dies with the process, so that a client that polls
// each minute is not hashed each minute; and the addresses from which an account was last used, which are not slowed
// down by what strangers do to that account.
//
// Owner:  the account's owner worker. Thread: that worker. Limits: max_accounts, kAddresses each.
#pragma once

#include <array>
#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "password.h"
#include "postern/endpoint.h"
#include "postern/hash.h"
#include "postern/time.h"

namespace postern::auth {

class LoginCache {
 public:
  static constexpr std::size_t kAddresses = 4;

  bool matches(std::string_view account, const Digest& digest, Instant now) const;
  bool is_familiar(std::string_view account, const IpAddress& client) const;
  /// A log-in went well. `keep` 0 remembers the address only.
  void remember(std::string_view account, const Digest& digest, const IpAddress& client, Instant now, Duration keep,
                std::size_t max_accounts);
  std::size_t size() const { return by_account_.size(); }

 private:
  struct Entry {
    std::string account;
    Digest digest{};
    Instant expires{};
    bool has_digest = false;
    std::array<IpAddress, kAddresses> clients{};
    std::size_t client_count = 0;  // of all times; the next one is written at client_count % kAddresses
  };
  using Entries = std::list<Entry>;
  Entries entries_;  // latest in front
  std::unordered_map<std::string_view, Entries::iterator, BytesHash, std::equal_to<>> by_account_;
};

}  // namespace postern::auth
