// The keys of one worker: values with an expiry, bounded in number and in octets.
//
// What has expired is gone for whoever asks, and is removed a few at a time with each write. A key that finds no room
// takes it from those that have expired, then from those that were used longest ago.
//
// Thread: its worker; others reach it through that worker's loop (store.h).
// Errors: "kv.type" (increment of what is no whole number, or past the range of one), "kv.limit" (no room even in an
//         empty shard).
#pragma once

#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <unordered_map>

#include "postern/hash.h"
#include "postern/key_value.h"

namespace postern::memory {

struct ShardLimits {
  std::size_t keys = 1'000'000;
  std::size_t octets = std::size_t{64} << 20;
};

class Shard {
 public:
  static constexpr std::size_t kEntryOctets = 256;     ///< that an entry takes beside its key and value
  static constexpr std::size_t kSweptWithAWrite = 16;  ///< expired entries removed by one write, at most

  /// `seed` keeps strangers from choosing keys that fall together.
  Shard(ShardLimits limits, std::uint64_t seed) : limits_(limits), entries_(0, BytesHash{seed}) {}

  Result<KeyValueReply> apply(KeyValueRequest& request, Instant now);

  std::size_t keys() const { return entries_.size(); }
  std::size_t octets() const { return octets_; }
  std::uint64_t evicted() const { return evicted_; }  ///< that had not expired

 private:
  struct Entry;
  using Entries = std::unordered_map<std::string, Entry, BytesHash, std::equal_to<>>;
  using Place = Entries::iterator;
  /// In the order of their end. Keys of the map stay where they are, so that a pointer to one is good.
  using Ends = std::set<std::pair<Instant, const std::string*>>;
  struct Entry {
    std::string value;
    std::list<const std::string*>::iterator used;
    Ends::iterator end;
  };

  Place find(const std::string& key, Instant now);
  Result<void> put(const std::string& key, std::string value, std::optional<Instant> end, Instant now);
  Result<KeyValueReply> increment(KeyValueRequest& request, Instant now);
  void erase(Place place);
  void set_end(Place place, std::optional<Instant> end);
  void sweep(Instant now, std::size_t most);
  bool has_room(std::size_t more_keys, std::size_t more_octets) const {
    return entries_.size() + more_keys <= limits_.keys && octets_ + more_octets <= limits_.octets;
  }
  static std::size_t cost(const std::string& key, const std::string& value) {
    return key.size() + value.size() + kEntryOctets;
  }

  ShardLimits limits_;
  Entries entries_;
  std::list<const std::string*> used_;  ///< longest ago first
  Ends ends_;
  std::size_t octets_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace postern::memory
