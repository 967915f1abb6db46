#include "login_cache.h"

#include <algorithm>

namespace postern::auth {

namespace {
std::string_view octets_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}
}  // namespace

bool LoginCache::matches(std::string_view account, const Digest& digest, Instant now) const {
  auto found = by_account_.find(account);
  if (found == by_account_.end()) return false;
  const Entry& entry = *found->second;
  return entry.has_digest && now < entry.expires && equal_in_constant_time(octets_of(entry.digest), octets_of(digest));
}

bool LoginCache::is_familiar(std::string_view account, const IpAddress& client) const {
  auto found = by_account_.find(account);
  if (found == by_account_.end()) return false;
  const Entry& entry = *found->second;
  auto end = entry.clients.begin() + static_cast<std::ptrdiff_t>(std::min(entry.client_count, kAddresses));
  return std::find(entry.clients.begin(), end, client) != end;
}

void LoginCache::remember(std::string_view account, const Digest& digest, const IpAddress& client, Instant now,
                          Duration keep, std::size_t max_accounts) {
  auto found = by_account_.find(account);
  if (found == by_account_.end()) {
    while (!entries_.empty() && entries_.size() >= max_accounts) {
      by_account_.erase(entries_.back().account);
      entries_.pop_back();
    }
    entries_.push_front({.account = std::string(account)});
    by_account_.emplace(entries_.front().account, entries_.begin());
  } else {
    entries_.splice(entries_.begin(), entries_, found->second);
  }
  Entry& entry = entries_.front();
  entry.has_digest = keep > Duration{};
  if (entry.has_digest) {
    entry.digest = digest;
    entry.expires = now + keep;
  }
  if (!is_familiar(account, client)) entry.clients[entry.client_count++ % kAddresses] = client;
}

}  // namespace postern::auth
