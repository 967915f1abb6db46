#include "core/loader/privileges.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace postern {

namespace {

/// The folder itself, and what prepare() made in it: two levels, for below them is only what the user itself wrote.
void give(const std::filesystem::path& path, uid_t uid, gid_t gid, int depth) {
  static_cast<void>(::lchown(path.c_str(), uid, gid));
  std::error_code error;
  if (depth == 0 || !std::filesystem::is_directory(std::filesystem::symlink_status(path, error))) return;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) give(entry.path(), uid, gid, depth - 1);
}

}  // namespace

Result<bool> become_user(const std::string& user, const std::string& group, const std::filesystem::path& state) {
  if (::geteuid() != 0) return false;
  if (user.empty()) {
    // A container or a test may mean to run as root: that is said by name, not by leaving the setting out.
    return fault("server.user", "started as root: set [server] user to the user to run as (\"root\" if that is meant)");
  }
  const passwd* entry = ::getpwnam(user.c_str());
  if (!entry) return fault("server.user", fmt::format("there is no user \"{}\" ([server] user)", user));
  const uid_t uid = entry->pw_uid;
  gid_t gid = entry->pw_gid;
  if (!group.empty()) {
    const ::group* named = ::getgrnam(group.c_str());
    if (!named) return fault("server.user", fmt::format("there is no group \"{}\" ([server] group)", group));
    gid = named->gr_gid;
  }
  if (uid == 0) return false;
  give(state, uid, gid, 2);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0)
    return fault("server.user", fmt::format("cannot become \"{}\": {}", user, std::strerror(errno)));
  ::prctl(PR_SET_DUMPABLE, 0);  // keys are in memory
  return true;
}

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || !*path) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  static_cast<void>(::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
                             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length)));
  ::close(fd);
}

}  // namespace postern
