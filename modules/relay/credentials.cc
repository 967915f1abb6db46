#include "credentials.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "postern/file.h"
#include "postern/text.h"

namespace postern::relay {

Result<Credentials> Credentials::read(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0)
    return fault("delivery.credentials", fmt::format("{}: {}", file.string(), std::strerror(errno)));
  if ((status.st_mode & 077) != 0)
    return fault("delivery.credentials",
                 fmt::format("{} can be read by others than its owner: chmod 600 it", file.string()));
  auto text = read_regular_file(file, kMaxFile);
  if (!text) return fault("delivery.credentials", fmt::format("{}: {}", file.string(), text.error().detail));
  return parse(*text, file.string());
}

Result<Credentials> Credentials::parse(std::string_view text, const std::string& file) {
  Credentials all;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = take_until(text, '\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&](std::string_view what) {
      return fault("delivery.credentials", fmt::format("{}:{}: {}", file, number, what));
    };
    if (std::ranges::count(line, ':') < 2) return wrong("is not name:user:password");
    if (line.find('\0') != line.npos) return wrong("holds a NUL");
    const std::string_view name = take_until(line, ':');
    const std::string_view user = take_until(line, ':');
    if (name.empty() || user.empty() || line.empty()) return wrong("name, user or password is empty");
    if (user.size() > kMaxField || line.size() > kMaxField) return wrong("user or password is too long");
    if (!all.logins_.emplace(std::string(name), Login{std::string(user), std::string(line)}).second)
      return wrong("this name stands on an earlier line");
  }
  return all;
}

const Login* Credentials::find(std::string_view name) const {
  const auto found = logins_.find(name);
  return found == logins_.end() ? nullptr : &found->second;
}

}  // namespace postern::relay
