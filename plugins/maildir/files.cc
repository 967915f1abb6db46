#include "files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace postern::maildir {

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.release();
  }
  return *this;
}

int Descriptor::close() {
  return fd_ >= 0 && ::close(release()) != 0 ? errno : 0;
}

Fault disk_fault(int error, std::string_view doing) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == EAGAIN;
  return {full ? "store.full" : "store.io", fmt::format("{}: {}", doing, std::strerror(error))};
}

int write_all(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t done = ::write(fd, octets.data(), octets.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    octets.remove_prefix(static_cast<std::size_t>(done));
  }
  return 0;
}

int sync_dir(const std::string& path) {
  const Descriptor dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return errno;
  return ::fsync(dir.get()) == 0 ? 0 : errno;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

namespace {

int make_dir(const std::string& path, bool sync) {
  if (::mkdir(path.c_str(), 0700) != 0) return errno == EEXIST ? 0 : errno;
  return sync ? sync_dir(path.substr(0, path.rfind('/'))) : 0;
}

}  // namespace

int make_maildir(const std::string& root, const std::string& dir, bool sync) {
  std::string path = root;
  std::size_t at = 0;
  while (at != std::string::npos) {
    const std::size_t end = dir.find('/', at);
    path += '/';
    path += dir.substr(at, end == std::string::npos ? end : end - at);
    if (const int error = make_dir(path, sync)) return error;
    at = end == std::string::npos ? end : end + 1;
  }
  for (const char* part : {"/tmp", "/new", "/cur"})
    if (const int error = make_dir(path + part, sync)) return error;
  const bool sub_folder = path[path.rfind('/') + 1] == '.';
  return sub_folder ? replace_small(path + "/maildirfolder", {}, false) : 0;
}

std::optional<std::string> read_small(const std::string& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat facts{};
  if (!file || ::fstat(file.get(), &facts) != 0 || static_cast<std::size_t>(facts.st_size) > limit) return std::nullopt;
  std::string octets(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t got = 0;
  while (got < octets.size()) {
    const ssize_t some = ::read(file.get(), octets.data() + got, octets.size() - got);
    if (some < 0 && errno == EINTR) continue;
    if (some < 0) return std::nullopt;
    if (some == 0) break;
    got += static_cast<std::size_t>(some);
  }
  octets.resize(got);
  return octets;
}

int replace_small(const std::string& path, std::string_view octets, bool sync) {
  const std::string fresh = fmt::format("{}.{}.tmp", path, ::gettid());  // one writer per thread
  Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return errno;
  int error = write_all(file.get(), octets);
  if (error == 0 && sync && ::fdatasync(file.get()) != 0) error = errno;
  if (const int closed = file.close(); error == 0) error = closed;
  if (error == 0 && std::rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) ::unlink(fresh.c_str());
  if (error == 0 && sync) error = sync_dir(path.substr(0, path.rfind('/')));
  return error;
}

}  // namespace postern::maildir
