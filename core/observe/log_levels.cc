#include "core/observe/log_levels.h"

#include <algorithm>

namespace postern {

void LogLevels::set(LogLevel level) {
  std::lock_guard lock(mutex_);
  general_.store(level, std::memory_order_relaxed);
  settle_floor();
}

Result<void> LogLevels::set(std::string_view prefix, std::optional<LogLevel> level) {
  std::lock_guard lock(mutex_);
  std::size_t used = used_.load(std::memory_order_relaxed);
  Rule* rule =
      std::find_if(rules_.data(), rules_.data() + used, [&](const Rule& known) { return known.prefix == prefix; });
  if (rule == rules_.data() + used) {
    if (!level) return {};
    if (used == rules_.size()) return fault("log.rules", "there are levels for 64 event prefixes already");
    rule->prefix = prefix;
    rule->level.store(*level, std::memory_order_relaxed);
    used_.store(used + 1, std::memory_order_release);
  } else {
    rule->level.store(level.value_or(kNoRule), std::memory_order_relaxed);
  }
  settle_floor();
  return {};
}

LogLevel LogLevels::level_of(std::string_view event, std::size_t used) const {
  LogLevel best = general_.load(std::memory_order_relaxed);
  std::size_t best_size = 0;
  for (std::size_t at = 0; at < used; ++at) {
    const Rule& rule = rules_[at];
    LogLevel level = rule.level.load(std::memory_order_relaxed);
    if (level == kNoRule || rule.prefix.size() <= best_size || !event.starts_with(rule.prefix)) continue;
    // "smtp" covers "smtp.data", not "smtpd.data".
    if (event.size() != rule.prefix.size() && event[rule.prefix.size()] != '.') continue;
    best = level;
    best_size = rule.prefix.size();
  }
  return best;
}

void LogLevels::settle_floor() {
  LogLevel floor = general_.load(std::memory_order_relaxed);
  for (const Rule& rule : rules_) {
    LogLevel level = rule.level.load(std::memory_order_relaxed);
    if (level != kNoRule) floor = std::min(floor, level);
  }
  floor_.store(floor, std::memory_order_relaxed);
}

}  // namespace postern
