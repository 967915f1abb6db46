#include "core/loader/overload_monitor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace postern {

Overload::~Overload() = default;

namespace {

std::uint64_t resident_bytes() {
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[128];
  const ssize_t got = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  unsigned long long total = 0, resident = 0;
  if (std::sscanf(text, "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Linux gives the number of open descriptors as the size of /proc/self/fd (6.2 and later; 0 before); the lowest free
/// one is a lower bound elsewhere, since descriptors are handed out from below.
std::uint64_t open_descriptors() {
  struct stat info{};
  if (::stat("/proc/self/fd", &info) == 0 && info.st_size > 0) return static_cast<std::uint64_t>(info.st_size);
  const int lowest = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
  if (lowest < 0) return ~0ULL;
  ::close(lowest);
  return static_cast<std::uint64_t>(lowest);
}

}  // namespace

OverloadMonitor::OverloadMonitor(const LimitSettings& limits) {
  set(limits);
}
OverloadMonitor::~OverloadMonitor() = default;

void OverloadMonitor::set(const LimitSettings& limits) {
  budget_ = limits.memory.bytes;
  reserved_ = limits.reserved_descriptors;
}

Overload::Level OverloadMonitor::judge(std::uint64_t memory, std::uint64_t budget, std::uint64_t descriptors,
                                       std::uint64_t allowed) {
  if (memory > budget + budget / 4 || descriptors >= allowed) return Level::kRefuse;
  return memory > budget ? Level::kSlow : Level::kNormal;
}

bool OverloadMonitor::measure() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  memory_ = resident_bytes();
  descriptors_ = open_descriptors();
  const std::uint64_t allowed = limit.rlim_cur > reserved_ ? limit.rlim_cur - reserved_ : 1;
  const Level now = judge(memory_, budget_, descriptors_, allowed);
  return level_.exchange(now, std::memory_order_relaxed) != now;
}

}  // namespace postern
