#include "sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace postern::maildir {

namespace fs = std::filesystem;

std::vector<std::string> sub_folders(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    std::string name = at->path().filename().string();
    if (!name.starts_with('.') && at->is_directory(ignored) && !at->is_symlink(ignored))
      names.push_back(std::move(name));
  }
  return names;
}

std::size_t sweep_folder(const std::string& path, WallTime before) {
  const std::int64_t limit = std::chrono::floor<std::chrono::seconds>(before).time_since_epoch().count();
  std::size_t removed = 0;
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    struct stat facts{};
    const std::string file = at->path().string();
    if (::lstat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_mtim.tv_sec >= limit) continue;
    if (::unlink(file.c_str()) == 0) ++removed;
  }
  return removed;
}

std::size_t sweep_domain(const std::string& path, WallTime before) {
  std::size_t removed = 0;
  for (const std::string& user : sub_folders(path)) {
    const std::string maildir = path + '/' + user;
    removed += sweep_folder(maildir + "/tmp", before);
    std::error_code error;
    for (fs::directory_iterator at(maildir, error), end; !error && at != end; at.increment(error)) {
      const std::string name = at->path().filename().string();
      if (name.starts_with('.')) removed += sweep_folder(at->path().string() + "/tmp", before);
    }
  }
  return removed;
}

}  // namespace postern::maildir
