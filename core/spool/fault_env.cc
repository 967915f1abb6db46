// FaultEnv: each file has two contents, what the page cache holds and what the disk holds, and a set of blocks in which
// they differ. Names likewise: changes of folders wait in order until a sync_dir() of their folder, or until a power
// cut chooses which of them happened. A rename happens whole or not at all, as on every journaling file system.
#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "postern/env.h"

namespace postern {

namespace {

std::uint64_t mix(std::uint64_t& state) {  // splitmix64: a repeatable stream for each seed
  std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

struct Inode {
  std::string cache;
  std::string disk;
  std::set<std::uint64_t> dirty;  ///< block numbers
};
using Names = std::map<std::string, std::shared_ptr<Inode>>;

/// A change of names that no sync_dir() has made durable yet.
struct NameChange {
  std::string remove;  ///< empty: nothing
  std::string add;
  std::shared_ptr<Inode> inode;
  bool touches(const std::string& dir) const {
    return (!remove.empty() && folder_of(remove) == dir) || (!add.empty() && folder_of(add) == dir);
  }
  void apply(Names& names) const {
    if (!remove.empty()) names.erase(remove);
    if (!add.empty()) names[add] = inode;
  }
};

void flush_block(Inode& inode, std::uint64_t block) {
  std::uint64_t begin = block * FaultEnv::kBlock;
  if (begin >= inode.cache.size()) return;
  std::uint64_t length = std::min<std::uint64_t>(FaultEnv::kBlock, inode.cache.size() - begin);
  if (inode.disk.size() < begin + length) inode.disk.resize(begin + length);
  inode.disk.replace(begin, length, inode.cache, begin, length);
}

/// Blocks survive one by one; a file's new length survives with its last block or by a choice of its own.
void cut_power(Inode& inode, std::uint64_t& random) {
  static constexpr std::uint64_t kChances[] = {0, 10, 50, 90, 100};
  std::uint64_t chance = kChances[mix(random) % 5];
  bool length_survives = mix(random) % 100 < chance;
  for (std::uint64_t block : inode.dirty)
    if (mix(random) % 100 < chance) flush_block(inode, block);
  if (length_survives) inode.disk.resize(inode.cache.size());
  inode.dirty.clear();
  inode.cache = inode.disk;
}

}  // namespace

struct FaultEnv::State {
  mutable std::mutex mutex;
  Names cache_names, disk_names;
  std::vector<NameChange> pending;
  std::set<std::string> locks;
  std::map<std::string, std::shared_ptr<std::vector<std::uint64_t>>> shared;
  std::uint64_t epoch = 0;  ///< files opened in an earlier one are dead
  std::uint64_t capacity = ~0ULL, used = 0, random = 1;
  std::uint64_t operations = 0, stop_at = ~0ULL;
  std::uint64_t writes = 0, write_fault_at = ~0ULL, syncs = 0, sync_fault_at = ~0ULL;
  int write_error = 0, sync_error = 0;
  bool ignore_sync = false;

  int step() {
    if (operations >= stop_at) return EIO;
    ++operations;
    return 0;
  }
  int grow(Inode& inode, std::uint64_t size) {
    if (size <= inode.cache.size()) return 0;
    std::uint64_t more = size - inode.cache.size();
    if (used + more > capacity) return ENOSPC;
    used += more;
    inode.cache.resize(size);
    return 0;
  }
  void change_names(NameChange change) {
    change.apply(cache_names);
    pending.push_back(std::move(change));
  }
  void reopen() {
    ++epoch;
    locks.clear();
    stop_at = write_fault_at = sync_fault_at = ~0ULL;
    used = 0;
    std::set<Inode*> seen;
    for (auto& [name, inode] : cache_names)
      if (seen.insert(inode.get()).second) used += inode->cache.size();
  }
};

class FaultFile final : public File {
 public:
  FaultFile(FaultEnv::State& state, std::shared_ptr<Inode> inode)
      : state_(state), inode_(std::move(inode)), epoch_(state.epoch) {}

  int write(std::span<const std::string_view> parts, std::uint64_t offset) override {
    std::scoped_lock lock(state_.mutex);
    if (dead() || state_.step()) return EIO;
    bool fails = state_.writes++ == state_.write_fault_at;
    std::uint64_t total = 0;
    for (std::string_view part : parts) total += part.size();
    std::uint64_t allowed = fails ? total / 2 : total;
    for (std::string_view part : parts) {
      part = part.substr(0, allowed);
      if (int error = put(part, offset)) return error;
      offset += part.size();
      allowed -= part.size();
    }
    return fails ? state_.write_error : 0;
  }

