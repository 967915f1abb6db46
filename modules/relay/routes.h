// The routes of [delivery], ready to be asked: which one is for a sender and a recipient?
//
// The first in the file's order that fits. Exact domains are found by hash, so that a thousand of them cost no more
// than one; the other kinds of patterns are looked at one after the other.
//
// Owner: Outbound (one per epoch). Thread: any; immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "next_hop.h"
#include "postern/hash.h"
#include "settings.h"

namespace postern::relay {

struct Route {
  RouteSettings settings;
  std::vector<NextHop> hops;
  std::vector<Pattern> senders;  ///< empty: all

  bool sender_fits(const Address& sender) const;
};

class Routes {
 public:
  Routes() = default;
  /// `settings` have been checked: what does not parse is left out.
  explicit Routes(const std::vector<RouteSettings>& settings);

  /// Null when mail goes by MX.
  const Route* find(const Address& sender, const Address& recipient) const;
  const Route* named(std::string_view name) const;

 private:
  struct Open {  ///< a pattern that is not an exact domain
    Pattern pattern;
    std::size_t route;
  };
  std::vector<Route> routes_;
  std::unordered_map<std::string, std::vector<std::size_t>, BytesHash, std::equal_to<>> exact_;
  std::vector<Open> open_;  // in the order of routes
};

}  // namespace postern::relay
