#include "core/observe/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace postern {
namespace {

constexpr std::size_t kMaxParts = 1024;     // IOV_MAX of Linux
constexpr int kMaxWaitMilliseconds = 1000;  // for a full pipe behind stderr; then its batch is lost

int open_for_append(const std::string& file) {
  return ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

}  // namespace

Result<LogSink> LogSink::open(std::string file) {
  if (file.empty()) return LogSink({}, STDERR_FILENO);
  int fd = open_for_append(file);
  if (fd < 0) return fault("log.open", file + ": " + std::strerror(errno));
  return LogSink(std::move(file), fd);
}

LogSink::LogSink(LogSink&& other) noexcept : file_(std::move(other.file_)), fd_(std::exchange(other.fd_, -1)) {}

LogSink::~LogSink() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

bool LogSink::reopen() {
  if (file_.empty()) return true;
  int fd = open_for_append(file_);
  if (fd < 0) return false;
  ::close(std::exchange(fd_, fd));
  return true;
}

bool LogSink::wait_for_room() const {
  pollfd poll{fd_, POLLOUT, 0};
  return ::poll(&poll, 1, kMaxWaitMilliseconds) > 0;
}

bool LogSink::write(std::span<iovec> parts) {
  while (!parts.empty()) {
    if (parts.front().iov_len == 0) {
      parts = parts.subspan(1);
      continue;
    }
    ssize_t written = ::writev(fd_, parts.data(), static_cast<int>(std::min(parts.size(), kMaxParts)));
    if (written < 0) {
      if (errno == EINTR || (errno == EAGAIN && wait_for_room())) continue;
      return false;
    }
    for (auto rest = static_cast<std::size_t>(written); rest != 0;) {
      std::size_t taken = std::min(rest, parts.front().iov_len);
      parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + taken;
      parts.front().iov_len -= taken;
      rest -= taken;
      if (parts.front().iov_len == 0) parts = parts.subspan(1);
    }
  }
  return true;
}

}  // namespace postern
