#include "connection_limiter.h"

#include <algorithm>

#include "postern/hash.h"
#include "postern/random.h"
#include "postern/sync.h"

namespace postern::smtp {

IpAddress limit_key(const IpAddress& address) {
  if (!address.is_v6()) return address;
  std::array<std::uint8_t, 16> network{};
  std::copy_n(address.octets(), 8, network.begin());
  return IpAddress::v6(network);
}

IpAddress limit_key_of_user(std::uint32_t uid) {
  std::array<std::uint8_t, 16> octets{0x01};
  for (std::size_t at = 0; at < 4; ++at) octets[12 + at] = static_cast<std::uint8_t>(uid >> (24 - 8 * at));
  return IpAddress::v6(octets);
}

std::size_t IpCounts::Hash::operator()(const IpAddress& key) const {
  return hash_bytes({reinterpret_cast<const char*>(key.octets()), key.size()}, seed);
}

bool IpCounts::enter(const IpAddress& key, std::uint32_t limit) {
  std::uint32_t& count = counts_[key];
  if (count >= limit) return false;  // limit is at least 1, so no empty entry stays behind
  ++count;
  return true;
}

void IpCounts::leave(const IpAddress& key) {
  const auto found = counts_.find(key);
  if (found != counts_.end() && --found->second == 0) counts_.erase(found);
}

ConnectionLimiter::ConnectionLimiter(Runtime& runtime) : runtime_(runtime), hash_{random_u64()} {
  for (unsigned worker = 0; worker < runtime.workers(); ++worker) counts_.emplace_back(random_u64());
}

Executor& ConnectionLimiter::owner(const IpAddress& key) const {
  return runtime_.owner_of(hash_(key));
}

Task<bool> ConnectionLimiter::enter(IpAddress key, std::uint32_t limit) {
  Executor& here = co_await this_executor();
  Executor& there = owner(key);
  IpCounts& counts = counts_[there.index()];
  if (&there == &here) co_return counts.enter(key, limit);
  co_return co_await run_on(there, [&counts, key, limit] { return counts.enter(key, limit); });
}

void ConnectionLimiter::leave(Executor& from, const IpAddress& key) {
  Executor& there = owner(key);
  IpCounts& counts = counts_[there.index()];
  if (&there == &from) return counts.leave(key);
  there.post_remote_fn([&counts, key] { counts.leave(key); });
}

}  // namespace postern::smtp
