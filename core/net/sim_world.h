// The inside of the simulation: the queue of events in virtual time, and the workers.
//
// An event is a closure with an instant; equal instants run in the order of scheduling, so a seed fixes a whole run.
// After each event the work posted meanwhile runs, as at the end of a turn on libuv.
//
// Thread: one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "core/net/run_queue.h"
#include "core/runtime/timer_wheel.h"
#include "postern/random.h"
#include "postern/sim.h"

namespace postern {

class SimEnd;
class SimWorker;
struct SimBinding;

class SimWorld {
 public:
  using Work = std::move_only_function<void()>;

  explicit SimWorld(SimOptions options);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  Instant now() const { return now_; }
  WallTime wall() const;
  void schedule(Instant at, Work work);
  void schedule_after(Duration delay, Work work) { schedule(now_ + delay, std::move(work)); }
  Duration latency();
  Duration job_time();
  Prng& random() { return random_; }

  /// Runs all that comes until `end`, then stands there. Without an end: until idle; timers count if `with_timers`.
  void run(std::optional<Instant> end, bool with_timers, const std::function<bool()>& done);
  void run_ready();  ///< what has been posted on any worker

  std::shared_ptr<SimBinding> find(const Endpoint& to) const;
  Result<std::shared_ptr<SimBinding>> bind(Endpoint endpoint);
  void begin_connect(Endpoint to, Endpoint from, std::move_only_function<void(std::shared_ptr<SimEnd>, int)> done);
  Endpoint client_endpoint(const Endpoint& to, const std::optional<IpAddress>& from);

  SimOptions options;
  std::vector<std::unique_ptr<SimWorker>> workers;
  std::map<std::string, std::weak_ptr<SimBinding>> bindings;  ///< by the endpoint's text
  std::set<std::string> black_holes;
  std::size_t jobs_waiting[2] = {};  ///< by Pool
  bool stopping = false;
  std::uint64_t events_run = 0;

 private:
  struct Event {
    Instant at;
    std::uint64_t order;
    Work work;
    bool operator<(const Event& other) const {  // a heap's top is its greatest: the earliest
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  std::optional<Instant> next_timer() const;
  void fire_timers(Instant at);
  void run_event();

  Prng random_;
  Instant now_;
  Instant began_;
  std::vector<Event> events_;
  std::uint64_t next_order_ = 0;
  std::uint16_t next_port_ = 40000;
};

class SimWorker final : public Executor {
 public:
  SimWorker(unsigned index, SimWorld& world);
  Instant now() const override { return world_.now(); }
  WallTime wall() const override { return world_.wall(); }
  std::uint64_t random() override { return random_.next(); }
  void post(Runnable& work) override { ready_.push(work); }
  void post_later(Runnable& work) override;
  void post_remote(Runnable& work) override;
  void arm(TimerNode& timer, Instant when) override { wheel_.arm(timer, when); }
  void disarm(TimerNode& timer) override { wheel_.disarm(timer); }
  std::unique_ptr<Acceptor> accept(BoundEndpoint& bound, AcceptEvents& events) override;
  std::unique_ptr<Connecting> connect(const ConnectOptions& options, ConnectEvents& events) override;
  std::unique_ptr<Socket> adopt(std::unique_ptr<DetachedSocket> detached) override;
  std::unique_ptr<FdWatch> watch(int fd, std::function<void(bool readable, bool writable)> ready) override;
  void submit(Pool pool, Runnable& work) override;

  TimerWheel& wheel() { return wheel_; }
  bool run_ready();  ///< true when there was something

 private:
  SimWorld& world_;
  RunQueue ready_;
  TimerWheel wheel_;
  Prng random_;
  Instant last_remote_{};  ///< messages from other threads keep their order
};

}  // namespace postern
