#include "core/loader/module_stamp.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

namespace postern {
namespace {

constexpr std::size_t kMaxSections = 4096;
constexpr std::size_t kMaxNames = 1 << 20;  // octets of all section names
constexpr std::size_t kMaxStamp = 256;
constexpr unsigned char kByteOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

class File {
 public:
  explicit File(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_regular() const {
    struct stat info{};
    return fd_ >= 0 && ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode);
  }
  bool opened() const { return fd_ >= 0; }
  /// All of `size` octets at `offset`, or nothing of them.
  bool read(void* to, std::size_t size, std::uint64_t offset) const {
    if (offset > static_cast<std::uint64_t>(INT64_MAX) - size) return false;
    ssize_t got = 0;
    do {
      got = ::pread(fd_, to, size, static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    return got >= 0 && static_cast<std::size_t>(got) == size;
  }

 private:
  int fd_;
};

/// The text of the section, or nothing when the file has none or is no such file.
std::string find_stamp(const File& file) {
  Elf64_Ehdr head{};
  if (!file.read(&head, sizeof head, 0) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != kByteOrder) return {};
  if (head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shnum > kMaxSections || head.e_shstrndx >= head.e_shnum)
    return {};
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  if (!file.read(sections.data(), sections.size() * sizeof(Elf64_Shdr), head.e_shoff)) return {};
  const Elf64_Shdr& names_at = sections[head.e_shstrndx];
  if (names_at.sh_size == 0 || names_at.sh_size > kMaxNames) return {};
  std::string names(names_at.sh_size, '\0');
  if (!file.read(names.data(), names.size(), names_at.sh_offset)) return {};
  names.back() = '\0';
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_name >= names.size() || std::strcmp(names.c_str() + section.sh_name, ".postern") != 0) continue;
    if (section.sh_type != SHT_PROGBITS || section.sh_size > kMaxStamp) return {};
    std::string stamp(section.sh_size, '\0');
    if (!file.read(stamp.data(), stamp.size(), section.sh_offset)) return {};
    return stamp.c_str();
  }
  return {};
}

}  // namespace

Result<std::string> read_module_stamp(const std::filesystem::path& path) {
  const File file(path);
  if (!file.opened()) return fault("module.open", fmt::format("{}: {}", path.string(), std::strerror(errno)));
  std::string stamp = file.is_regular() ? find_stamp(file) : std::string();
  if (stamp.empty())
    return fault("module.entry", fmt::format("{} is no Postern module: it has no fingerprint", path.string()));
  return stamp;
}

}  // namespace postern
