// Measures memory and descriptors against [limits]; worker 0 calls measure() from a timer.
#pragma once

#include <cstdint>

#include "core/loader/settings.h"
#include "postern/overload.h"

namespace postern {

class OverloadMonitor final : public Overload {
 public:
  explicit OverloadMonitor(const LimitSettings& limits);
  ~OverloadMonitor() override;
  void set(const LimitSettings& limits);
  /// Reads /proc/self/statm and the number of open descriptors; true when the level changed.
  bool measure();
  /// The decision alone, for tests.
  static Level judge(std::uint64_t memory, std::uint64_t budget, std::uint64_t descriptors, std::uint64_t allowed);
  std::uint64_t memory() const { return memory_; }
  std::uint64_t descriptors() const { return descriptors_; }

 private:
  std::uint64_t budget_ = 0, reserved_ = 0;
  std::uint64_t memory_ = 0, descriptors_ = 0;
};

}  // namespace postern
