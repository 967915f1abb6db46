// Answers that still hold, bounded by entries and by octets; the least recently used go first.
//
// Owner:  CachingResolver, one per worker, so there is no lock. Time is handed in.
// RFC:    1035 §3.2.1 (TTL), 2308 §5 (negative answers), 9520 (failures).
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postern/dns.h"
#include "postern/time.h"

namespace postern::dns {

class Cache {
 public:
  struct Limits {
    std::size_t entries = 0;
    std::size_t bytes = 0;
    std::chrono::seconds min_ttl{0};
    std::chrono::seconds max_ttl{0};
    std::chrono::seconds max_negative_ttl{0};
    std::chrono::seconds failure_ttl{0};
  };
  explicit Cache(Limits limits) : limits_(limits) {}

  /// The key of a question; `name` is normalised.
  static std::string key(std::string_view name, RecordType type);

  /// An answer that still holds, its ttl being what is left of it.
  std::optional<DnsAnswer> find(std::string_view key, Instant now);
  /// Keeps an answer for as long as its kind and the limits allow.
  void put(std::string key, DnsAnswer answer, Instant now);

  std::size_t entries() const { return index_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    DnsAnswer answer;
    Instant expires;
    std::size_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // the most recently used first

  std::chrono::seconds lifetime(const DnsAnswer& answer) const;
  void erase(Entries::iterator entry);

  Limits limits_;
  Entries list_;
  std::unordered_map<std::string_view, Entries::iterator> index_;  // views of the entries' own keys
  std::size_t bytes_ = 0;
};

}  // namespace postern::dns
