#include "secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "postern/file.h"
#include "postern/random.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::size_t kMaxFile = 64 * 1024;

std::unexpected<Fault> wrong(const std::string& file, std::string_view why) {
  return fault("secrets.file", fmt::format("{}: {}", file, why));
}

Result<std::string> new_secret(const std::string& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return wrong(file, std::strerror(errno));
  const std::string secret = random_base62(43);  // 256 bits
  const std::string line = secret + "\n";
  const ssize_t written = ::write(fd, line.data(), line.size());
  const bool whole = written == static_cast<ssize_t>(line.size());
  const bool good = whole && ::fsync(fd) == 0;
  const int error = written >= 0 && !whole ? ENOSPC : errno;
  ::close(fd);
  if (good) return secret;
  ::unlink(file.c_str());
  return wrong(file, std::strerror(error));
}

}  // namespace

Result<Secrets> load_secrets(const std::string& file, bool make) {
  Secrets out;
  std::error_code error;
  if (make && !std::filesystem::exists(file, error) && !error) {
    auto made = new_secret(file);
    if (!made) return std::unexpected(made.error());
    out.all.push_back(std::move(*made));
    out.fresh = true;
    return out;
  }
  auto text = read_regular_file(file, kMaxFile);
  if (!text) return wrong(file, text.error().detail);
  for (std::string_view line : split(*text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.size() < kMinSecret)
      return wrong(file, fmt::format("a secret has {} characters; at least {} are needed", line.size(), kMinSecret));
    if (out.all.size() == kMaxSecrets) return wrong(file, fmt::format("more than {} secrets", kMaxSecrets));
    out.all.emplace_back(line);
  }
  if (out.all.empty()) return wrong(file, "there is no secret in it");
  return out;
}

}  // namespace postern::queue
