#include "core/net/sim_world.h"

#include <algorithm>

#include "core/net/sim_listen.h"
#include "core/net/sim_socket.h"

namespace postern {
namespace {

/// Not zero, so that an instant that nobody has set is seen.
constexpr Instant kBegin = Instant(1h);
/// What a turn of a loop takes: work that posts itself for the next turn lets time pass.
constexpr Duration kTurn = 1us;
constexpr std::uint16_t kFirstEphemeral = 40000;

}  // namespace

SimWorld::SimWorld(SimOptions with) : options(with), random_(with.seed), now_(kBegin), began_(kBegin) {
  for (unsigned i = 0; i < std::max(1U, options.workers); ++i) workers.push_back(std::make_unique<SimWorker>(i, *this));
}

SimWorld::~SimWorld() = default;

WallTime SimWorld::wall() const {
  return options.start + std::chrono::duration_cast<std::chrono::microseconds>(now_ - began_);
}

void SimWorld::schedule(Instant at, Work work) {
  events_.push_back(Event{std::max(at, now_), next_order_++, std::move(work)});
  std::push_heap(events_.begin(), events_.end());
}

Duration SimWorld::latency() {
  const auto range = std::max<std::int64_t>(1, (options.max_latency - options.min_latency).count());
  return options.min_latency + Duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(range))));
}

Duration SimWorld::job_time() {
  const auto range = std::max<std::int64_t>(1, options.max_job_time.count());
  return Duration(1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(range))));
}

void SimWorld::run_ready() {
  bool more = true;
  while (more) {
    more = false;
    for (const auto& worker : workers) more = worker->run_ready() || more;
  }
}

std::optional<Instant> SimWorld::next_timer() const {
  std::optional<Instant> first;
  for (const auto& worker : workers) {
    const auto next = worker->wheel().next_expiry();
    if (next && (!first || *next < *first)) first = next;
  }
  return first;
}

void SimWorld::fire_timers(Instant at) {
  now_ = std::max(now_, at);
  ++events_run;
  for (const auto& worker : workers) {
    worker->wheel().advance(now_);
    run_ready();
  }
}

void SimWorld::run_event() {
  std::pop_heap(events_.begin(), events_.end());
  Event event = std::move(events_.back());
  events_.pop_back();
  now_ = event.at;
  ++events_run;
  event.work();
  run_ready();
}

void SimWorld::run(std::optional<Instant> end, bool with_timers, const std::function<bool()>& done) {
  run_ready();
  while (!stopping && !(done && done())) {
    const auto timer = next_timer();
    const bool event_first = !events_.empty() && (!timer || events_.front().at <= *timer);
    if (!event_first && (!timer || (!with_timers && events_.empty()))) break;
    const Instant next = event_first ? events_.front().at : *timer;
    if (end && next > *end) break;
    if (event_first) {
      run_event();
    } else {
      fire_timers(next);
    }
  }
  if (end && !stopping && !(done && done())) now_ = std::max(now_, *end);
  stopping = false;  // stop() ends one run
}

std::shared_ptr<SimBinding> SimWorld::find(const Endpoint& to) const {
  const auto look = [this](const Endpoint& at) {
    const auto found = bindings.find(at.to_string());
    return found == bindings.end() ? nullptr : found->second.lock();
  };
  if (auto exact = look(to); exact || to.is_unix()) return exact;
  const IpAddress any = to.ip.is_v6() ? IpAddress::v6({}) : IpAddress::v4(0);
  return look(Endpoint{any, to.port, {}});
}

Result<std::shared_ptr<SimBinding>> SimWorld::bind(Endpoint endpoint) {
  const auto taken = [this](const Endpoint& at) {
    const auto found = bindings.find(at.to_string());
    return found != bindings.end() && !found->second.expired();
  };
  if (!endpoint.is_unix() && endpoint.port == 0) {
    do {
      endpoint.port = next_port_++;
      if (next_port_ == 0) next_port_ = kFirstEphemeral;
    } while (taken(endpoint));
  }
  if (taken(endpoint)) return fault("listen.in_use", "bind " + endpoint.to_string() + ": in use");
  auto binding = std::make_shared<SimBinding>(*this, endpoint);
  bindings[endpoint.to_string()] = binding;
  return binding;
}

Endpoint SimWorld::client_endpoint(const Endpoint& to, const std::optional<IpAddress>& from) {
  if (to.is_unix()) return Endpoint{{}, 0, "(unnamed)"};
  const std::uint16_t port = next_port_++;
  if (next_port_ == 0) next_port_ = kFirstEphemeral;
  if (from) return Endpoint{*from, port, {}};
  return Endpoint{*IpAddress::parse(to.ip.is_v6() ? "::1" : "127.0.0.1"), port, {}};
}

void SimWorld::begin_connect(Endpoint to, Endpoint from,
                             std::move_only_function<void(std::shared_ptr<SimEnd>, int)> done) {
  if (black_holes.contains(to.to_string())) return;
  schedule_after(latency(), [this, to = std::move(to), from = std::move(from), tell = std::move(done)]() mutable {
    const auto binding = find(to);
    if (!binding || random_.chance(options.refuse_chance)) return tell(nullptr, ECONNREFUSED);
    auto [ours, theirs] = SimEnd::make_pair(*this, from, to);
    if (!binding->arrive(std::move(theirs))) return tell(nullptr, ECONNREFUSED);
    tell(std::move(ours), 0);
  });
}

// ---- a worker ----

SimWorker::SimWorker(unsigned index, SimWorld& world)
    : Executor(index), world_(world), wheel_(world.now()), random_(world.random().next()) {}

bool SimWorker::run_ready() {
  bool any = false;
  while (Runnable* work = ready_.pop()) {
    any = true;
    work->run();
  }
  return any;
}

void SimWorker::post_later(Runnable& work) {
  world_.schedule_after(kTurn, [&work] { work.run(); });
}

void SimWorker::post_remote(Runnable& work) {
  last_remote_ = std::max(last_remote_, world_.now() + world_.latency());
  world_.schedule(last_remote_, [&work] { work.run(); });
}

void SimWorker::submit(Pool pool, Runnable& work) {
  std::size_t& waiting = world_.jobs_waiting[static_cast<std::size_t>(pool)];
  if (waiting >= world_.options.pool_queue) throw Overloaded("pool queue is full");
  ++waiting;
  world_.schedule_after(world_.job_time(), [&waiting, &work] {
    --waiting;
    work.run();
  });
}

std::unique_ptr<FdWatch> SimWorker::watch(int, std::function<void(bool readable, bool writable)>) {
  throw Error("the simulation has no foreign descriptors");
}

}  // namespace postern
