#include "core/net/uv_connect.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/uv_address.h"
#include "core/net/uv_socket.h"

namespace postern {
namespace {

class UvConnecting;

/// The request outlives an abandoned Connecting until libuv (or the queue) has returned it.
struct ConnectOp final : Runnable {
  void run() override { finish(error); }
  void finish(int with_error);

  uv_connect_t request{};
  UvExecutor* executor = nullptr;
  UvConnecting* owner = nullptr;
  int error = 0;
};

class UvConnecting final : public Connecting {
 public:
  UvConnecting(UvExecutor& executor, ConnectEvents& events) : events_(events), op_(new ConnectOp) {
    op_->executor = &executor;
    op_->owner = this;
    op_->request.data = op_;
  }
  ~UvConnecting() override {
    if (op_ != nullptr) op_->owner = nullptr;
  }

  void begin(const Executor::ConnectOptions& options) {
    const int status = options.to.is_unix() ? begin_unix(options) : begin_tcp(options);
    if (status == 0) return;
    op_->error = status;
    op_->executor->post(*op_);
  }

  void finish(int error) {
    op_ = nullptr;
    std::unique_ptr<UvSocket> socket = std::move(socket_);
    if (error != 0) socket.reset();
    events_.on_connected(std::move(socket), error);  // may destroy this
  }

 private:
  static void done(uv_connect_t* request, int status) {
    auto* op = static_cast<ConnectOp*>(request->data);
    UvExecutor::Turn turn(*op->executor);
    op->finish(-status);
  }

  int begin_unix(const Executor::ConnectOptions& options) {
    socket_ = UvSocket::unconnected_unix(*op_->executor);
    uv_pipe_connect(&op_->request, socket_->pipe(), options.to.path.c_str(), done);
    return 0;
  }

  int begin_tcp(const Executor::ConnectOptions& options) {
    const RawAddress to(options.to);
    const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options.from) {
      // The port is chosen at connect, when the pair is known, so that one source address carries more than 28,000.
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      const RawAddress from(Endpoint{*options.from, 0, {}});
      if (::bind(fd, from.get(), from.size()) != 0) {
        const int error = errno;
        ::close(fd);
        return error;
      }
    }
    socket_ = UvSocket::open(*op_->executor, fd, false);
    return -uv_tcp_connect(&op_->request, socket_->tcp(), to.get(), done);
  }

  ConnectEvents& events_;
  ConnectOp* op_;
  std::unique_ptr<UvSocket> socket_;
};

void ConnectOp::finish(int with_error) {
  UvConnecting* to = owner;
  delete this;
  if (to != nullptr) to->finish(with_error);
}

/// The handle's block outlives the watch until libuv has closed it.
struct WatchHandle {
  uv_poll_t poll{};
  UvExecutor* executor = nullptr;
  std::function<void(bool, bool)> ready;
  bool ended = false;
};

class UvWatch final : public FdWatch {
 public:
  explicit UvWatch(WatchHandle* handle) : handle_(handle) {}
  ~UvWatch() override {
    handle_->ended = true;
    uv_poll_stop(&handle_->poll);  // out of epoll now, since the owner may close the descriptor next
    uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll),
             [](uv_handle_t* closed) { delete static_cast<WatchHandle*>(closed->data); });
  }

  void update(bool readable, bool writable) override {
    const int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (events == 0) {
      uv_poll_stop(&handle_->poll);
    } else {
      uv_poll_start(&handle_->poll, events, on_ready);
    }
  }

 private:
  static void on_ready(uv_poll_t* poll, int status, int events) {
    auto& handle = *static_cast<WatchHandle*>(poll->data);
    if (handle.ended) return;
    UvExecutor::Turn turn(*handle.executor);
    // An error stops the poll; both directions are told, so that whoever reads or writes next finds it.
    handle.ready(status != 0 || (events & UV_READABLE) != 0, status != 0 || (events & UV_WRITABLE) != 0);
  }

  WatchHandle* handle_;
};

}  // namespace

std::unique_ptr<Connecting> make_uv_connecting(UvExecutor& executor, const Executor::ConnectOptions& options,
                                               ConnectEvents& events) {
  auto connecting = std::make_unique<UvConnecting>(executor, events);
  connecting->begin(options);
  return connecting;
}

std::unique_ptr<FdWatch> make_uv_watch(UvExecutor& executor, int fd, std::function<void(bool, bool)> ready) {
  auto handle = std::make_unique<WatchHandle>();
  const int status = uv_poll_init(executor.loop(), &handle->poll, fd);
  if (status != 0) throw Error(std::string("cannot watch a descriptor: ") + uv_strerror(status));
  handle->poll.data = handle.get();
  handle->executor = &executor;
  handle->ready = std::move(ready);
  return std::make_unique<UvWatch>(handle.release());
}

}  // namespace postern
