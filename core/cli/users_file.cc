#include "postern/users_file.h"

#include <argon2.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "core/base/descriptor.h"
#include "postern/address.h"
#include "postern/file.h"
#include "postern/random.h"
#include "postern/text.h"
#include "postern/time.h"

namespace postern {

namespace {

constexpr std::uint32_t kPasses = 2, kMemoryKib = 19456, kLanes = 1;
constexpr std::size_t kSaltBytes = 16, kDigestBytes = 32;
constexpr std::size_t kMaxPasswordBytes = 1024;  // what modules/auth takes
constexpr std::size_t kMaxNameBytes = 320;
constexpr std::size_t kMaxFileBytes = std::size_t{256} << 20;  // a million accounts and room to spare
constexpr Duration kLockWait = 5s;

std::unexpected<Fault> io_fault(const std::filesystem::path& file, std::string_view what) {
  int error = errno;
  return fault("users.io", fmt::format("{}: {}: {}", file.string(), what, std::strerror(error)));
}

std::string_view name_of(std::string_view line) {
  if (line.empty() || line.front() == '#') return {};
  std::size_t colon = line.find(':');
  return colon == std::string_view::npos ? std::string_view() : line.substr(0, colon);
}

std::string_view hash_of(std::string_view line) {
  std::string_view rest = line.substr(line.find(':') + 1);
  return rest.substr(0, rest.find(':'));
}

std::string scheme_of(std::string_view hash) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kSchemes = {{{"$argon2id$", "argon2id"},
                                                                                             {"$argon2i$", "argon2i"},
                                                                                             {"$y$", "yescrypt"},
                                                                                             {"$2", "bcrypt"},
                                                                                             {"$6$", "sha512"},
                                                                                             {"$5$", "sha256"}}};
  for (const auto& [prefix, name] : kSchemes)
    if (hash.starts_with(prefix)) return std::string(name);
  return "other";
}

Result<void> check_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return fault("users.name", "a name has 1 to 320 octets");
  for (unsigned char c : name)
    if (c <= ' ' || c == 0x7F || c == ':' || c == '#')
      return fault("users.name", fmt::format("\"{}\" has a blank, a colon, a # or a control character in it", name));
  std::string whole(name);
  if (name.find('@') == std::string_view::npos) whole += "@example.org";  // the default domain is the server's to add
  auto parsed = Address::parse(whole);
  if (!parsed)
    return fault("users.name", fmt::format("\"{}\" is not an address: {}", name, parsed.error().to_string()));
  return {};
}

Result<void> check_hash(std::string_view hash) {
  for (unsigned char c : hash)
    if (c <= ' ' || c >= 0x7F || c == ':')
      return fault("users.password", "the hash has a blank, a colon or a control character in it");
  if (hash.empty()) return fault("users.password", "the hash is empty; \"!\" means no log-in");
  return {};
}

// Beside the file, since saving gives the file's name to another one.
Result<Descriptor> lock(const std::filesystem::path& file) {
  std::filesystem::path name = file;
  name += ".lock";
  Descriptor fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return io_fault(name, "cannot open the lock");
  auto end = std::chrono::steady_clock::now() + kLockWait;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return io_fault(name, "cannot lock");
    if (std::chrono::steady_clock::now() > end)
      return fault("users.locked", fmt::format("{} is being edited by somebody else", file.string()));
    std::this_thread::sleep_for(20ms);
  }
  return fd;
}

