// A simulated world: the same Runtime and Executor as on libuv, on one thread, in virtual time, repeatable by its seed.
//
// Sockets are memory, with seeded latency; what arrives is cut into odd pieces, writes are taken in part, connections
// fail when asked for. Pools and lanes run their work after seeded delays. A test of a protocol or of a whole server
// runs thousands of virtual seconds in a real one, and a failure is found again by its seed.
//
//   SimRuntime sim({.seed = 7, .workers = 2});
//   auto bound = sim.bind(*Endpoint::parse("192.0.2.1:25"));
//   ... the server accepts on sim.worker(0) ...
//   auto client = sim.connect((*bound)->endpoint());
//   client->send("EHLO there\r\n");
//   sim.run_until_idle();
//   CHECK(client->received() == "220 ...");
//
// Limits: no foreign descriptors (watch() throws), no signals, no threads: everything is called from one.
// Owner:  sockets, acceptors, clients and lanes end before their SimRuntime.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "postern/executor.h"

namespace postern {

struct SimOptions {
  std::uint64_t seed = 1;
  unsigned workers = 1;
  Duration min_latency = 20us;  ///< of one way of a connection, and of messages between workers
  Duration max_latency = 2ms;
  Duration max_job_time = 5ms;     ///< of a job in a pool or lane
  double split_chance = 0.5;       ///< that a piece of data is cut once more, or a write taken only in part
  double reset_chance = 0;         ///< that a piece of data resets its connection instead of arriving
  double refuse_chance = 0;        ///< that a connect is refused although somebody listens
  std::size_t window = 64 * 1024;  ///< octets of a connection that may be unread before writes wait
  unsigned pool_queue = 4096;
  std::size_t backlog = 1024;
  std::uint32_t unix_peer_uid = 0;
  WallTime start = WallTime(std::chrono::seconds(1767225600));  ///< 2026-01-01
};

class SimWorld;

/// The test's end of a connection; it has no worker and no coroutines.
class SimClient {
 public:
  virtual ~SimClient();                            ///< closes at once; what has not gone out yet is lost
  virtual void send(std::string_view octets) = 0;  ///< may be called before the connection stands
  virtual void finish() = 0;                       ///< ends our side after what was sent
  virtual void close() = 0;                        ///< after what was sent has gone out
  virtual void reset() = 0;
  virtual void pause_reading(bool paused) = 0;  ///< a peer that does not read
  virtual bool connected() const = 0;
  virtual bool ended() const = 0;  ///< the peer ended its side, or the connection failed
  virtual int error() const = 0;   ///< errno of a failed connection, else 0
  virtual const std::string& received() const = 0;
  virtual std::string take() = 0;  ///< what was received since the last take()
  virtual Endpoint local() const = 0;
};

/// The test's server at an address (a smarthost to deliver to).
class SimListener {
 public:
  virtual ~SimListener();
  virtual Endpoint endpoint() const = 0;
  /// The next connection that has come, oldest first; null when there is none.
  virtual std::unique_ptr<SimClient> accept() = 0;
};

class SimRuntime final : public Runtime {
 public:
  explicit SimRuntime(SimOptions options = {});
  ~SimRuntime() override;

  unsigned workers() const override;
  Executor& worker(unsigned index) override;
  /// Port 0 gives a free one. Faults: "listen.in_use".
  Result<std::unique_ptr<BoundEndpoint>> bind(const Endpoint& endpoint, unsigned unix_mode = 0600) override;
  std::unique_ptr<Lane> make_lane(std::string name) override;
  /// Runs until stop(), or until nothing is left that could ever happen, timers included.
  void run() override;
  void stop() override;

  Instant now() const;
  /// Runs until nothing happens any more without a timer; timers that come due on the way fire.
  void run_until_idle();
  /// Runs what happens within `duration`, timers included; the clock stands at its end afterwards.
  void run_for(Duration duration);
  /// Runs until `done` says so, at most for `limit`. True when it did.
  bool run_until(const std::function<bool()>& done, Duration limit);
  /// Events run so far, to compare two runs of one seed.
  std::uint64_t events() const;

  std::unique_ptr<SimClient> connect(const Endpoint& to, std::optional<Endpoint> from = {});
  std::unique_ptr<SimListener> listen(const Endpoint& endpoint);
  /// Connects to this address get no answer at all, as behind a silent firewall.
  void black_hole(const Endpoint& endpoint, bool on = true);
  /// Changes the chances from here on, for faults in the middle of a test.
  SimOptions& options();

 private:
  std::unique_ptr<SimWorld> world_;
};

}  // namespace postern
