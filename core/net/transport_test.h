// Helpers of the tests of both runtimes: an echo peer, a client, and jobs that count.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "postern/executor.h"

namespace postern::test {

/// Sends back whatever comes; ends its side when the peer does.
class EchoPeer final : public SocketEvents {
 public:
  EchoPeer(std::unique_ptr<Socket> socket, std::function<void(EchoPeer&)> gone)
      : socket_(std::move(socket)), gone_(std::move(gone)) {
    socket_->start(*this);
  }
  std::span<char> on_room(std::size_t) override { return writing_ ? std::span<char>() : std::span<char>(buffer_); }
  void on_data(std::size_t octets) override {
    const std::string_view data(buffer_, octets);
    const std::string_view parts[] = {data.substr(0, octets / 2), data.substr(octets / 2)};
    const std::ptrdiff_t taken = socket_->try_write(parts);
    if (taken < 0) return finish();
    if (static_cast<std::size_t>(taken) == octets) return;
    writing_ = true;
    socket_->write(std::string(data.substr(static_cast<std::size_t>(taken))));
  }
  void on_end(int error) override {
    error_ = error;
    ended_ = true;
    if (!writing_ || error != 0) finish();
  }
  void on_written(int error) override {
    writing_ = false;
    if (ended_ || error != 0) return finish();
    socket_->resume_reading();
  }
  int error() const { return error_; }
  Socket& socket() { return *socket_; }

 private:
  std::unique_ptr<Socket> socket_;
  std::function<void(EchoPeer&)> gone_;
  void finish() {
    if (std::exchange(finished_, true)) return;
    socket_->shutdown();
    gone_(*this);
  }
  char buffer_[4096];
  bool writing_ = false;
  bool ended_ = false;
  bool finished_ = false;
  int error_ = 0;
};

/// Accepts on one worker and echoes; peers end with it or with their connection.
class EchoServer final : public AcceptEvents {
 public:
  EchoServer(Executor& executor, BoundEndpoint& bound)
      : executor_(executor), acceptor_(executor.accept(bound, *this)) {}
  void on_connection(std::unique_ptr<Socket> socket) override {
    ++accepted;
    auto peer = std::make_unique<EchoPeer>(std::move(socket), [this](EchoPeer& gone) {
      last_error = gone.error();
      // Not from inside its own event.
      executor_.post_fn([this, at = &gone] { peers_.erase(at); });
    });
    EchoPeer* at = peer.get();
    peers_.emplace(at, std::move(peer));
  }
  Acceptor& acceptor() { return *acceptor_; }
  std::size_t peers() const { return peers_.size(); }
  std::atomic<int> accepted{0};
  int last_error = 0;

 private:
  Executor& executor_;
  std::map<EchoPeer*, std::unique_ptr<EchoPeer>> peers_;
  std::unique_ptr<Acceptor> acceptor_;
};

/// Connects, sends `to_send`, ends its side, collects what comes back, and then calls `done`.
class Client final : public ConnectEvents, public SocketEvents {
 public:
  Client(Executor& executor, Executor::ConnectOptions options, std::string to_send, std::function<void(Client&)> done)
      : to_send_(std::move(to_send)), done_(std::move(done)), connecting_(executor.connect(options, *this)) {}
  void on_connected(std::unique_ptr<Socket> socket, int connect_error) override {
    error = connect_error;
    if (error != 0) return done_(*this);
    socket_ = std::move(socket);
    peer = socket_->peer();
    local = socket_->local();
    socket_->start(*this);
    if (to_send_.empty()) return socket_->shutdown();
    socket_->write(std::move(to_send_));
  }
  std::span<char> on_room(std::size_t) override { return buffer_; }
  void on_data(std::size_t octets) override { received.append(buffer_, octets); }
  void on_written(int write_error) override {
    if (write_error == 0) socket_->shutdown();
  }
  void on_end(int end_error) override {
    error = end_error;
    done_(*this);
  }
  Socket& socket() { return *socket_; }
  void abandon() {
    connecting_.reset();
    socket_.reset();
  }
  int error = -1;
  std::string received;
  Endpoint peer;
  Endpoint local;

 private:
  std::string to_send_;
  std::function<void(Client&)> done_;
  std::unique_ptr<Socket> socket_;
  char buffer_[2048];
  std::unique_ptr<Connecting> connecting_;
};

class Timer final : public TimerNode {
 public:
  explicit Timer(std::function<void()> fired) : fired_(std::move(fired)) {}

 private:
  void fire() override { fired_(); }
  std::function<void()> fired_;
};

class Job final : public Runnable {
 public:
  explicit Job(std::function<void()> work) : work_(std::move(work)) {}
  void run() override { work_(); }

 private:
  std::function<void()> work_;
};

inline Endpoint loopback(std::uint16_t port = 0) {
  return *Endpoint::parse("127.0.0.1:" + std::to_string(port));
}

}  // namespace postern::test
