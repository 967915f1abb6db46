#include "secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

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
  const bool good = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int error = errno;
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
  std::ifstream in(file, std::ios::binary);
  if (!in) return wrong(file, std::strerror(errno));
  std::string text(kMaxFile, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  for (std::string_view line : split(text, '\n')) {
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