  IoResult<std::size_t> read(std::span<char> into, std::uint64_t offset) override {
    std::scoped_lock lock(state_.mutex);
    if (dead()) return std::unexpected(EIO);
    if (offset >= inode_->cache.size()) return 0;
    return inode_->cache.copy(into.data(), into.size(), offset);
  }

  int sync() override {
    std::scoped_lock lock(state_.mutex);
    if (dead() || state_.step()) return EIO;
    if (state_.syncs++ == state_.sync_fault_at) {
      inode_->dirty.clear();  // as Linux does: the pages count as clean although the disk never got them
      return state_.sync_error;
    }
    if (state_.ignore_sync) return 0;
    for (std::uint64_t block : inode_->dirty) flush_block(*inode_, block);
    inode_->disk.resize(inode_->cache.size());
    inode_->dirty.clear();
    return 0;
  }

  void start_writeback(std::uint64_t, std::uint64_t) override {}

  IoResult<std::uint64_t> size() override {
    std::scoped_lock lock(state_.mutex);
    if (dead()) return std::unexpected(EIO);
    return inode_->cache.size();
  }

  int truncate(std::uint64_t length) override {
    std::scoped_lock lock(state_.mutex);
    if (dead() || state_.step()) return EIO;
    if (length > inode_->cache.size()) return state_.grow(*inode_, length);
    state_.used -= inode_->cache.size() - length;
    inode_->cache.resize(length);
    return 0;
  }

  int allocate(std::uint64_t offset, std::uint64_t length) override {
    std::scoped_lock lock(state_.mutex);
    if (dead() || state_.step()) return EIO;
    return state_.grow(*inode_, offset + length);
  }

 private:
  bool dead() const { return epoch_ != state_.epoch; }
  int put(std::string_view part, std::uint64_t offset) {
    if (part.empty()) return 0;
    if (int error = state_.grow(*inode_, offset + part.size())) return error;
    inode_->cache.replace(offset, part.size(), part);
    for (std::uint64_t block = offset / FaultEnv::kBlock; block * FaultEnv::kBlock < offset + part.size(); ++block)
      inode_->dirty.insert(block);
    return 0;
  }

  FaultEnv::State& state_;
  std::shared_ptr<Inode> inode_;
  std::uint64_t epoch_;
};

class FaultLock final : public FileLock {
 public:
  FaultLock(FaultEnv::State& state, std::string path) : state_(state), path_(std::move(path)), epoch_(state.epoch) {}
  ~FaultLock() override {
    std::scoped_lock lock(state_.mutex);
    if (epoch_ == state_.epoch) state_.locks.erase(path_);
  }

 private:
  FaultEnv::State& state_;
  std::string path_;
  std::uint64_t epoch_;
};

namespace {
class FaultShared final : public SharedMemory {
 public:
  explicit FaultShared(std::shared_ptr<std::vector<std::uint64_t>> words) : words_(std::move(words)) {}
  std::span<std::uint64_t> words() override { return *words_; }

