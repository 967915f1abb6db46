// Driver of run-destinations.sh: a client that writes to many destinations, and a sink that plays all of them, some way
// off.
//
//   far send --port 2521 --count 33000 --conns 20 --size 4096 --near 10000 --dead 1000
//       Message i goes to u@dNNNNN.near.test or u@dNNNNN.dead.test, in an order that mixes them; --to ADDRESS: all of
//       them there. Each carries its time (X-Sent: monotonic seconds). Prints JSON: accepted, start, end.
//   far sink --port 25 --count 30000 --delay 100 --timeout 120
//       Listens on every address of its network namespace. Greeting and each answer come --delay ms late. Prints JSON:
//       msgs, conns, first, last (monotonic seconds), and of the time since X-Sent: p50, p99, max in seconds.
//
// Both end after --timeout seconds, whatever has come. One thread, no state on disk. Errors: exit 1, the reason in the
// JSON or on stderr.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

double now() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
}

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "far: %s: %s\n", why.c_str(), std::strerror(errno));
  std::exit(1);
}

class Options {
 public:
  Options(int count, char** values) {
    for (int i = 2; i + 1 < count; i += 2) {
      if (std::strncmp(values[i], "--", 2) != 0) die(std::string("no option: ") + values[i]);
      given_[values[i] + 2] = values[i + 1];
    }
  }
  std::string text(const std::string& name, const std::string& otherwise = {}) const {
    const auto found = given_.find(name);
    return found == given_.end() ? otherwise : found->second;
  }
  long number(const std::string& name, long otherwise) const {
    const std::string value = text(name);
    return value.empty() ? otherwise : std::atol(value.c_str());
  }

 private:
  std::map<std::string, std::string> given_;
};

struct Peer {
  int fd = -1;
  std::string in, out;
  std::size_t taken = 0, sent = 0;  // of them

  /// False: the peer is gone.
  bool read_some() {
    char octets[64 * 1024];
    while (true) {
      const ssize_t got = ::recv(fd, octets, sizeof octets, MSG_DONTWAIT);
      if (got > 0) in.append(octets, static_cast<std::size_t>(got));
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
    }
  }
  bool write_some() {
    while (sent < out.size()) {
      const ssize_t put = ::send(fd, out.data() + sent, out.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put < 0) return errno == EAGAIN || errno == EINTR;
      sent += static_cast<std::size_t>(put);
    }
    out.clear();
    sent = 0;
    return true;
  }
  bool take_line(std::string& line) {
    const std::size_t end = in.find("\r\n", taken);
    if (end == std::string::npos) {
      in.erase(0, std::exchange(taken, 0));
      return false;
    }
    line.assign(in, taken, end - taken);
    taken = end + 2;
    return true;
  }
};

