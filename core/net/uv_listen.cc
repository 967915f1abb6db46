#include "core/net/uv_listen.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/net/uv_connect.h"
#include "core/net/uv_socket.h"

namespace postern {
namespace {

constexpr int kAcceptBatch = 32;
constexpr Duration kShortage = 100ms;

/// A Unix connection on its way to the worker whose turn it is.
class Handoff final : public Runnable {
 public:
  Handoff(std::shared_ptr<UvListenSockets> sockets, unsigned seat, int fd)
      : sockets_(std::move(sockets)), seat_(seat), detached_(std::make_unique<UvDetachedSocket>(fd, true)) {}
  void run() override;

 private:
  std::shared_ptr<UvListenSockets> sockets_;
  unsigned seat_;
  std::unique_ptr<DetachedSocket> detached_;
};

}  // namespace

class UvAcceptor final : public Acceptor, private TimerNode {
 public:
  UvAcceptor(UvExecutor& executor, std::shared_ptr<UvListenSockets> sockets, AcceptEvents& events)
      : executor_(executor), sockets_(std::move(sockets)), events_(events) {
    if (sockets_->endpoint.is_unix()) {
      UvListenSockets::Seat& seat = sockets_->seats[executor_.index()];
      seat.acceptor = this;
      seat.executor = &executor_;
      listens_ = !sockets_->listener_claimed.exchange(true);
    }
    try {
      if (listens_) listen();
    } catch (...) {
      leave();
      throw;
    }
    resume();
  }

  ~UvAcceptor() override {
    if (gone_ != nullptr) *gone_ = true;
    leave();
  }

  void pause() override {
    paused_ = true;
    take(false);
  }

  void resume() override {
    paused_ = false;
    take(true);
  }

  void deliver(std::unique_ptr<DetachedSocket> detached) {
    std::unique_ptr<Socket> socket;
    try {
      socket = executor_.adopt(std::move(detached));
    } catch (const Error&) {
      return;  // the descriptor is closed; its peer sees that
    }
    events_.on_connection(std::move(socket));
  }

 private:
  void listen() {
    const bool is_unix = sockets_->endpoint.is_unix();
    fd_ = sockets_->fds[is_unix ? 0 : executor_.index()];
    if (::listen(fd_, executor_.shared().backlog) != 0)
      throw Error(fmt::format("listen on {}: {}", sockets_->endpoint.to_string(), std::strerror(errno)));
    watch_ = make_uv_watch(executor_, fd_, [this](bool, bool) { accept_batch(); });
  }

  void leave() {
    executor_.disarm(*this);
    if (!sockets_->endpoint.is_unix()) return;
    UvListenSockets::Seat& seat = sockets_->seats[executor_.index()];
    seat.taking.store(false);
    seat.acceptor = nullptr;
    if (listens_) sockets_->listener_claimed.store(false);
  }

  void take(bool on) {
    if (watch_ != nullptr) watch_->update(on && !armed(), false);
    if (sockets_->endpoint.is_unix()) sockets_->seats[executor_.index()].taking.store(on, std::memory_order_release);
  }

  void accept_batch() {
    bool gone = false;  // on_connection may destroy this
    gone_ = &gone;
    for (int i = 0; i < kAcceptBatch && !paused_; ++i) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) wait_for_room();
        break;
      }
      hand_on(fd);
      if (gone) return;
    }
    gone_ = nullptr;
  }

  /// Out of descriptors or memory: connections wait in the backlog while ours end.
  void wait_for_room() {
    watch_->update(false, false);
    executor_.arm(*this, executor_.now() + kShortage);
  }

  void fire() override {
    if (!paused_) watch_->update(true, false);
  }

  void hand_on(int fd) {
    const bool is_unix = sockets_->endpoint.is_unix();
    const unsigned seats = static_cast<unsigned>(sockets_->seats.size());
    for (unsigned i = 0; is_unix && i < seats; ++i) {
      const unsigned seat = next_seat_++ % seats;
      if (!sockets_->seats[seat].taking.load(std::memory_order_acquire)) continue;
      if (seat == executor_.index()) break;
      return sockets_->seats[seat].executor->post_remote(*new Handoff(sockets_, seat, fd));
    }
    deliver(std::make_unique<UvDetachedSocket>(fd, is_unix));
  }

  UvExecutor& executor_;
  std::shared_ptr<UvListenSockets> sockets_;
  AcceptEvents& events_;
  std::unique_ptr<FdWatch> watch_;
  int fd_ = -1;
  unsigned next_seat_ = 0;
  bool listens_ = true;
  bool paused_ = false;
  bool* gone_ = nullptr;  ///< set while a batch is accepted
};

void Handoff::run() {
  std::unique_ptr<Handoff> self(this);
  if (UvAcceptor* acceptor = sockets_->seats[seat_].acceptor) acceptor->deliver(std::move(detached_));
}

std::unique_ptr<Acceptor> make_uv_acceptor(UvExecutor& executor, UvBoundEndpoint& bound, AcceptEvents& events) {
  return std::make_unique<UvAcceptor>(executor, bound.sockets(), events);
}

}  // namespace postern