 private:
  std::shared_ptr<std::vector<std::uint64_t>> words_;
};
}  // namespace

FaultEnv::FaultEnv(std::uint64_t seed, std::uint64_t capacity) : state_(std::make_unique<State>()) {
  state_->random = seed;
  state_->capacity = capacity;
}
FaultEnv::~FaultEnv() = default;

void FaultEnv::power_loss(std::uint64_t seed) {
  std::scoped_lock lock(state_->mutex);
  std::uint64_t random = seed;
  for (const NameChange& change : state_->pending)
    if (mix(random) % 2) change.apply(state_->disk_names);
  state_->pending.clear();
  std::set<Inode*> seen;
  for (auto& [name, inode] : state_->disk_names)
    if (seen.insert(inode.get()).second) cut_power(*inode, random);
  state_->cache_names = state_->disk_names;
  state_->shared.clear();
  state_->reopen();
}

void FaultEnv::process_crash() {
  std::scoped_lock lock(state_->mutex);
  state_->reopen();
}

void FaultEnv::ignore_sync(bool ignore) {
  std::scoped_lock lock(state_->mutex);
  state_->ignore_sync = ignore;
}

void FaultEnv::set_capacity(std::uint64_t octets) {
  std::scoped_lock lock(state_->mutex);
  state_->capacity = octets;
}

void FaultEnv::fail_write(int error, unsigned after) {
  std::scoped_lock lock(state_->mutex);
  state_->write_error = error;
  state_->write_fault_at = state_->writes + after;
}

void FaultEnv::fail_sync(int error, unsigned after) {
  std::scoped_lock lock(state_->mutex);
  state_->sync_error = error;
  state_->sync_fault_at = state_->syncs + after;
}

std::uint64_t FaultEnv::operations() const {
  std::scoped_lock lock(state_->mutex);
  return state_->operations;
}

void FaultEnv::stop_after(std::uint64_t count) {
  std::scoped_lock lock(state_->mutex);
  state_->stop_at = state_->operations + count;
}

std::uint64_t FaultEnv::used() const {
  std::scoped_lock lock(state_->mutex);
  return state_->used;
}

std::string FaultEnv::content(const std::string& path) const {
  std::scoped_lock lock(state_->mutex);
  auto found = state_->cache_names.find(path);
  return found == state_->cache_names.end() ? std::string() : found->second->cache;
}

void FaultEnv::set_content(const std::string& path, std::string octets) {
  std::scoped_lock lock(state_->mutex);
  auto& inode = state_->cache_names[path];
  if (!inode) inode = std::make_shared<Inode>();
  state_->used += octets.size() - inode->cache.size();
  inode->cache = inode->disk = std::move(octets);
  inode->dirty.clear();
  state_->disk_names[path] = inode;
}

IoResult<std::unique_ptr<File>> FaultEnv::open(const std::string& path, OpenMode mode) {
  std::scoped_lock lock(state_->mutex);
  auto found = state_->cache_names.find(path);
  if (found != state_->cache_names.end()) return std::make_unique<FaultFile>(*state_, found->second);
  if (mode != OpenMode::kCreate) return std::unexpected(ENOENT);
  if (state_->step()) return std::unexpected(EIO);
  auto inode = std::make_shared<Inode>();
  state_->change_names({.remove = {}, .add = path, .inode = inode});
  return std::make_unique<FaultFile>(*state_, inode);
}

int FaultEnv::rename(const std::string& from, const std::string& to) {
  std::scoped_lock lock(state_->mutex);
  auto found = state_->cache_names.find(from);
  if (found == state_->cache_names.end()) return ENOENT;
  if (int error = state_->step()) return error;
  if (auto old = state_->cache_names.find(to); old != state_->cache_names.end())
    state_->used -= old->second->cache.size();
  state_->change_names({.remove = from, .add = to, .inode = found->second});
  return 0;
}

int FaultEnv::unlink(const std::string& path) {
  std::scoped_lock lock(state_->mutex);
  auto found = state_->cache_names.find(path);
  if (found == state_->cache_names.end()) return ENOENT;
  if (int error = state_->step()) return error;
  state_->used -= found->second->cache.size();
  state_->change_names({.remove = path, .add = {}, .inode = nullptr});
  return 0;
}

int FaultEnv::make_dir(const std::string&) {
  return 0;
}

int FaultEnv::sync_dir(const std::string& path) {
  std::scoped_lock lock(state_->mutex);
  if (int error = state_->step()) return error;
  if (state_->ignore_sync) return 0;
  std::erase_if(state_->pending, [&](const NameChange& change) {
    if (!change.touches(path)) return false;
    change.apply(state_->disk_names);
    return true;
  });
  return 0;
}

IoResult<std::vector<std::string>> FaultEnv::list(const std::string& dir) {
  std::scoped_lock lock(state_->mutex);
  std::vector<std::string> names;
  for (auto& [name, inode] : state_->cache_names)
    if (folder_of(name) == dir) names.push_back(name.substr(dir.size() + 1));
  return names;
}

IoResult<std::unique_ptr<FileLock>> FaultEnv::lock(const std::string& path, int& holder) {
  std::scoped_lock lock(state_->mutex);
  holder = 0;
  if (!state_->locks.insert(path).second) return std::unexpected(EWOULDBLOCK);
  return std::make_unique<FaultLock>(*state_, path);
}

IoResult<std::unique_ptr<SharedMemory>> FaultEnv::map(const std::string& path, std::size_t words) {
  std::scoped_lock lock(state_->mutex);
  auto& memory = state_->shared[path];
  if (!memory) memory = std::make_shared<std::vector<std::uint64_t>>();
  memory->resize(words);
  return std::make_unique<FaultShared>(memory);
}

IoResult<std::uint64_t> FaultEnv::free_bytes(const std::string&) {
  std::scoped_lock lock(state_->mutex);
  return state_->capacity > state_->used ? state_->capacity - state_->used : 0;
}

std::uint64_t FaultEnv::random() {
  std::scoped_lock lock(state_->mutex);
  return mix(state_->random);
}

}  // namespace postern
