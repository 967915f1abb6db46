// A DNS server on loopback, UDP and TCP, in a thread of its own, that says what a test tells it to. For the tests of
// this area; no part of the server.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace postern::dns {

class TestServer {
 public:
  /// The packets to send back, none for silence. Called on the server's thread.
  using Handler = std::function<std::vector<std::string>(const std::string& question, bool tcp)>;

  explicit TestServer(Handler handler) : handler_(std::move(handler)) {
    // The port that UDP got may be taken for TCP: then both are tried anew.
    for (int tries = 0; tries < 20 && !open(); ++tries) close_all();
    if (tcp_ < 0 || pipe(stop_.data()) != 0) throw std::runtime_error("no socket for the test's DNS server");
    thread_ = std::thread([this] { serve(); });
  }
  ~TestServer() {
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    close_all();
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::size_t count() const { return questions().size(); }
  std::vector<std::string> questions() const {
    std::lock_guard hold(mutex_);
    return questions_;
  }

 private:
  bool open() {
    udp_ = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(udp_, generic, size) != 0 || getsockname(udp_, generic, &size) != 0) return false;
    port_ = ntohs(address.sin_port);
    tcp_ = socket(AF_INET, SOCK_STREAM, 0);
    return bind(tcp_, generic, size) == 0 && listen(tcp_, 16) == 0;
  }
  void close_all() {
    for (int* fd : {&udp_, &tcp_})
      if (*fd >= 0) close(std::exchange(*fd, -1));
  }

  std::vector<std::string> answer(const std::string& question, bool tcp) {
    {
      std::lock_guard hold(mutex_);
      questions_.push_back(question);
    }
    return handler_(question, tcp);
  }

  void serve() {
    for (;;) {
      std::array<pollfd, 3> wait{{{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}, {stop_[0], POLLIN, 0}}};
      if (poll(wait.data(), wait.size(), -1) < 0) continue;
      if (wait[2].revents) return;
      if (wait[0].revents) serve_udp();
      if (wait[1].revents) serve_tcp();
    }
  }
  void serve_udp() {
    std::array<char, 4096> room;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    auto* generic = reinterpret_cast<sockaddr*>(&from);
    const ssize_t got = recvfrom(udp_, room.data(), room.size(), 0, generic, &size);
    if (got < 12) return;
    for (const std::string& packet : answer({room.data(), static_cast<std::size_t>(got)}, false))
      sendto(udp_, packet.data(), packet.size(), 0, generic, size);
  }
  // One question to a connection, which c-ares sends whole.
  void serve_tcp() {
    const int client = accept(tcp_, nullptr, nullptr);
    std::array<char, 4096> room;
    const ssize_t got = recv(client, room.data(), room.size(), 0);
    if (got > 14)
      for (const std::string& packet : answer({room.data() + 2, static_cast<std::size_t>(got) - 2}, true)) {
        const std::string framed{static_cast<char>(packet.size() >> 8), static_cast<char>(packet.size())};
        send(client, (framed + packet).data(), packet.size() + 2, MSG_NOSIGNAL);
      }
    close(client);
  }

  Handler handler_;
  mutable std::mutex mutex_;
  std::vector<std::string> questions_;
  int udp_ = -1;
  int tcp_ = -1;
  int port_ = 0;
  std::array<int, 2> stop_{-1, -1};
  std::thread thread_;
};

}  // namespace postern::dns
