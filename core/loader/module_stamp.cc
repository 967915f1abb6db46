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

#include "core/base/descriptor.h"

namespace postern {
namespace {

constexpr std::size_t kMaxSections = 4096;
constexpr std::size_t kMaxNames = 1 << 20;  // octets of all section names
constexpr std::size_t kMaxStamp = 256;
constexpr unsigned char kByteOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

/// All of `size` octets at `offset`, or nothing of them.
bool read_at(int fd, void* to, std::size_t size, std::uint64_t offset) {
  if (offset > static_cast<std::uint64_t>(INT64_MAX) - size) return false;
  ssize_t got = 0;
  do {
    got = ::pread(fd, to, size, static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  return got >= 0 && static_cast<std::size_t>(got) == size;
}

/// The text of the section, or nothing when the file has none or is no such file.
std::string find_stamp(int fd) {
  Elf64_Ehdr head{};
  if (!read_at(fd, &head, sizeof head, 0) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != kByteOrder) return {};
  if (head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shnum > kMaxSections || head.e_shstrndx >= head.e_shnum)
    return {};
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  if (!read_at(fd, sections.data(), sections.size() * sizeof(Elf64_Shdr), head.e_shoff)) return {};
  const Elf64_Shdr& names_at = sections[head.e_shstrndx];
  if (names_at.sh_size == 0 || names_at.sh_size > kMaxNames) return {};
  std::string names(names_at.sh_size, '\0');
  if (!read_at(fd, names.data(), names.size(), names_at.sh_offset)) return {};
  names.back() = '\0';
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_name >= names.size() || std::strcmp(names.c_str() + section.sh_name, ".postern") != 0) continue;
    if (section.sh_type != SHT_PROGBITS || section.sh_size > kMaxStamp) return {};
    std::string stamp(section.sh_size, '\0');
    if (!read_at(fd, stamp.data(), stamp.size(), section.sh_offset)) return {};
    return stamp.c_str();
  }
  return {};
}

}  // namespace

Result<std::string> read_module_stamp(const std::filesystem::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return fault("module.open", fmt::format("{}: {}", path.string(), std::strerror(errno)));
  std::string stamp = S_ISREG(info.st_mode) ? find_stamp(fd.get()) : std::string();
  if (stamp.empty())
    return fault("module.entry", fmt::format("{} is no Postern module: it has no fingerprint", path.string()));
  return stamp;
}

}  // namespace postern
