// What coroutines wait on at a Stream, and connect() and Listener.
#include <cstring>

#include "postern/stream.h"

namespace postern {

void StreamReadWait::enter() {
  stream_.reader_ = this;
  stream_.release_idle_memory();
}

void StreamReadWait::leave() {
  if (stream_.reader_ == this) stream_.reader_ = nullptr;
}

void StreamReadWait::throw_closed() const {
  throw Closed(stream_.error_ ? std::strerror(stream_.error_) : "connection closed by peer");
}

bool Stream::LineWait::satisfied() {
  for (;;) {
    const std::string_view octets = buffered();
    const void* lf =
        scanned_ < octets.size() ? std::memchr(octets.data() + scanned_, '\n', octets.size() - scanned_) : nullptr;
    if (lf) {
      found_ = static_cast<std::size_t>(static_cast<const char*>(lf) - octets.data());
      have_ = true;
      return true;
    }
    scanned_ = octets.size();
    // A line past its limit (and its CR) is skipped as it comes, so that it holds no memory.
    if (scanned_ > limit_ + 1 || skipping_) {
      skipping_ = true;
      stream_.consume(scanned_);
      scanned_ = 0;
      if (!buffered().empty()) continue;
    }
    return ended();
  }
}

Stream::Line Stream::LineWait::await_resume() {
  check();
  if (!have_) throw_closed();
  const std::string_view octets = buffered();
  const bool crlf = found_ > 0 && octets[found_ - 1] == '\r';
  const std::string_view text = octets.substr(0, found_ - (crlf ? 1 : 0));
  const bool too_long = skipping_ || text.size() > limit_;
  // The octets stay where they are until something is read again, so the view is good until then.
  stream_.consume_line(found_ + 1);
  if (too_long) throw LineTooLong();
  return {text, !crlf};
}

bool Stream::DataWait::satisfied() {
  const std::size_t have = buffered().size();
  switch (mode_) {
    case Mode::kFill:
    case Mode::kReadable:
      return have > 0 || ended();
    case Mode::kMore:
      return have > had_ || ended();
    case Mode::kHandshake:
      return ended() || stream_.secure();
  }
  return true;
}

bool Stream::DataWait::await_resume() {
  if (mode_ == Mode::kReadable) {
    if (outcome() == Outcome::kCancelled) check();
    return !buffered().empty();
  }
  check();
  const std::size_t have = buffered().size();
  if (mode_ == Mode::kFill && have == 0) throw_closed();
  if (mode_ == Mode::kMore && have <= had_) throw_closed();
  return true;
}

bool Stream::FlushWait::await_ready() {
  return stream_.send_now(extra_);
}

void Stream::FlushWait::await_resume() {
  check();
  if (stream_.error_) throw Closed(std::strerror(stream_.error_));
}

Listener::Listener(Executor& executor, BoundEndpoint& bound, std::function<void(std::unique_ptr<Socket>)> on_connection)
    : on_connection_(std::move(on_connection)), acceptor_(executor.accept(bound, *this)) {}

Listener::~Listener() = default;

void Listener::on_connection(std::unique_ptr<Socket> socket) {
  on_connection_(std::move(socket));
}

namespace {

class ConnectWait final : public Wait, private ConnectEvents {
 public:
  ConnectWait(const Executor::ConnectOptions& options, Deadline deadline) : options_(options), deadline_(deadline) {}
  bool await_ready() const { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    if (!begin(handle, deadline_)) return false;
    try {
      connecting_ = executor().connect(options_, *this);
    } catch (...) {
      executor().disarm(*this);
      throw;
    }
    return true;
  }
  std::unique_ptr<Socket> await_resume() {
    connecting_.reset();
    check();
    if (!socket_) throw Closed(options_.to.to_string() + ": " + std::strerror(error_));
    return std::move(socket_);
  }

 private:
  void on_connected(std::unique_ptr<Socket> socket, int error) override {
    socket_ = std::move(socket);
    error_ = error;
    settle();
  }
  void on_abandoned() override { connecting_.reset(); }

  const Executor::ConnectOptions& options_;
  Deadline deadline_;
  std::unique_ptr<Connecting> connecting_;
  std::unique_ptr<Socket> socket_;
  int error_ = 0;
};

}  // namespace

Task<std::unique_ptr<Stream>> connect(Executor& executor, Executor::ConnectOptions options, Deadline deadline) {
  auto socket = co_await ConnectWait(options, deadline);
  co_return std::make_unique<Stream>(executor, std::move(socket));
}

}  // namespace postern