Result<void> write_all(int fd, std::string_view text, const std::filesystem::path& file) {
  while (!text.empty()) {
    ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_fault(file, "cannot write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return io_fault(file, "cannot sync");
  return {};
}

}  // namespace

Result<std::string> hash_password(std::string_view password) {
  if (password.empty()) return fault("users.password", "the password is empty");
  if (password.size() > kMaxPasswordBytes) return fault("users.password", "the password has over 1024 octets");
  if (password.find('\0') != std::string_view::npos) return fault("users.password", "the password has a NUL in it");
  std::array<std::byte, kSaltBytes> salt{};
  fill_random(salt);
  std::string encoded(argon2_encodedlen(kPasses, kMemoryKib, kLanes, kSaltBytes, kDigestBytes, Argon2_id), '\0');
  int error = argon2id_hash_encoded(kPasses, kMemoryKib, kLanes, password.data(), password.size(), salt.data(),
                                    salt.size(), kDigestBytes, encoded.data(), encoded.size());
  if (error != ARGON2_OK) return fault("users.password", argon2_error_message(error));
  encoded.resize(std::strlen(encoded.c_str()));
  return encoded;
}

struct UsersFile::Impl {
  std::filesystem::path file;
  Descriptor lock;
  std::vector<std::string> lines;
  std::optional<struct stat> info;  // of the file that is there

  std::size_t find(std::string_view name) const {
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (!name.empty() && equal_folded(name_of(lines[i]), name)) return i;
    return lines.size();
  }

  Result<void> read() {
    struct stat found{};
    if (::stat(file.c_str(), &found) != 0) return errno == ENOENT ? Result<void>() : io_fault(file, "cannot read");
    info = found;
    auto whole = read_regular_file(file, kMaxFileBytes);
    if (!whole) return fault("users.io", fmt::format("{}: cannot read: {}", file.string(), whole.error().detail));
    std::string_view text = *whole;
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (!text.empty())
      for (std::string_view line : split(text, '\n'))
        lines.emplace_back(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (!trim(lines[i]).empty() && lines[i].front() != '#' && name_of(lines[i]).empty())
        return fault("users.syntax", fmt::format("{}:{}: expected \"name:hash\"", file.string(), i + 1));
    return {};
  }

  Result<void> give_owner(int fd) const {
    mode_t mode = info ? info->st_mode & 07777 : 0640;
    if (::fchmod(fd, mode) != 0) return io_fault(file, "cannot set the mode");
    struct stat owner{};
    if (info)
      owner = *info;
    else if (::stat(file.parent_path().empty() ? "." : file.parent_path().c_str(), &owner) != 0)
      return io_fault(file, "no such folder");
    // Only root can give files away; anybody else already is the owner, or may not replace the file for him.
    if (owner.st_uid == ::geteuid() && owner.st_gid == ::getegid()) return {};
    if (::fchown(fd, owner.st_uid, owner.st_gid) != 0 && (info || ::geteuid() == 0))
      return io_fault(file, "cannot keep the owner");
    return {};
  }
};

UsersFile::UsersFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
UsersFile::UsersFile(UsersFile&&) noexcept = default;
UsersFile& UsersFile::operator=(UsersFile&&) noexcept = default;
UsersFile::~UsersFile() = default;

Result<UsersFile> UsersFile::open(std::filesystem::path file) {
  auto impl = std::make_unique<Impl>();
  impl->file = std::move(file);
  auto locked = lock(impl->file);
  if (!locked) return std::unexpected(locked.error());
  impl->lock = std::move(*locked);
  if (auto done = impl->read(); !done) return std::unexpected(done.error());
  return UsersFile(std::move(impl));
}

std::vector<UsersFile::User> UsersFile::list() const {
  std::vector<User> users;
  for (const std::string& line : impl_->lines) {
    if (name_of(line).empty()) continue;
    std::string_view hash = hash_of(line);
    User user;
    user.name = std::string(name_of(line));
    user.locked = hash.empty() || hash.front() == '!' || hash.front() == '*';
    user.apop = line.find(":apop=") != std::string::npos;
    if (!user.locked) user.scheme = scheme_of(hash);
    users.push_back(std::move(user));
  }
  return users;
}

bool UsersFile::contains(std::string_view name) const {
  return impl_->find(name) < impl_->lines.size();
}

Result<void> UsersFile::add(std::string_view name, std::string_view hash) {
  if (auto checked = check_name(name); !checked) return checked;
  if (auto checked = check_hash(hash); !checked) return checked;
  if (contains(name)) return fault("users.exists", fmt::format("there is a user {} already", name));
  impl_->lines.push_back(fmt::format("{}:{}", name, hash));
  return {};
}

Result<void> UsersFile::set_hash(std::string_view name, std::string_view hash) {
  if (auto checked = check_hash(hash); !checked) return checked;
  std::size_t at = impl_->find(name);
  if (at == impl_->lines.size()) return fault("users.unknown", fmt::format("there is no user {}", name));
  std::string& line = impl_->lines[at];
  line.replace(line.find(':') + 1, hash_of(line).size(), hash);
  return {};
}

Result<void> UsersFile::remove(std::string_view name) {
  std::size_t at = impl_->find(name);
  if (at == impl_->lines.size()) return fault("users.unknown", fmt::format("there is no user {}", name));
  impl_->lines.erase(impl_->lines.begin() + static_cast<std::ptrdiff_t>(at));
  return {};
}

Result<void> UsersFile::save() {
  std::string text;
  for (const std::string& line : impl_->lines) text.append(line).append("\n");
  std::filesystem::path fresh = impl_->file;
  fresh += ".new";  // ours alone, by the lock; one that a crash left is overwritten
  ::unlink(fresh.c_str());
  Descriptor fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return io_fault(fresh, "cannot write");
  auto done = write_all(fd.get(), text, fresh);
  if (done) done = impl_->give_owner(fd.get());
  if (done && ::rename(fresh.c_str(), impl_->file.c_str()) != 0) done = io_fault(impl_->file, "cannot replace");
  if (!done) {
    ::unlink(fresh.c_str());
    return done;
  }
  std::filesystem::path folder = impl_->file.parent_path();
  Descriptor directory(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return io_fault(folder, "cannot sync the folder");
  return {};
}

}  // namespace postern
