#include "routes.h"

#include "postern/envelope.h"
#include "postern/error.h"

namespace postern::queue {

namespace {

std::vector<Duration> waits_of(const std::string& text) {
  auto waits = parse_schedule(text);
  if (!waits) throw Error("queue: a schedule was not checked: " + text);
  return std::move(*waits);
}

}  // namespace

Routes::Routes(const QueueSettings& settings)
    : base_{.schedule = {waits_of(settings.retry), settings.give_up_after, settings.warn_after, settings.jitter},
            .concurrency = settings.destination_concurrency,
            .release = {}} {
  for (const auto& [name, given] : settings.routes) {
    Route route = base_;
    if (given.retry) route.schedule.retry = waits_of(*given.retry);
    route.schedule.give_up_after = given.give_up_after.value_or(route.schedule.give_up_after);
    route.schedule.warn_after = given.warn_after.value_or(route.schedule.warn_after);
    route.concurrency = given.concurrency.value_or(route.concurrency);
    if (given.release) {
      auto rule = parse_release(*given.release);
      if (!rule) throw Error("queue: a release rule was not checked: " + *given.release);
      route.release = *rule;
      if (!name.starts_with('.')) collecting_.emplace(destination_hash(name), true);
    }
    routes_.insert_or_assign(name, std::move(route));
  }
}

const Route& Routes::of(std::string_view destination) const {
  if (routes_.empty()) return base_;
  if (const auto own = routes_.find(destination); own != routes_.end()) return own->second;
  for (std::size_t dot = destination.find('.'); dot != destination.npos; dot = destination.find('.', dot + 1))
    if (const auto above = routes_.find(destination.substr(dot)); above != routes_.end()) return above->second;
  return base_;
}

}  // namespace postern::queue
