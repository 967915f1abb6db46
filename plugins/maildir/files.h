// The few things that the store does to a disk. All block: pool threads only. Results are 0 or an errno.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "postern/error.h"

namespace postern::maildir {

/// Closes what it holds.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { close(); }
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  int close();  ///< 0 or an errno (a full disk over NFS shows here)

 private:
  int fd_ = -1;
};

/// "store.full" for what time or a person may mend by making room, else "store.io".
Fault disk_fault(int error, std::string_view doing);

int write_all(int fd, std::string_view octets);
/// Makes root/dir with cur, new and tmp, its missing parents, and "maildirfolder" in a sub-folder (Maildir++).
/// `sync`: each new name at once; else the caller syncs the file system.
int make_maildir(const std::string& root, const std::string& dir, bool sync);
int sync_dir(const std::string& path);
bool exists(const std::string& path);
/// The whole of a small file; nothing when it is not there or larger than `limit`.
std::optional<std::string> read_small(const std::string& path, std::size_t limit);
/// Replaces a small file as a whole: readers see the old or the new one. Durable when `sync` is set.
int replace_small(const std::string& path, std::string_view octets, bool sync);

}  // namespace postern::maildir
