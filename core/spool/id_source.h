// Message ids without a lock: 41 bits of milliseconds since 2025, 7 bits of worker, 16 bits of serial number.
#pragma once

#include <algorithm>
#include <cstdint>

#include "postern/spool.h"

namespace postern::spool {

inline constexpr WallTime kIdEpoch{std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}};
inline constexpr unsigned kIdTimeShift = 23;
inline constexpr unsigned kIdWorkerShift = 16;
inline constexpr std::uint32_t kIdSerials = 1U << kIdWorkerShift;
inline constexpr unsigned kMaxWorkers = 128;

/// Thread: one worker.
class IdSource {
 public:
  explicit IdSource(unsigned worker) : worker_(worker) {}
  /// Greater than every id that was given out before the spool was opened (`floor`) and than this worker's last.
  MessageId next(WallTime now, std::uint64_t floor);

 private:
  unsigned worker_;
  std::uint64_t last_ticks_ = 0;
  std::uint32_t serial_ = 0;
};

}  // namespace postern::spool
