// Who may connect: sessions per address, counted server-wide without a lock.
//
// Each address has one owner worker (by hash of its key); only that worker touches its count, and others ask it through
// its inbox. An IPv6 client is counted by its /64, which one host may roam at will.
//
// Thread: any worker calls enter() and leave(); the counts themselves never leave their owner.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "postern/executor.h"
#include "postern/task.h"

namespace postern::smtp {

/// What is counted together: an IPv4 address, or an IPv6 /64.
IpAddress limit_key(const IpAddress& address);
/// A user of this machine is counted as an address of 0100::/64, from which nobody comes (RFC 6666).
IpAddress limit_key_of_user(std::uint32_t uid);

/// The counts that one worker owns.
class IpCounts {
 public:
  explicit IpCounts(std::uint64_t seed) : counts_(0, Hash{seed}) {}
  bool enter(const IpAddress& key, std::uint32_t limit);
  void leave(const IpAddress& key);
  std::size_t addresses() const { return counts_.size(); }

  /// Seeded, so that strangers cannot choose addresses that collide.
  struct Hash {
    std::uint64_t seed = 0;
    std::size_t operator()(const IpAddress& key) const;
  };

 private:
  std::unordered_map<IpAddress, std::uint32_t, Hash> counts_;
};

/// All workers' counts. Made once in prepare; outlives the sessions.
class ConnectionLimiter {
 public:
  explicit ConnectionLimiter(Runtime& runtime);
  /// False when `limit` sessions of this address are open. A true must be followed by one leave().
  Task<bool> enter(IpAddress key, std::uint32_t limit);
  void leave(Executor& from, const IpAddress& key);

 private:
  Executor& owner(const IpAddress& key) const;
  Runtime& runtime_;
  IpCounts::Hash hash_;
  std::vector<IpCounts> counts_;  // by worker
};

}  // namespace postern::smtp
