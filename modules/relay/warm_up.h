// Warm-up of source addresses: an address that is new to the world sends a little on its first day and more each day.
//
// Receivers put off or refuse much mail from an address that they have never seen. [[delivery.source]] `since` and
// `warm_up` say when an address began and how many messages (transactions) it may send on its first, second, third UTC
// day; behind the schedule it sends without limit, before `since` nothing. The count is of the address, whatever pools
// it stands in, and of all workers together.
//
//   Courier::choose_source() --> WarmUp::take()      any worker; atomic, no lock
//   WarmUpKeeper::run()      --> STATE/warm-up/counts  worker 0, on the disk pool, every kWriteEvery when it changed
//
// A crash forgets kWriteEvery of a day's count, a restart nothing. Owner: the module; settings outlive it.
// Errors: a disk that fails is logged; mail moves all the same.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/env.h"
#include "postern/log.h"
#include "postern/task.h"
#include "settings.h"
#include "utc_day.h"

namespace postern::relay {

/// What a source may send on that day; nothing: as much as it likes.
std::optional<std::uint32_t> warm_up_limit(const SourceSettings& source, UtcDay day);

class WarmUp {
 public:
  explicit WarmUp(const std::vector<SourceSettings>& sources);

  /// Counts one more message; false when the day's share is used up.
  bool take(const SourceSettings& source, WallTime now);
  /// What was taken at that time was not sent after all. Harmless when the day has ended meanwhile.
  void give_back(const SourceSettings& source, WallTime taken);
  std::uint32_t sent(const IpAddress& address, UtcDay day) const;

  bool empty() const { return slots_.empty(); }  ///< no source warms up
  /// "postern warm-up 1", the day, and a line for each address; what is of another day is left out by take_text().
  std::string to_text(UtcDay day) const;
  void take_text(std::string_view text, UtcDay today);

 private:
  /// Day and count in one word, so that neither is ever seen without the other.
  struct Slot {
    IpAddress address;
    std::atomic<std::uint64_t> word{0};
  };
  Slot* slot(const IpAddress& address) const;
  std::vector<std::unique_ptr<Slot>> slots_;
};

/// Keeps the counts on the disk. Thread: worker 0, apart from load().
class WarmUpKeeper {
 public:
  static constexpr Duration kWriteEvery = 5s;

  /// `env` outlives it.
  WarmUpKeeper(Env& env, std::string folder, std::shared_ptr<WarmUp> counts, Log log)
      : env_(env), folder_(std::move(folder)), counts_(std::move(counts)), log_(std::move(log)) {}
  /// Blocks: makes the folder and reads what an earlier process counted. Before mail moves.
  void load(UtcDay today);
  /// Writes what changed, until it is cancelled.
  Task<void> run();
  Task<void> flush();
  /// Blocks: the last time, when no worker counts any more.
  void save(UtcDay today);

 private:
  Env& env_;
  std::string folder_;
  std::shared_ptr<WarmUp> counts_;
  Log log_;
  std::string written_;
};

}  // namespace postern::relay
