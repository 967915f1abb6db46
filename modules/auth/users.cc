#include "users.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "password.h"

namespace postern::auth {

namespace {

class Line {
 public:
  Line(const std::shared_ptr<const SourceText>& source, std::uint32_t number, std::string_view text,
       Diagnostics& diagnostics)
      : source_(source), number_(number), text_(text), diagnostics_(diagnostics) {}

  std::optional<UserEntry> parse() {
    if (text_.size() > kMaxUsersLineBytes)
      return refuse(0, fmt::format("the line has over {} octets", kMaxUsersLineBytes));
    std::size_t colon = text_.find(':');
    if (colon == std::string_view::npos) return refuse(0, "expected \"name:hash\"; there is no colon");
    UserEntry entry{.name = std::string(text_.substr(0, colon)), .hash = {}, .apop_secret = {}, .origin = at(0)};
    if (entry.name.empty()) return refuse(0, "the name is empty");
    if (entry.name.find_first_of(" \t") != std::string::npos) return refuse(0, "the name has a blank in it");
    std::size_t end = text_.find(':', colon + 1);
    entry.hash = std::string(text_.substr(colon + 1, end == std::string_view::npos ? end : end - colon - 1));
    if (auto problem = hash_problem(entry.hash)) return refuse(colon + 1, "the hash " + *problem);
    while (end != std::string_view::npos) {
      std::size_t begin = end + 1;
      end = text_.find(':', begin);
      if (!option(entry, begin, text_.substr(begin, end == std::string_view::npos ? end : end - begin)))
        return std::nullopt;
    }
    return entry;
  }

 private:
  bool option(UserEntry& entry, std::size_t begin, std::string_view word) {
    if (word.empty()) return true;  // a trailing colon
    if (word.starts_with("apop=")) {
      entry.apop_secret = std::string(word.substr(5));
      return true;
    }
    static constexpr std::array<std::string_view, 1> kKnown = {"apop"};
    std::string_view key = word.substr(0, word.find('='));
    refuse(begin, fmt::format("unknown option \"{}\"", key), did_you_mean(key, kKnown));
    return false;
  }
  Origin at(std::size_t offset) const { return {source_, number_, static_cast<std::uint32_t>(offset + 1)}; }
  std::nullopt_t refuse(std::size_t offset, std::string text, std::string hint = {}) {
    diagnostics_.error(at(offset), std::move(text), std::move(hint));
    return std::nullopt;
  }

  const std::shared_ptr<const SourceText>& source_;
  std::uint32_t number_;
  std::string_view text_;
  Diagnostics& diagnostics_;
};

// The same file for messages, with everything that is secret taken out: a diagnostic shows its line.
std::string without_secrets(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    std::size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string_view::npos)
      shown += line;
    else
      shown.append(line.substr(0, colon + 1)).append("...");
    shown += '\n';
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return shown;
}

}  // namespace

std::vector<UserEntry> parse_users(std::string file_name, std::string text, Diagnostics& diagnostics) {
  auto source = std::make_shared<const SourceText>(std::move(file_name), without_secrets(text));
  std::vector<UserEntry> users;
  std::string_view rest = text;
  for (std::uint32_t number = 1; !rest.empty(); ++number) {
    std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos || line.starts_with('#')) continue;
    if (auto entry = Line(source, number, line, diagnostics).parse()) users.push_back(std::move(*entry));
  }
  return users;
}

std::vector<UserEntry> read_users_file(const std::filesystem::path& file, const Origin& setting,
                                       Diagnostics& diagnostics) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) {
    diagnostics.error(setting, fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)),
                      "`postern user add` makes it");
    return {};
  }
  if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) > kMaxUsersFileBytes) {
    diagnostics.error(setting, fmt::format("{} is no file of at most {} MiB", file.string(), kMaxUsersFileBytes >> 20));
    return {};
  }
  if (info.st_mode & S_IROTH)
    diagnostics.warning(setting, "auth.users-file-readable",
                        fmt::format("everybody on this machine may read {}", file.string()),
                        "chmod o= it: hashes can be guessed offline");
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) {
    diagnostics.error(setting, fmt::format("cannot read {}", file.string()));
    return {};
  }
  return parse_users(file.string(), std::move(text), diagnostics);
}

}  // namespace postern::auth
