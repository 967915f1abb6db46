#include "core/net/sim_runtime.h"

#include "core/net/sim_listen.h"

namespace postern {

SimClient::~SimClient() = default;
SimListener::~SimListener() = default;

SimRuntime::SimRuntime(SimOptions options) : world_(std::make_unique<SimWorld>(options)) {}
SimRuntime::~SimRuntime() = default;

unsigned SimRuntime::workers() const {
  return static_cast<unsigned>(world_->workers.size());
}
Executor& SimRuntime::worker(unsigned index) {
  return *world_->workers[index];
}

Result<std::unique_ptr<BoundEndpoint>> SimRuntime::bind(const Endpoint& endpoint, unsigned) {
  auto binding = world_->bind(endpoint);
  if (!binding) return std::unexpected(binding.error());
  return std::make_unique<SimBoundEndpoint>(std::move(*binding));
}

std::unique_ptr<Lane> SimRuntime::make_lane(std::string) {
  return std::make_unique<SimLane>(*world_);
}

void SimRuntime::run() {
  world_->run({}, true, {});
}
void SimRuntime::stop() {
  world_->stopping = true;
}
Instant SimRuntime::now() const {
  return world_->now();
}
void SimRuntime::run_until_idle() {
  world_->run({}, false, {});
}
void SimRuntime::run_for(Duration duration) {
  world_->run(world_->now() + duration, true, {});
}

bool SimRuntime::run_until(const std::function<bool()>& done, Duration limit) {
  world_->run(world_->now() + limit, true, done);
  return done();
}

std::uint64_t SimRuntime::events() const {
  return world_->events_run;
}

std::unique_ptr<SimClient> SimRuntime::connect(const Endpoint& to, std::optional<Endpoint> from) {
  return make_sim_client(*world_, to, std::move(from));
}

std::unique_ptr<SimListener> SimRuntime::listen(const Endpoint& endpoint) {
  auto binding = world_->bind(endpoint);
  if (!binding) throw Error(binding.error().detail);
  return make_sim_listener(std::move(*binding));
}

void SimRuntime::black_hole(const Endpoint& endpoint, bool on) {
  if (on) {
    world_->black_holes.insert(endpoint.to_string());
  } else {
    world_->black_holes.erase(endpoint.to_string());
  }
}

SimOptions& SimRuntime::options() {
  return world_->options;
}

}  // namespace postern
