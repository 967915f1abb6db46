#include "routes.h"

#include <algorithm>

namespace postern::relay {

Routes::Routes(const std::vector<RouteSettings>& settings) {
  for (const RouteSettings& one : settings) {
    Route route{one, {}, {}};
    for (const std::string& text : one.to)
      if (auto hop = parse_next_hop(text)) route.hops.push_back(std::move(*hop));
    for (const std::string& text : one.senders)
      if (auto pattern = Pattern::parse(text)) route.senders.push_back(std::move(*pattern));
    const std::size_t number = routes_.size();
    for (const std::string& text : one.domains) {
      auto pattern = Pattern::parse(text);
      if (!pattern) continue;
      if (const std::string* domain = pattern->domain())
        exact_[*domain].push_back(number);
      else
        open_.push_back({std::move(*pattern), number});
    }
    if (one.domains.empty() && !one.senders.empty()) open_.push_back({Pattern(), number});
    routes_.push_back(std::move(route));
  }
}

bool Route::sender_fits(const Address& sender) const {
  return senders.empty() || std::ranges::any_of(senders, [&](const Pattern& one) { return one.fits(sender); });
}

const Route* Routes::find(const Address& sender, const Address& recipient) const {
  std::size_t best = routes_.size();
  if (const auto found = exact_.find(recipient.domain().ascii()); found != exact_.end())
    for (const std::size_t number : found->second)
      if (number < best && routes_[number].sender_fits(sender)) best = number;
  for (const Open& one : open_) {
    if (one.route >= best) break;
    if (one.pattern.fits(recipient) && routes_[one.route].sender_fits(sender)) best = one.route;
  }
  return best == routes_.size() ? nullptr : &routes_[best];
}

const Route* Routes::named(std::string_view name) const {
  const auto found = std::ranges::find_if(routes_, [&](const Route& one) { return one.settings.name == name; });
  return found == routes_.end() ? nullptr : &*found;
}

}  // namespace postern::relay
