#include "sets.h"

#include <algorithm>

#include "postern/text.h"

namespace postern::lua {
namespace {

std::uint32_t v4_of(const IpAddress& address) {
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out = out << 8 | address.octets()[i];
  return out;
}

std::array<std::uint8_t, 16> v6_of(const IpAddress& address) {
  std::array<std::uint8_t, 16> out{};
  std::copy_n(address.octets(), out.size(), out.begin());
  return out;
}

std::array<std::uint8_t, 16> last_of(const IpNetwork& network) {
  auto last = v6_of(network.base());
  for (std::size_t bit = static_cast<std::size_t>(network.prefix()); bit < 128; ++bit)
    last[bit / 8] = static_cast<std::uint8_t>(last[bit / 8] | 0x80U >> bit % 8);
  return last;
}

/// Networks lie one inside the other or apart: of those that begin alike the widest comes first, and takes the others.
template <class Key>
void join(std::vector<std::pair<Key, Key>>& ranges) {
  std::ranges::sort(ranges, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : b.second < a.second;
  });
  std::size_t kept = 0;
  for (const auto& one : ranges)
    if (kept == 0 || ranges[kept - 1].second < one.first) ranges[kept++] = one;
  ranges.resize(kept);
  ranges.shrink_to_fit();
}

template <class Key>
bool inside(const std::vector<std::pair<Key, Key>>& ranges, const Key& key) {
  const auto after =
      std::ranges::upper_bound(ranges, key, std::less<>(), [](const auto& range) -> const Key& { return range.first; });
  return after != ranges.begin() && !(std::prev(after)->second < key);
}

}  // namespace

IpSet::IpSet(const std::vector<IpNetwork>& networks) : size_(networks.size()) {
  for (const IpNetwork& network : networks) {
    if (network.base().is_v6()) {
      v6_.emplace_back(v6_of(network.base()), last_of(network));
      continue;
    }
    const V4 first = v4_of(network.base());
    v4_.emplace_back(first, network.prefix() == 0 ? ~V4{0} : first | ((V4{1} << (32 - network.prefix())) - 1));
  }
  join(v4_);
  join(v6_);
}

bool IpSet::contains(const IpAddress& address) const {
  return address.is_v6() ? inside(v6_, v6_of(address)) : inside(v4_, v4_of(address));
}

std::size_t IpSet::memory() const {
  return v4_.capacity() * sizeof v4_[0] + v6_.capacity() * sizeof v6_[0];
}

Parsed<std::string> DomainSet::entry(std::string_view text) {
  const bool below = text.starts_with('.');
  if (below) text.remove_prefix(1);
  if (text.ends_with('.')) text.remove_suffix(1);
  auto domain = Domain::parse(text, {.allow_utf8 = true, .allow_literal = false});
  if (!domain) return std::unexpected(domain.error());
  return (below ? "." : "") + domain->ascii();
}

DomainSet::DomainSet(std::vector<std::string> entries) : size_(entries.size()) {
  std::ranges::sort(entries);
  const auto repeated = std::ranges::unique(entries);
  entries.erase(repeated.begin(), repeated.end());
  std::size_t octets = 0;
  for (const std::string& one : entries) octets += one.size();
  text_.reserve(octets);
  begins_.reserve(entries.size() + 1);
  for (const std::string& one : entries) {
    begins_.push_back(static_cast<std::uint32_t>(text_.size()));
    text_ += one;
  }
  begins_.push_back(static_cast<std::uint32_t>(text_.size()));
}

std::string_view DomainSet::at(std::size_t index) const {
  return std::string_view(text_).substr(begins_[index], begins_[index + 1] - begins_[index]);
}

bool DomainSet::has(std::string_view entry) const {
  std::size_t low = 0;
  std::size_t high = begins_.size() - 1;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (at(middle) < entry)
      low = middle + 1;
    else
      high = middle;
  }
  return low + 1 < begins_.size() && at(low) == entry;
}

bool DomainSet::contains(std::string_view name) const {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.starts_with('.') || name.size() > kMaxDomain) return false;
  std::string folded;
  if (is_ascii(name)) {
    folded = to_lower(name);
  } else {
    auto domain = Domain::parse(name, {.allow_utf8 = true, .allow_literal = false});
    if (!domain) return false;
    folded = domain->ascii();
  }
  if (has(folded)) return true;
  for (std::size_t dot = folded.find('.'); dot != folded.npos; dot = folded.find('.', dot + 1))
    if (has(std::string_view(folded).substr(dot))) return true;
  return false;
}

std::size_t DomainSet::memory() const {
  return text_.capacity() + begins_.capacity() * sizeof begins_[0];
}

}  // namespace postern::lua
