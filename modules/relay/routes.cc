#include "routes.h"

#include <algorithm>

namespace postern::relay {

Routes::Routes(const std::vector<RouteSettings>& settings) {
  for (const RouteSettings& one : settings) {
    Route route{one, {}};
    for (const std::string& text : one.to)
      if (auto hop = parse_next_hop(text)) route.hops.push_back(std::move(*hop));
    const std::size_t number = routes_.size();
    for (const std::string& pattern : one.domains) {
      const bool exact = pattern != "*" && pattern != "<>" && pattern.find('@') == pattern.npos && pattern[0] != '.';
      const auto domain = exact ? Domain::parse(pattern) : Parsed<Domain>(Domain());
      if (exact && domain)
        exact_[domain->ascii()].push_back(number);
      else
        open_.push_back({pattern, number});
    }
    if (one.domains.empty() && !one.senders.empty()) open_.push_back({"*", number});
    routes_.push_back(std::move(route));
  }
}

bool Routes::sender_fits(const Route& route, const Address& sender) const {
  const auto& senders = route.settings.senders;
  return senders.empty() || std::ranges::any_of(senders, [&](const auto& pattern) { return fits(sender, pattern); });
}

const Route* Routes::find(const Address& sender, const Address& recipient) const {
  std::size_t best = routes_.size();
  if (const auto found = exact_.find(recipient.domain().ascii()); found != exact_.end())
    for (const std::size_t number : found->second)
      if (number < best && sender_fits(routes_[number], sender)) best = number;
  for (const Open& one : open_) {
    if (one.route >= best) break;
    if (fits(recipient, one.pattern) && sender_fits(routes_[one.route], sender)) best = one.route;
  }
  return best == routes_.size() ? nullptr : &routes_[best];
}

const Route* Routes::named(std::string_view name) const {
  const auto found = std::ranges::find_if(routes_, [&](const Route& one) { return one.settings.name == name; });
  return found == routes_.end() ? nullptr : &*found;
}

}  // namespace postern::relay
