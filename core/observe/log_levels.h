// Which levels are on: one for all events, and rules by prefix of the event's name, changed while the server runs.
//
// Readers never wait: a rule's prefix is written once, before its slot is published, and only its level changes later.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "postern/log.h"

namespace postern {

class LogLevels {
 public:
  explicit LogLevels(LogLevel level) : floor_(level), general_(level) {}

  const std::atomic<LogLevel>& floor() const { return floor_; }
  bool allows(LogLevel level, std::string_view event) const {
    std::size_t used = used_.load(std::memory_order_acquire);
    if (used == 0) return level >= general_.load(std::memory_order_relaxed);
    return level >= level_of(event, used);
  }

  void set(LogLevel level);
  Result<void> set(std::string_view prefix, std::optional<LogLevel> level);

 private:
  static constexpr auto kNoRule = static_cast<LogLevel>(0xff);
  struct Rule {
    std::string prefix;
    std::atomic<LogLevel> level{kNoRule};
  };
  LogLevel level_of(std::string_view event, std::size_t used) const;
  void settle_floor();  // under mutex_

  std::atomic<LogLevel> floor_;
  std::atomic<LogLevel> general_;
  std::atomic<std::size_t> used_{0};
  std::array<Rule, LogSystem::kMaxRules> rules_;
  std::mutex mutex_;  // of those who change
};

}  // namespace postern
