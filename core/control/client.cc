#include "core/control/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/control/json_text.h"

namespace postern {

using nlohmann::json;

namespace {

/// A connected descriptor that closes itself.
class Connection {
 public:
  explicit Connection(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
      errno = ENAMETOOLONG;
      return;
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  bool connected() const { return connected_; }

  bool send(std::string_view octets) {
    while (!octets.empty()) {
      const ssize_t sent = ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      octets.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// The next line without its end; false at the end of input.
  bool line(std::string& out) {
    for (;;) {
      if (const auto end = buffer_.find('\n', at_); end != std::string::npos) {
        out.assign(buffer_, at_, end - at_);
        at_ = end + 1;
        return true;
      }
      buffer_.erase(0, at_);
      at_ = 0;
      char room[65536];
      const ssize_t got = ::recv(fd_, room, sizeof room, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      buffer_.append(room, static_cast<std::size_t>(got));
    }
  }

 private:
  int fd_;
  bool connected_ = false;
  std::string buffer_;
  std::size_t at_ = 0;
};

}  // namespace

Result<void> ask_server(const std::string& path, const std::string& command,
                        const std::map<std::string, std::string>& args,
                        const std::function<void(const std::string&)>& on_row) {
  Connection connection(path);
  if (!connection.connected())
    return fault("control.unreachable", "no server answers at " + path + ": " + std::strerror(errno));
  if (!connection.send(json_text(json{{"command", command}, {"args", args}}) + "\n"))
    return fault("control.unreachable", "the server at " + path + " hung up");
  std::string line;
  while (connection.line(line)) {
    const auto answer = nlohmann::ordered_json::parse(line, nullptr, false);
    if (!answer.is_object()) break;
    if (answer.contains("row"))
      on_row(json_text(answer["row"]));
    else if (answer.contains("ok"))
      return {};
    else if (answer.contains("error"))
      return fault(answer.value("code", "control.failed"), answer.value("error", ""));
  }
  return fault("control.unreachable", "the server hung up in the middle of its answer");
}

}  // namespace postern
