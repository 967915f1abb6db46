// How much of the trail log one source may take, so that a flood by one does not push out what is known of others.
//
// A source is a client's network: its /24, with IPv6 its /64. Each has a bucket of octets that fills at a rate up to a
// burst; what does not fit is counted for the source, so that the log can say how much it did not keep.
//
// Limits: a table of fixed size, `sources` entries in sets of kWays; a new source takes the place of the one in its set
//         that has been quiet longest, whose count goes to "others". No allocation after construction.
// Thread: one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/endpoint.h"

namespace postern {

/// A client's network as it is counted.
struct TrailSource {
  std::array<std::uint8_t, 8> bits{};  ///< 24 of them with IPv4
  bool v6 = false;
  static TrailSource of(const IpAddress& client);
  std::string to_string() const;  ///< "192.0.2.0/24"
  auto operator<=>(const TrailSource&) const = default;
};

class TrailQuota {
 public:
  static constexpr std::size_t kWays = 8;

  /// `rate`: octets a second; `seed`: so that strangers cannot choose who shares a set.
  TrailQuota(std::size_t sources, double rate, double burst, std::uint64_t seed);
  /// Takes octets from a source's bucket; false when it has too few. A full one gives any number, and is in debt after
  /// it: else a record larger than the burst would never be kept. `now` in seconds, from any beginning; it may be set
  /// back.
  bool spend(const TrailSource& source, double now, std::uint64_t octets);
  /// Counts a record that was not kept.
  void count_dropped(const TrailSource& source, double now);
  bool any_dropped() const { return any_dropped_; }
  /// Hands over what was counted since the last time; `others`: of sources that had to make room.
  void take_dropped(const std::function<void(const TrailSource& source, std::uint64_t count)>& each,
                    std::uint64_t& others);

 private:
  struct Entry {
    TrailSource source;
    bool used = false;
    std::uint32_t dropped = 0;
    double octets = 0;
    double last = 0;
  };
  Entry& entry_of(const TrailSource& source, double now);
  std::vector<Entry> entries_;
  double rate_, burst_;
  std::uint64_t seed_;
  std::uint64_t others_ = 0;
  bool any_dropped_ = false;
};

}  // namespace postern
