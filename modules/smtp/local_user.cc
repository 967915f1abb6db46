#include "local_user.h"

#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace postern::smtp {

namespace {
constexpr std::size_t kFirstEntry = 1024;
constexpr std::size_t kMaxEntry = 1024 * 1024;  // of the user data base; a longer one has no name here
constexpr std::size_t kMaxName = 255;
}  // namespace

std::string system_user(std::uint32_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kFirstEntry);
  int error = 0;
  while ((error = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < kMaxEntry)
    buffer.resize(buffer.size() * 4);
  const std::string name = error == 0 && found != nullptr ? entry.pw_name : "";
  const bool shows = !name.empty() && name.size() <= kMaxName && std::ranges::none_of(name, [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F;
  });
  return shows ? name : std::to_string(uid);
}

}  // namespace postern::smtp
