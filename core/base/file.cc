#include "postern/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/descriptor.h"

namespace postern {
namespace {

std::unexpected<Fault> system_fault(const char* code) {
  return fault(code, std::strerror(errno));
}

Result<void> must_be_regular(const struct stat& info) {
  if (S_ISREG(info.st_mode)) return {};
  const char* what = S_ISDIR(info.st_mode)    ? "a folder"
                     : S_ISFIFO(info.st_mode) ? "a named pipe"
                     : S_ISSOCK(info.st_mode) ? "a socket"
                                              : "a device";
  return fault("file.kind", fmt::format("it is {}, not a file", what));
}

}  // namespace

Result<std::string> read_regular_file(const std::filesystem::path& file, std::size_t limit) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) return system_fault("file.open");
  if (auto regular = must_be_regular(info); !regular) return std::unexpected(regular.error());
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd || ::fstat(fd.get(), &info) != 0) return system_fault("file.open");
  if (auto regular = must_be_regular(info); !regular) return std::unexpected(regular.error());

  // What fstat says is a hint: the file may grow meanwhile, and those of /proc say 0.
  std::string text;
  std::size_t room = std::min(limit, static_cast<std::size_t>(std::max<off_t>(info.st_size, 0))) + 1;
  for (;;) {
    const std::size_t had = text.size();
    text.resize(had + room);
    const ssize_t got = ::read(fd.get(), text.data() + had, room);
    text.resize(had + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_fault("file.read");
    if (got == 0) return text;
    if (text.size() > limit) return fault("file.large", fmt::format("it is larger than {} octets", limit));
    // What has room already is not moved: a key would be left behind in the memory that it had.
    room = std::min<std::size_t>(limit - text.size() + 1,
                                 text.capacity() > text.size() ? text.capacity() - text.size() : 64 * 1024);
  }
}

}  // namespace postern