void listen_for(int poll, int fd, bool write, bool add) {
  epoll_event event{};
  event.events = EPOLLIN | (write ? EPOLLOUT : 0U);
  event.data.fd = fd;
  ::epoll_ctl(poll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
}

void nodelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// ---- send ----------------------------------------------------------------------------------------------------------

struct Sender : Peer {
  enum class At { kGreeting, kHello, kEnvelope, kText } at = At::kGreeting;
  int replies = 0;  // of the envelope
};

class Send {
 public:
  explicit Send(const Options& options)
      : options_(options),
        count_(options.number("count", 1000)),
        near_(options.number("near", 10'000)),
        dead_(options.number("dead", 1000)),
        to_(options.text("to")) {
    const long size = options.number("size", 4096);
    while (static_cast<long>(body_.size()) < size - 200)
      body_ += "A line of text as letters have it, seventy-odd octets long with its end.\r\n";
  }

  int run() {
    poll_ = ::epoll_create1(0);
    const double begin = now(), limit = begin + static_cast<double>(options_.number("timeout", 120));
    for (long i = 0; i < std::min(count_, options_.number("conns", 20)); ++i) connect();
    epoll_event events[256];
    while (answered_ < count_ && !peers_.empty() && now() < limit) {
      const int ready = ::epoll_wait(poll_, events, 256, 200);
      for (int i = 0; i < ready; ++i) serve(events[i].data.fd);
    }
    std::printf("{\"accepted\":%ld,\"start\":%.6f,\"end\":%.6f,\"error\":\"%s\"}\n", accepted_, begin, now(),
                error_.c_str());
    return accepted_ == count_ ? 0 : 1;
  }

 private:
  void connect() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(options_.number("port", 2525)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("connect");
    nodelay(fd);
    auto peer = std::make_unique<Sender>();
    peer->fd = fd;
    listen_for(poll_, fd, false, true);
    peers_[fd] = std::move(peer);
  }

  std::string recipient(long number) const {
    if (!to_.empty()) return to_;
    // 7919 is prime, and no factor of the usual sums: all are met once before one is met again.
    const long at = number * 7919 % (near_ + dead_);
    char text[64];
    std::snprintf(text, sizeof text, at < near_ ? "u@d%05ld.near.test" : "u@d%05ld.dead.test",
                  at < near_ ? at : at - near_);
    return text;
  }

  void begin_message(Sender& peer) {
    if (started_ == count_) return;
    number_[peer.fd] = started_++;
    peer.out += "MAIL FROM:<sender@client.test>\r\nRCPT TO:<" + recipient(number_[peer.fd]) + ">\r\nDATA\r\n";
    peer.at = Sender::At::kEnvelope;
    peer.replies = 0;
  }

  void put_text(Sender& peer) {
    char head[256];
    std::snprintf(head, sizeof head,
                  "From: <sender@client.test>\r\nTo: <%s>\r\nSubject: far\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
                  "Message-ID: <%ld@client.test>\r\nX-Sent: %.6f\r\n\r\n",
                  recipient(number_[peer.fd]).c_str(), number_[peer.fd], now());
    peer.out += head;
    peer.out += body_ + ".\r\n";
    peer.at = Sender::At::kText;
  }

  void answer(Sender& peer, const std::string& line) {
    if (line.size() > 3 && line[3] == '-') return;
    const char first = line.empty() ? '5' : line[0];
    if (first != '2' && first != '3' && error_.empty()) error_ = line.substr(0, 120);
    switch (peer.at) {
      case Sender::At::kGreeting:
        peer.out += "EHLO client.test\r\n";
        peer.at = Sender::At::kHello;
        break;
      case Sender::At::kHello:
        begin_message(peer);
        break;
      case Sender::At::kEnvelope:
        if (++peer.replies == 3) put_text(peer);
        break;
      case Sender::At::kText:
        ++answered_;
        if (first == '2') ++accepted_;
        begin_message(peer);
    }
  }

  void serve(int fd) {
    Sender& peer = *peers_.at(fd);
    const bool alive = peer.read_some();
    std::string line;
    while (peer.take_line(line)) answer(peer, line);
    if (!alive || !peer.write_some()) {
      if (error_.empty()) error_ = "the server closed a connection";
      ::close(fd);
      peers_.erase(fd);
      return;
    }
    listen_for(poll_, fd, !peer.out.empty(), false);
  }

  const Options& options_;
  const long count_, near_, dead_;
  const std::string to_;
  std::string body_, error_;
  int poll_ = -1;
  long started_ = 0, answered_ = 0, accepted_ = 0;
  std::unordered_map<int, std::unique_ptr<Sender>> peers_;
  std::unordered_map<int, long> number_;
};

// ---- sink ----------------------------------------------------------------------------------------------------------

struct Served : Peer {
  std::uint64_t serial = 0;
  bool text = false, closing = false;
  double stamp = 0;  // X-Sent of the text under way
};

class Sink {
 public:
  explicit Sink(const Options& options)
      : count_(options.number("count", 1000)),
        delay_(static_cast<double>(options.number("delay", 0)) / 1000),
        limit_(now() + static_cast<double>(options.number("timeout", 120))) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(options.number("port", 25)));
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(listener_, 4096) != 0)
      die("listen");
    poll_ = ::epoll_create1(0);
    listen_for(poll_, listener_, false, true);
  }

  int run() {
    epoll_event events[512];
    while (msgs_ < count_ && now() < limit_) {
      const int ready = ::epoll_wait(poll_, events, 512, wait());
      for (int i = 0; i < ready; ++i) {
        if (events[i].data.fd == listener_)
          accept_all();
        else
          serve(events[i].data.fd);
      }
      say_due();
    }
    std::ranges::sort(took_);
    const auto part = [this](double share) {
      return took_.empty() ? 0.0 : took_[static_cast<std::size_t>(share * static_cast<double>(took_.size() - 1))];
    };
    std::printf("{\"msgs\":%ld,\"conns\":%ld,\"first\":%.6f,\"last\":%.6f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n",
                msgs_, conns_, first_, last_, part(0.5), part(0.99), part(1));
    return msgs_ >= count_ ? 0 : 1;
  }

 private:
  struct Late {
    double due;
    int fd;
    std::uint64_t serial;
    std::string text;
  };

  int wait() const {
    if (late_.empty()) return 200;
    const double left = late_.front().due - now();
    return left <= 0 ? 0 : static_cast<int>(left * 1000) + 1;
  }

  void say(const Served& peer, std::string text) {
    late_.push_back({now() + delay_, peer.fd, peer.serial, std::move(text)});
  }

  void say_due() {
    for (; !late_.empty() && late_.front().due <= now(); late_.pop_front()) {
      const auto found = peers_.find(late_.front().fd);
      if (found == peers_.end() || found->second->serial != late_.front().serial) continue;
      Served& peer = *found->second;
      peer.out += late_.front().text;
      if (!peer.write_some() || (peer.closing && peer.out.empty()))
        drop(peer.fd);
      else
        listen_for(poll_, peer.fd, !peer.out.empty(), false);
    }
  }

  void drop(int fd) {
    ::close(fd);
    peers_.erase(fd);
  }

  void accept_all() {
    for (int fd; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      nodelay(fd);
      auto peer = std::make_unique<Served>();
      peer->fd = fd;
      peer->serial = static_cast<std::uint64_t>(++conns_);
      listen_for(poll_, fd, false, true);
      say(*peer, "220 far.test ESMTP\r\n");
      peers_[fd] = std::move(peer);
    }
  }

  void take_text(Served& peer, const std::string& line) {
    if (line == ".") {
      peer.text = false;
      last_ = now();
      if (++msgs_ == 1) first_ = last_;
      if (peer.stamp > 0) took_.push_back(last_ - peer.stamp);
      peer.stamp = 0;
      say(peer, "250 2.0.0 Ok\r\n");
    } else if (peer.stamp == 0 && line.starts_with("X-Sent: ")) {
      peer.stamp = std::atof(line.c_str() + 8);
    }
  }

  void take_command(Served& peer, const std::string& line, std::string& replies) {
    const auto is = [&line](const char* verb) { return ::strncasecmp(line.c_str(), verb, std::strlen(verb)) == 0; };
    if (is("EHLO")) {
      replies += "250-far.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n";
    } else if (is("DATA")) {
      replies += "354 go on\r\n";
      peer.text = true;
    } else if (is("QUIT")) {
      replies += "221 2.0.0 Bye\r\n";
      peer.closing = true;
    } else {
      replies += "250 2.0.0 Ok\r\n";
    }
  }

  void serve(int fd) {
    const auto found = peers_.find(fd);
    if (found == peers_.end()) return;
    Served& peer = *found->second;
    const bool alive = peer.read_some();
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);  // some senders wait for the ACK, which is no distance
    std::string line, replies;
    while (peer.take_line(line)) {
      if (!peer.text) {
        take_command(peer, line, replies);
      } else {
        if (!replies.empty()) say(peer, std::exchange(replies, {}));
        take_text(peer, line);
      }
    }
    if (!replies.empty()) say(peer, replies);
    if (!alive || !peer.write_some()) return drop(fd);
    listen_for(poll_, fd, !peer.out.empty(), false);
  }

  const long count_;
  const double delay_, limit_;
  int listener_ = -1, poll_ = -1;
  long msgs_ = 0, conns_ = 0;
  double first_ = 0, last_ = 0;
  std::vector<double> took_;
  std::deque<Late> late_;  // all are late by the same, so they stand in order
  std::unordered_map<int, std::unique_ptr<Served>> peers_;
};

}  // namespace

int main(int count, char** values) {
  const std::string mode = count > 1 ? values[1] : "";
  const Options options(count, values);
  if (mode == "send") return Send(options).run();
  if (mode == "sink") return Sink(options).run();
  std::fputs("far send|sink --option value ...; the head of far.cc says which\n", stderr);
  return 64;
}
