// Sets of networks and of domains that are made once and then only asked.
//
// Both are sorted arrays, searched by halves: 8 octets for an IPv4 network, 32 for an IPv6 one, a domain's length
// and 4. Values; immutable once made, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/address.h"
#include "postern/endpoint.h"

namespace postern::lua {

class IpSet {
 public:
  explicit IpSet(const std::vector<IpNetwork>& networks);
  bool contains(const IpAddress& address) const;
  std::size_t size() const { return size_; }  ///< networks as they were given
  std::size_t memory() const;                 ///< octets it holds

 private:
  using V4 = std::uint32_t;
  using V6 = std::array<std::uint8_t, 16>;
  template <class Key>
  using Ranges = std::vector<std::pair<Key, Key>>;  ///< first and last address; sorted, apart from each other

  Ranges<V4> v4_;
  Ranges<V6> v6_;
  std::size_t size_ = 0;
};

/// "example.org" is that domain alone; ".example.org" is all below it, and not itself.
class DomainSet {
 public:
  /// An entry as it is kept: lower-case A-labels, with the dot before it if it had one.
  static Parsed<std::string> entry(std::string_view text);

  /// `entries` are what entry() gave; no more than 4 GiB together.
  explicit DomainSet(std::vector<std::string> entries);
  /// `name` in any case, with A-labels or U-labels, with or without the root's dot. What is no domain is not in it.
  bool contains(std::string_view name) const;
  std::size_t size() const { return size_; }  ///< entries as they were given
  std::size_t memory() const;

 private:
  bool has(std::string_view entry) const;
  std::string_view at(std::size_t index) const;

  std::string text_;                   ///< all entries, sorted, one after the other
  std::vector<std::uint32_t> begins_;  ///< where each begins; one more for the end
  std::size_t size_ = 0;
};

}  // namespace postern::lua
