#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/net/uv_address.h"
#include "core/net/uv_listen.h"

namespace postern {
namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

std::unexpected<Fault> system_fault(const char* step, const Endpoint& endpoint) {
  const int error = errno;
  return fault(error == EADDRINUSE ? "listen.in_use" : "listen.failed",
               fmt::format("{} {}: {}", step, endpoint.to_string(), std::strerror(error)));
}

/// Binds one TCP socket and stores what the system made of the endpoint (the port, when 0 was asked for).
///
/// The first is bound alone and shares its address only afterwards: with SO_REUSEPORT from the beginning a second
/// server of the same user would get half of the connections, and nobody would be told.
Result<void> bind_tcp(UvListenSockets& sockets) {
  const bool first = sockets.fds.empty();
  const RawAddress address(sockets.endpoint);
  const int fd = ::socket(address.family(), kSocketFlags, 0);
  if (fd < 0) return system_fault("socket for", sockets.endpoint);
  sockets.fds.push_back(fd);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!first) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
  if (sockets.endpoint.ip.is_v6()) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd, address.get(), address.size()) != 0) return system_fault("bind", sockets.endpoint);
  if (first) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return system_fault("name", sockets.endpoint);
  sockets.endpoint.port = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&bound)).port;
  return {};
}

/// Removes a socket file that a dead process left; a living one, or any other file, stays.
Result<void> clear_stale(const Endpoint& endpoint) {
  struct stat found{};
  if (lstat(endpoint.path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) return fault("listen.not_a_socket", endpoint.path + " exists and is not a socket");
  const int probe = ::socket(AF_UNIX, kSocketFlags, 0);
  if (probe < 0) return system_fault("socket for", endpoint);
  const RawAddress address(endpoint);
  const bool alive = ::connect(probe, address.get(), address.size()) == 0 || errno == EAGAIN;
  ::close(probe);
  if (alive) return fault("listen.in_use", endpoint.path + " is another process's socket");
  if (::unlink(endpoint.path.c_str()) != 0) return system_fault("unlink", endpoint);
  return {};
}

Result<void> bind_unix(UvListenSockets& sockets, unsigned mode) {
  const Endpoint& endpoint = sockets.endpoint;
  if (endpoint.path.size() >= sizeof(sockaddr_un::sun_path)) return fault("listen.path_too_long", endpoint.path);
  if (auto cleared = clear_stale(endpoint); !cleared) return cleared;
  const int fd = ::socket(AF_UNIX, kSocketFlags, 0);
  if (fd < 0) return system_fault("socket for", endpoint);
  sockets.fds.push_back(fd);
  // The file is born with the descriptor's mode, so there is no moment at which strangers could open it.
  fchmod(fd, mode);
  const RawAddress address(endpoint);
  if (::bind(fd, address.get(), address.size()) != 0) return system_fault("bind", endpoint);
  if (chmod(endpoint.path.c_str(), mode) != 0) return system_fault("chmod", endpoint);
  struct stat made{};
  if (lstat(endpoint.path.c_str(), &made) != 0) return system_fault("stat", endpoint);
  sockets.device = made.st_dev;
  sockets.inode = made.st_ino;
  return {};
}

}  // namespace

UvListenSockets::~UvListenSockets() {
  for (const int fd : fds) ::close(fd);
  struct stat found{};
  if (inode != 0 && lstat(endpoint.path.c_str(), &found) == 0 && found.st_ino == inode && found.st_dev == device)
    ::unlink(endpoint.path.c_str());
}

Result<std::unique_ptr<BoundEndpoint>> uv_bind(const Endpoint& endpoint, unsigned unix_mode, unsigned workers) {
  auto sockets = std::make_shared<UvListenSockets>(workers);
  sockets->endpoint = endpoint;
  for (unsigned i = 0; i < (endpoint.is_unix() ? 1 : workers); ++i) {
    auto bound = endpoint.is_unix() ? bind_unix(*sockets, unix_mode) : bind_tcp(*sockets);
    if (!bound) return std::unexpected(bound.error());
  }
  return std::make_unique<UvBoundEndpoint>(std::move(sockets));
}

}  // namespace postern
