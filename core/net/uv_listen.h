// Listening on libuv: binding for all workers, and accepting on each.
//
// TCP: one SO_REUSEPORT socket per worker, bound together while the process is privileged, so that the kernel spreads
// connections and workers share nothing. Unix sockets have no such thing: the first worker that accepts listens, and
// hands descriptors round-robin to all workers that accept on the same address.
//
// Accepting stands on uv_poll and accept4 instead of uv_listen: libuv 1.44 sleeps a moment after each accept and, out
// of descriptors, accepts and closes whoever waits. Here a lack of descriptors or memory (EMFILE, ENFILE, ENOBUFS,
// ENOMEM) pauses for kShortage; who waits stays in the system's backlog.
//
// Errors: bind answers "listen.*" faults. A Unix path is taken over only from a socket that nobody answers on.
// Limits: at most kAcceptBatch connections per turn, so that sessions under way get theirs.
// Owner:  sockets close when the BoundEndpoint and all its Acceptors are gone; until then the system queues for them.
// Thread: bind on the main thread before run(); each Acceptor on its worker.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/net/uv_loop.h"

namespace postern {

class UvAcceptor;

/// The descriptors of one address, shared by its BoundEndpoint and Acceptors.
struct UvListenSockets {
  /// How one worker takes part in a Unix socket.
  struct Seat {
    std::atomic<bool> taking{false};  ///< its acceptor lives and is not paused
    UvAcceptor* acceptor = nullptr;   ///< touched by that worker only
    UvExecutor* executor = nullptr;   ///< written before `taking`
  };

  explicit UvListenSockets(unsigned workers) : seats(workers) {}
  ~UvListenSockets();

  Endpoint endpoint;
  std::vector<int> fds;  ///< one per worker for TCP, one for Unix
  std::vector<Seat> seats;
  std::atomic<bool> listener_claimed{false};  ///< Unix: some worker listens
  dev_t device = 0;                           ///< Unix: of the socket's file, so that only our own is unlinked
  ino_t inode = 0;
};

class UvBoundEndpoint final : public BoundEndpoint {
 public:
  explicit UvBoundEndpoint(std::shared_ptr<UvListenSockets> sockets) : sockets_(std::move(sockets)) {}
  Endpoint endpoint() const override { return sockets_->endpoint; }
  const std::shared_ptr<UvListenSockets>& sockets() const { return sockets_; }

 private:
  std::shared_ptr<UvListenSockets> sockets_;
};

Result<std::unique_ptr<BoundEndpoint>> uv_bind(const Endpoint& endpoint, unsigned unix_mode, unsigned workers);

/// Throws Error when the system refuses to listen.
std::unique_ptr<Acceptor> make_uv_acceptor(UvExecutor& executor, UvBoundEndpoint& bound, AcceptEvents& events);

}  // namespace postern
