// The file layer: everything that the spool (and what else must survive a power cut) asks of a disk.
//
// PosixEnv is the real one. FaultEnv keeps its files in memory, split into what the page cache holds and what the disk
// holds, so that a test can cut the power at any moment, fill the disk, or make a write fail.
//
// Errors: an errno as a value (IoResult<T>, or a plain int where 0 is success); the caller knows what they mean to it.
// Thread: an Env and a File may be used by several threads at once; every call may block, so none belongs on a worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

template <class T>
using IoResult = std::expected<T, int>;  ///< the error is an errno

/// An open file. Destruction closes it.
class File {
 public:
  virtual ~File();
  /// Writes all parts, one after the other, from `offset`. 0 or an errno; after an error any part may have been
  /// written.
  virtual int write(std::span<const std::string_view> parts, std::uint64_t offset) = 0;
  /// Reads until `into` is full or the file ends; returns the octets read.
  virtual IoResult<std::size_t> read(std::span<char> into, std::uint64_t offset) = 0;
  /// Returns when the file's octets (and what is needed to find them) are on the disk: fdatasync.
  virtual int sync() = 0;
  /// Tells the system to begin writing a range out, so that a later sync() has less to wait for. Promises nothing.
  virtual void start_writeback(std::uint64_t offset, std::uint64_t length) = 0;
  virtual IoResult<std::uint64_t> size() = 0;
  virtual int truncate(std::uint64_t length) = 0;
  /// Takes room on the disk without writing it (fallocate); ENOTSUP where the file system cannot.
  virtual int allocate(std::uint64_t offset, std::uint64_t length) = 0;
};

/// A lock on a file that dies with its process. Destruction gives it up.
class FileLock {
 public:
  virtual ~FileLock();
};

/// Octets that survive the process, but not a power cut, without a system call per change (a shared mapping).
class SharedMemory {
 public:
  virtual ~SharedMemory();
  virtual std::span<std::uint64_t> words() = 0;
};

enum class OpenMode : std::uint8_t {
  kRead,    ///< must exist
  kUpdate,  ///< read and write; must exist
  kCreate   ///< read and write; made when it does not exist
};

class Env {
 public:
  virtual ~Env();
  virtual IoResult<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int unlink(const std::string& path) = 0;
  virtual int make_dir(const std::string& path) = 0;  ///< 0 when it exists already; parents must exist
  /// Returns when the names in a folder are on the disk.
  virtual int sync_dir(const std::string& path) = 0;
  /// Names of the files in a folder, sorted, without "." and "..".
  virtual IoResult<std::vector<std::string>> list(const std::string& dir) = 0;
  /// EWOULDBLOCK when another holds it; `holder` then tells its process id, 0 when unknown.
  virtual IoResult<std::unique_ptr<FileLock>> lock(const std::string& path, int& holder) = 0;
  virtual IoResult<std::unique_ptr<SharedMemory>> map(const std::string& path, std::size_t words) = 0;
  virtual IoResult<std::uint64_t> free_bytes(const std::string& dir) = 0;
  virtual std::uint64_t random() = 0;  ///< not to be guessed by a stranger
};

/// Puts a whole text in the place of a file, so that a crash at any moment leaves the old text or the new one: written
/// under another name beside it ("NAME.<16 hex digits>.tmp"), synced, renamed, and the folder synced.
///
/// Errors: 0 or an errno; after one the old text stands (the new one, when only the folder could not be synced). A
///         crash in the middle leaves a draft: see remove_drafts().
int replace_file(Env& env, const std::string& folder, const std::string& name, std::string_view text);
/// Takes away what replace_file() of an earlier process left of `name`, or of all names when that is empty.
void remove_drafts(Env& env, const std::string& folder, std::string_view name = {});
/// A whole file. Errors: EFBIG when it has more than `limit` octets.
IoResult<std::string> read_file(Env& env, const std::string& path, std::size_t limit);

/// The file system of this machine.
class PosixEnv final : public Env {
 public:
  IoResult<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  int rename(const std::string& from, const std::string& to) override;
  int unlink(const std::string& path) override;
  int make_dir(const std::string& path) override;
  int sync_dir(const std::string& path) override;
  IoResult<std::vector<std::string>> list(const std::string& dir) override;
  IoResult<std::unique_ptr<FileLock>> lock(const std::string& path, int& holder) override;
  IoResult<std::unique_ptr<SharedMemory>> map(const std::string& path, std::size_t words) override;
  IoResult<std::uint64_t> free_bytes(const std::string& dir) override;
  std::uint64_t random() override;
};

/// A disk in memory that a test can betray. Folders need not be made before files are put into them.
class FaultEnv final : public Env {
 public:
  static constexpr std::size_t kBlock = 512;  ///< what the disk writes whole or not at all

  explicit FaultEnv(std::uint64_t seed = 1, std::uint64_t capacity = ~0ULL);
  ~FaultEnv() override;

  /// What a power cut leaves: synced blocks and names, and of the others, block by block, a choice made by `seed`.
  /// All open files are dead afterwards (EIO), locks are free, shared memory is zero.
  void power_loss(std::uint64_t seed);
  /// What a process crash leaves: everything written; open files are dead, locks are free, shared memory stays.
  void process_crash();

  void ignore_sync(bool ignore);               ///< a disk that lies: sync() and sync_dir() say yes and do nothing
  void set_capacity(std::uint64_t octets);     ///< beyond which writes fail with ENOSPC
  void fail_write(int error, unsigned after);  ///< the write after `after` more writes fails, halfway, once
  void fail_sync(int error, unsigned after);   ///< likewise for sync()
  std::uint64_t operations() const;            ///< writes, syncs, renames, unlinks so far
  /// From now on every operation after `count` more does nothing and fails with EIO: the moment of the power cut.
  void stop_after(std::uint64_t count);
  std::uint64_t used() const;  ///< octets that count against the capacity
  std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string octets);  ///< durable at once

  IoResult<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  int rename(const std::string& from, const std::string& to) override;
  int unlink(const std::string& path) override;
  int make_dir(const std::string& path) override;
  int sync_dir(const std::string& path) override;
  IoResult<std::vector<std::string>> list(const std::string& dir) override;
  IoResult<std::unique_ptr<FileLock>> lock(const std::string& path, int& holder) override;
  IoResult<std::unique_ptr<SharedMemory>> map(const std::string& path, std::size_t words) override;
  IoResult<std::uint64_t> free_bytes(const std::string& dir) override;
  std::uint64_t random() override;

 private:
  friend class FaultFile;
  friend class FaultLock;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern
