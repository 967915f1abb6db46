#include "batch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace postern::maildir {

namespace {

constexpr std::size_t kBufferBudget = 16U << 20;  // per worker

}  // namespace

Batch::Batch(Executor& home, SyncMode mode, const std::string& root) : home_(home), mode_(mode) {
  Descriptor dir(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat facts{};
  if (dir && ::fstat(dir.get(), &facts) == 0) file_systems_.emplace(facts.st_dev, std::move(dir));
}

bool Batch::reserve(std::size_t octets) {
  if (reserved_ + octets > kBufferBudget) return false;
  reserved_ += octets;
  return true;
}

void Batch::add(DiskWork& work) {
  gathering_.push_back(&work);
  if (step_ != Step::kIdle) return;
  step_ = Step::kGathering;
  home_.post_later(*this);  // what this turn of the loop still brings comes along
}

void Batch::submit() {
  const std::size_t some = std::min(gathering_.size(), kMaxOps);
  running_.assign(gathering_.begin(), gathering_.begin() + static_cast<std::ptrdiff_t>(some));
  gathering_.erase(gathering_.begin(), gathering_.begin() + static_cast<std::ptrdiff_t>(some));
  step_ = Step::kOnDisk;
  try {
    home_.submit(Pool::kDisk, *this);
  } catch (const Overloaded&) {
    for (DiskWork* work : running_) work->error = EAGAIN;
    step_ = Step::kBack;
    home_.post_later(*this);
  }
}

void Batch::run() {
  switch (step_) {
    case Step::kGathering:
      return submit();
    case Step::kOnDisk:
      do_all();
      step_ = Step::kBack;
      return home_.post_remote(*this);
    case Step::kBack:
      return finish();
    case Step::kIdle:
      return;
  }
}

void Batch::finish() {
  std::vector<DiskWork*> done;
  done.swap(running_);
  step_ = Step::kIdle;
  if (!gathering_.empty()) submit();  // the disk goes on while the coroutines do
  for (DiskWork* work : done) work->waiter_.resume();
}

void Batch::do_all() noexcept {
  for (DiskWork* work : running_) work->work();
  if (mode_ == SyncMode::kFileSystem)
    sync_file_systems();
  else
    sync_each();
  for (DiskWork* work : running_)
    if (const int closed = work->file.close(); work->error == 0) work->error = closed;
}

int Batch::sync_one_file_system(dev_t device, const std::string& dir) {
  auto known = file_systems_.find(device);
  if (known != file_systems_.end()) return ::syncfs(known->second.get()) == 0 ? 0 : errno;
  // Its errors are counted from the moment it is opened, so the first sync of all goes file by file.
  sync_each();
  Descriptor opened(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return errno;
  file_systems_.emplace(device, std::move(opened));
  return 0;
}

void Batch::sync_file_systems() noexcept {
  std::map<dev_t, int> results;
  for (DiskWork* work : running_) {
    for (const std::string& dir : work->dirs) {
      if (work->error != 0) break;
      struct stat facts{};
      if (::stat(dir.c_str(), &facts) != 0) {
        work->error = errno;
        continue;
      }
      auto known = results.find(facts.st_dev);
      if (known == results.end()) known = results.emplace(facts.st_dev, sync_one_file_system(facts.st_dev, dir)).first;
      work->error = known->second;
    }
  }
}

void Batch::sync_each() noexcept {
  for (DiskWork* work : running_)  // first all begin to be written, then each is waited for
    if (work->file) ::sync_file_range(work->file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
  for (DiskWork* work : running_)
    if (work->file && work->error == 0 && ::fdatasync(work->file.get()) != 0) work->error = errno;
  std::map<std::string_view, int> results;
  for (DiskWork* work : running_) {
    for (const std::string& dir : work->dirs) {
      if (work->error != 0) break;
      auto known = results.find(dir);
      if (known == results.end()) known = results.emplace(dir, sync_dir(dir)).first;
      work->error = known->second;
    }
  }
}

}  // namespace postern::maildir
