#include "core/net/uv_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace postern {
namespace {

constexpr std::size_t kSuggestedRoom = 64 * 1024;

int errno_of(ssize_t status) {
  return static_cast<int>(-status);
}

UvSocket& self_of(uv_stream_t* stream) {
  return *static_cast<UvSocket*>(stream->data);
}

}  // namespace

UvDetachedSocket::~UvDetachedSocket() {
  if (fd_ >= 0) ::close(fd_);
}

UvSocket::UvSocket(UvExecutor& executor, bool is_unix) : executor_(executor), unix_(is_unix) {
  if (is_unix) {
    uv_pipe_init(executor.loop(), &handle_.pipe, 0);
  } else {
    uv_tcp_init(executor.loop(), &handle_.tcp);
  }
  handle_.any.data = this;
}

UvSocket::~UvSocket() = default;

std::unique_ptr<UvSocket> UvSocket::open(UvExecutor& executor, int fd, bool is_unix) {
  std::unique_ptr<UvSocket> socket(new UvSocket(executor, is_unix));
  const int status = is_unix ? uv_pipe_open(socket->pipe(), fd) : uv_tcp_open(socket->tcp(), fd);
  if (status == 0) return socket;
  ::close(fd);
  throw Error(std::string("cannot take a socket over: ") + uv_strerror(status));
}

std::unique_ptr<UvSocket> UvSocket::unconnected_unix(UvExecutor& executor) {
  return std::unique_ptr<UvSocket>(new UvSocket(executor, true));
}

// ---- the end: owner gone and handle closed, in either order ----

void UvSocket::operator delete(UvSocket* socket, std::destroying_delete_t) {
  socket->let_go();
}

void UvSocket::let_go() {
  owned_ = false;
  events_ = nullptr;
  if (closed_) return on_closed();
  close();
}

void UvSocket::close() {
  if (std::exchange(closing_, true)) return;
  uv_close(handle(), [](uv_handle_t* closed) { static_cast<UvSocket*>(closed->data)->on_closed(); });
}

void UvSocket::on_closed() {
  closed_ = true;
  if (owned_) return;
  this->~UvSocket();
  ::operator delete(static_cast<void*>(this));
}

// ---- reading ----

void UvSocket::start(SocketEvents& events) {
  events_ = &events;
  resume_reading();
}

void UvSocket::resume_reading() {
  if (closing_ || events_ == nullptr) return;
  const auto room = [](uv_handle_t* at, std::size_t, uv_buf_t* buffer) {
    auto& self = *static_cast<UvSocket*>(at->data);
    const std::span<char> span = self.events_ == nullptr ? std::span<char>() : self.events_->on_room(kSuggestedRoom);
    *buffer = uv_buf_init(span.data(), static_cast<unsigned>(span.size()));
  };
  uv_read_start(stream(), room,
                [](uv_stream_t* from, ssize_t count, const uv_buf_t*) { self_of(from).on_read(count); });
}

void UvSocket::on_read(ssize_t count) {
  if (count == 0 || events_ == nullptr) return;
  UvExecutor::Turn turn(executor_);
  if (count > 0) return events_->on_data(static_cast<std::size_t>(count));
  uv_read_stop(stream());
  if (count == UV_ENOBUFS) return;  // the owner has no room: resume_reading() begins again
  events_->on_end(count == UV_EOF ? 0 : errno_of(count));
}

// ---- writing ----

std::ptrdiff_t UvSocket::try_write(std::span<const std::string_view> parts) {
  if (closing_) return -ECANCELED;
  uv_buf_t buffers[kMaxParts];
  unsigned count = 0;
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    if (count == kMaxParts) break;
    buffers[count++] = uv_buf_init(const_cast<char*>(part.data()), static_cast<unsigned>(part.size()));
  }
  if (count == 0) return 0;
  const int taken = uv_try_write(stream(), buffers, count);
  return taken == UV_EAGAIN ? 0 : taken;
}

void UvSocket::write(std::string octets) {
  writing_ = std::make_unique<WriteOp>(WriteOp{{}, std::move(octets)});
  writing_->request.data = this;
  const uv_buf_t buffer = uv_buf_init(writing_->octets.data(), static_cast<unsigned>(writing_->octets.size()));
  const auto done = [](uv_write_t* request, int status) { static_cast<UvSocket*>(request->data)->on_written(status); };
  const int status = closing_ ? UV_ECANCELED : uv_write(&writing_->request, stream(), &buffer, 1, done);
  if (status == 0 || closing_) return;
  // Refused at once (our side has ended): the answer still comes from the loop, and before this block can be freed,
  // since posted work runs in this turn and close callbacks in a later one.
  writing_.reset();
  executor_.post_fn([this, status] {
    if (events_ != nullptr) events_->on_written(errno_of(status));
  });
}

void UvSocket::on_written(int status) {
  UvExecutor::Turn turn(executor_);
  writing_.reset();
  if (events_ != nullptr) events_->on_written(errno_of(status));
}

void UvSocket::shutdown() {
  if (closing_) return;
  auto* request = new uv_shutdown_t;
  const auto done = [](uv_shutdown_t* ended, int) { delete ended; };
  if (uv_shutdown(request, stream(), done) != 0) delete request;
}

void UvSocket::reset() {
  if (closing_) return;
  events_ = nullptr;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  if (!unix_) setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

// ---- names and moving ----

int UvSocket::fd() const {
  uv_os_fd_t fd = -1;
  uv_fileno(&handle_.any, &fd);
  return fd;
}

Endpoint UvSocket::name_of(int (*get)(int, sockaddr*, socklen_t*)) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  address.ss_family = unix_ ? AF_UNIX : AF_INET;
  get(fd(), reinterpret_cast<sockaddr*>(&address), &size);
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address));
}

Endpoint UvSocket::local() const {
  return name_of([](int fd, sockaddr* address, socklen_t* size) { return getsockname(fd, address, size); });
}

Endpoint UvSocket::peer() const {
  return name_of([](int fd, sockaddr* address, socklen_t* size) { return getpeername(fd, address, size); });
}

std::unique_ptr<DetachedSocket> UvSocket::detach() {
  events_ = nullptr;
  // A copy, since libuv closes its own; uv_close takes the original out of epoll before that.
  const int copy = closing_ ? -1 : fcntl(fd(), F_DUPFD_CLOEXEC, 0);
  close();
  if (copy < 0) throw Closed("the connection cannot be moved");
  return std::make_unique<UvDetachedSocket>(copy, unix_);
}

std::uint32_t UvSocket::peer_uid() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (!unix_ || getsockopt(fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return ~0U;
  return credentials.uid;
}

}  // namespace postern
