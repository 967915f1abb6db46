// PosixEnv: the file layer on Linux. Every call is one or a few system calls; nothing is cached.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <utility>

#include "core/base/descriptor.h"
#include "postern/env.h"
#include "postern/random.h"

namespace postern {

namespace {

/// One pwritev of up to IOV_MAX parts, from `skip` octets into the first; returns octets written or -errno.
std::ptrdiff_t write_some(int fd, std::span<const std::string_view> parts, std::size_t skip, std::uint64_t offset) {
  std::array<iovec, IOV_MAX> vectors;
  std::size_t count = 0;
  for (std::string_view part : parts) {
    if (count == vectors.size()) break;
    part.remove_prefix(std::exchange(skip, 0));
    if (!part.empty()) vectors[count++] = {const_cast<char*>(part.data()), part.size()};
  }
  if (count == 0) return 0;
  ssize_t written = ::pwritev(fd, vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
  return written < 0 ? -errno : written;
}

class PosixFile final : public File {
 public:
  explicit PosixFile(Descriptor fd) : fd_(std::move(fd)) {}

  int write(std::span<const std::string_view> parts, std::uint64_t offset) override {
    std::size_t skip = 0;
    while (!parts.empty()) {
      if (skip == parts.front().size()) {
        parts = parts.subspan(1);
        skip = 0;
        continue;
      }
      std::ptrdiff_t written = write_some(fd_.get(), parts, skip, offset);
      if (written == -EINTR) continue;
      if (written < 0) return static_cast<int>(-written);
      offset += static_cast<std::uint64_t>(written);
      skip += static_cast<std::size_t>(written);
      while (!parts.empty() && skip >= parts.front().size()) {
        skip -= parts.front().size();
        parts = parts.subspan(1);
      }
    }
    return 0;
  }

  IoResult<std::size_t> read(std::span<char> into, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < into.size()) {
      ssize_t got = ::pread(fd_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::unexpected(errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  int sync() override { return ::fdatasync(fd_.get()) == 0 ? 0 : errno; }

  void start_writeback(std::uint64_t offset, std::uint64_t length) override {
    ::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
  }

  IoResult<std::uint64_t> size() override {
    struct stat status;
    if (::fstat(fd_.get(), &status) != 0) return std::unexpected(errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

  int truncate(std::uint64_t length) override {
    return ::ftruncate(fd_.get(), static_cast<off_t>(length)) == 0 ? 0 : errno;
  }

  int allocate(std::uint64_t offset, std::uint64_t length) override {
    return ::fallocate(fd_.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0 ? 0 : errno;
  }

 private:
  Descriptor fd_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

class PosixShared final : public SharedMemory {
 public:
  PosixShared(void* memory, std::size_t words) : memory_(static_cast<std::uint64_t*>(memory)), words_(words) {}
  ~PosixShared() override { ::munmap(memory_, words_ * sizeof(std::uint64_t)); }
  std::span<std::uint64_t> words() override { return {memory_, words_}; }

 private:
  std::uint64_t* memory_;
  std::size_t words_;
};

int result_of(int returned) {
  return returned == 0 ? 0 : errno;
}

/// The process id that the lock's holder wrote into the file.
int read_holder(int fd) {
  std::array<char, 16> text{};
  ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  int pid = 0;
  if (got > 0) std::from_chars(text.data(), text.data() + got, pid);
  return pid;
}

}  // namespace

IoResult<std::unique_ptr<File>> PosixEnv::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC | (mode == OpenMode::kRead ? O_RDONLY : O_RDWR);
  if (mode == OpenMode::kCreate) flags |= O_CREAT;
  Descriptor fd(::open(path.c_str(), flags, 0600));
  if (!fd) return std::unexpected(errno);
  return std::make_unique<PosixFile>(std::move(fd));
}

int PosixEnv::rename(const std::string& from, const std::string& to) {
  return result_of(::rename(from.c_str(), to.c_str()));
}

int PosixEnv::unlink(const std::string& path) {
  return result_of(::unlink(path.c_str()));
}

int PosixEnv::make_dir(const std::string& path) {
  int error = result_of(::mkdir(path.c_str(), 0700));
  return error == EEXIST ? 0 : error;
}

int PosixEnv::sync_dir(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno;
  return result_of(::fsync(fd.get()));
}

IoResult<std::vector<std::string>> PosixEnv::list(const std::string& dir) {
  DIR* folder = ::opendir(dir.c_str());
  if (!folder) return std::unexpected(errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(folder);
  std::ranges::sort(names);
  return names;
}

IoResult<std::unique_ptr<FileLock>> PosixEnv::lock(const std::string& path, int& holder) {
  holder = 0;
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return std::unexpected(errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    int error = errno;
    holder = read_holder(fd.get());
    return std::unexpected(error);
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return std::unexpected(errno);
  return std::make_unique<PosixLock>(std::move(fd));
}

IoResult<std::unique_ptr<SharedMemory>> PosixEnv::map(const std::string& path, std::size_t words) {
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return std::unexpected(errno);
  std::size_t octets = words * sizeof(std::uint64_t);
  if (int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(octets))) return std::unexpected(error);
  void* memory = ::mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return std::unexpected(errno);
  return std::make_unique<PosixShared>(memory, words);
}

IoResult<std::uint64_t> PosixEnv::free_bytes(const std::string& dir) {
  struct statvfs status;
  if (::statvfs(dir.c_str(), &status) != 0) return std::unexpected(errno);
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

std::uint64_t PosixEnv::random() {
  return random_u64();
}

}  // namespace postern
