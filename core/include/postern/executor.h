// The world as one worker sees it: its loop, timers, sockets, pools and clocks.
//
// Everything above the core waits through this interface, never on the system itself, so that it runs unchanged on
// libuv (core/net/uv_runtime.cc) and in a simulation with virtual time and seeded faults (core/net/sim_runtime.cc).
//
// Thread: an Executor belongs to one worker thread; only post_remote() may be called from another one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

/// Work that can stand in a queue without an allocation. Its owner keeps it alive until run() has been entered.
class Runnable {
 public:
  virtual void run() = 0;
  Runnable* next = nullptr;  ///< for the queue that holds it

 protected:
  ~Runnable() = default;
};

/// A timer; embed it in what waits. Armed at most once at a time; disarm before destruction.
class TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  bool armed() const { return next_ != nullptr; }

 protected:
  virtual void fire() = 0;
  ~TimerNode() = default;

 private:
  friend class TimerWheel;
  TimerNode* next_ = nullptr;
  TimerNode* prev_ = nullptr;
  std::uint64_t tick_ = 0;
  std::uint16_t slot_ = 0;
};

/// What a Socket tells its owner. All calls come from the loop, never from inside a call into the socket.
class SocketEvents {
 public:
  /// Room for incoming octets; an empty span pauses reading until resume_reading().
  virtual std::span<char> on_room(std::size_t suggested) = 0;
  virtual void on_data(std::size_t octets) = 0;
  virtual void on_end(int error) = 0;      ///< 0: the peer ended its side; else an errno
  virtual void on_written(int error) = 0;  ///< all octets given to write() are with the system; 0 or an errno

 protected:
  ~SocketEvents() = default;
};

/// A connected byte transport on one loop. Destruction closes it, and no event comes after that.
class Socket {
 public:
  virtual ~Socket();
  virtual void start(SocketEvents& events) = 0;  ///< begins reading
  virtual void resume_reading() = 0;
  /// Takes what the system takes at once, without waiting. Returns octets taken (0 when it would wait) or -errno.
  virtual std::ptrdiff_t try_write(std::span<const std::string_view> parts) = 0;
  /// Takes the octets over and answers by on_written(). One at a time.
  virtual void write(std::string octets) = 0;
  virtual void shutdown() = 0;  ///< ends our side after what was written
  virtual void reset() = 0;     ///< ends at once, without lingering (RST)
  virtual Endpoint local() const = 0;
  virtual Endpoint peer() const = 0;
  /// Gives the connection up so that another worker's Executor::adopt() can take it. The socket is dead afterwards.
  virtual std::unique_ptr<class DetachedSocket> detach() = 0;
  virtual std::uint32_t peer_uid() const { return ~0U; }  ///< of a Unix socket's peer (SO_PEERCRED)
};

/// A connection between two workers. Destruction closes it.
class DetachedSocket {
 public:
  virtual ~DetachedSocket();
};

/// An address that has been bound (while privileged) and waits for workers to accept on it.
class BoundEndpoint {
 public:
  virtual ~BoundEndpoint();
  virtual Endpoint endpoint() const = 0;  ///< with the port that the system chose when 0 was asked for
};

/// Told of each new connection on the loop's thread.
class AcceptEvents {
 public:
  virtual void on_connection(std::unique_ptr<Socket> socket) = 0;

 protected:
  ~AcceptEvents() = default;
};

/// Accepting on one worker; destruction stops it.
class Acceptor {
 public:
  virtual ~Acceptor();
  virtual void pause() = 0;  ///< leaves connections in the system's backlog (overload, drain)
  virtual void resume() = 0;
};

/// The end of an asynchronous connect.
class ConnectEvents {
 public:
  virtual void on_connected(std::unique_ptr<Socket> socket, int error) = 0;

 protected:
  ~ConnectEvents() = default;
};

/// A connect under way; destruction abandons it.
class Connecting {
 public:
  virtual ~Connecting();
};

/// Watches a foreign descriptor (c-ares) for readiness; destruction ends it.
class FdWatch {
 public:
  virtual ~FdWatch();
  virtual void update(bool readable, bool writable) = 0;
};

enum class Pool : std::uint8_t { kDisk, kCpu };

/// A thread that runs what it is given one after the other: the spool's journal, a log writer.
class Lane {
 public:
  virtual ~Lane();
  virtual void post(Runnable& work) = 0;  ///< any thread
};

class Executor {
 public:
  virtual ~Executor();

  unsigned index() const { return index_; }  ///< of the worker, from 0

  virtual Instant now() const = 0;    ///< taken once per turn of the loop
  virtual WallTime wall() const = 0;  ///< likewise
  virtual std::uint64_t random() = 0;

  virtual void post(Runnable& work) = 0;         ///< runs in this turn of the loop, after the present callback
  virtual void post_later(Runnable& work) = 0;   ///< runs in the next turn, so that others come first
  virtual void post_remote(Runnable& work) = 0;  ///< any thread; runs on this loop

  virtual void arm(TimerNode& timer, Instant when) = 0;
  virtual void disarm(TimerNode& timer) = 0;  ///< harmless when not armed

  virtual std::unique_ptr<Acceptor> accept(BoundEndpoint& bound, AcceptEvents& events) = 0;
  struct ConnectOptions {
    Endpoint to;
    std::optional<IpAddress> from;  ///< source address
  };
  virtual std::unique_ptr<Connecting> connect(const ConnectOptions& options, ConnectEvents& events) = 0;
  virtual std::unique_ptr<Socket> adopt(std::unique_ptr<DetachedSocket> detached) = 0;
  virtual std::unique_ptr<FdWatch> watch(int fd, std::function<void(bool readable, bool writable)> ready) = 0;

  /// Runs work on a pool's thread. Throws Overloaded when the pool's queue is full.
  virtual void submit(Pool pool, Runnable& work) = 0;

  /// Posts a closure (one allocation); for what is not hot.
  void post_fn(std::function<void()> fn);
  void post_remote_fn(std::function<void()> fn);  ///< any thread

 protected:
  explicit Executor(unsigned index) : index_(index) {}

 private:
  unsigned index_;
};

/// All workers of a process, and what they share.
class Runtime {
 public:
  virtual ~Runtime();
  virtual unsigned workers() const = 0;
  virtual Executor& worker(unsigned index) = 0;
  Executor& owner_of(std::uint64_t key_hash) { return worker(static_cast<unsigned>(key_hash % workers())); }
  /// Binds an address for all workers; call while still privileged. `unix_mode`: permissions of a Unix socket's file.
  virtual Result<std::unique_ptr<BoundEndpoint>> bind(const Endpoint& endpoint, unsigned unix_mode = 0600) = 0;
  virtual std::unique_ptr<Lane> make_lane(std::string name) = 0;
  /// Runs until stop(); the caller's thread is worker 0.
  virtual void run() = 0;
  virtual void stop() = 0;  ///< any thread
  /// Calls `handler` on worker 0 whenever the process gets `signal`; ask before run(). The simulation has no signals.
  virtual void on_signal(int signal, std::function<void()> handler);
};

struct RuntimeOptions {
  unsigned workers = 0;  ///< 0: one per core
  /// Each worker keeps to its own core, when there are as many workers as cores that the process may use.
  bool pin_workers = true;
  unsigned disk_threads = 4;
  unsigned cpu_threads = 2;
  unsigned pool_queue = 4096;  ///< jobs waiting per pool
  int backlog = 1024;
};
std::unique_ptr<Runtime> make_uv_runtime(RuntimeOptions options);

}  // namespace postern
