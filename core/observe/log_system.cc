// Rings, and the thread that empties them into the sink.
//
// The thread sleeps on a flag while all rings are empty; the writer that finds the flag up wakes it (one system call
// per idle period). While lines come, it writes a batch each `drain_every`, and writers meet nobody.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/observe/format.h"
#include "core/observe/log_levels.h"
#include "core/observe/log_sink.h"
#include "core/observe/ring.h"
#include "postern/log.h"

namespace postern {
namespace {

constexpr std::size_t kMinRing = 64 << 10;
constexpr std::size_t kMaxRing = 1 << 30;
constexpr std::size_t kLevels = 5;

WallTime system_wall() {
  return std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
}

// The flag by which the writing thread sleeps.
class Waker {
 public:
  void wake() {
    // Orders the line's publication before the look at the flag, as prepare() orders the flag before the look at the
    // rings.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_relaxed) != 0 && asleep_.exchange(0) != 0) asleep_.notify_one();
  }
  void prepare() {
    asleep_.store(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void cancel() { asleep_.store(0); }
  void sleep() { asleep_.wait(1); }

 private:
  std::atomic<std::uint32_t> asleep_{0};
};

struct Shared {
  explicit Shared(const LogOptions& from) : options(from), levels(from.level) {}
  const LogOptions options;
  LogLevels levels;
  Waker waker;
  bool journald() const { return options.journald && options.file.empty(); }
};

class RingTarget final : public LogTarget {
 public:
  RingTarget(Shared& shared, std::string name, LogSystem::WallClock clock)
      : LogTarget(shared.levels.floor()),
        shared_(shared),
        name_(std::move(name)),
        clock_(std::move(clock)),
        ring_(shared.options.ring_bytes) {}

  void write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept override {
    if (level >= LogLevel::kOff || !shared_.levels.allows(level, event)) return;
    std::array<char, LogSystem::kMaxLineBytes> room;
    std::string_view line =
        format_line(room, shared_.options.format, shared_.journald(), stamp_, clock_(), {level, event, bound}, fields);
    if (!ring_.put(line, limit_of(level))) {
      auto& count = dropped_[static_cast<std::size_t>(level)];
      count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    shared_.waker.wake();
  }
  void bind(std::string& bound, LogFields fields) const override { bind_fields(bound, shared_.options.format, fields); }

  LogRing& ring() { return ring_; }
  std::uint64_t dropped(std::size_t level) const { return dropped_[level].load(std::memory_order_relaxed); }
  const std::string& name() const { return name_; }
  std::uint64_t reported = 0;  // of the drops; the writing thread's

 private:
  // A ring that fills up keeps its last part for what matters more.
  std::size_t limit_of(LogLevel level) const {
    if (level <= LogLevel::kDebug) return ring_.size() / 2;
    if (level == LogLevel::kInfo) return ring_.size() / 4 * 3;
    if (level == LogLevel::kWarn) return ring_.size() / 8 * 7;
    return ring_.size();
  }

  Shared& shared_;
  const std::string name_;
  LogSystem::WallClock clock_;
  TimeStamp stamp_;
  LogRing ring_;
  std::array<std::atomic<std::uint64_t>, kLevels> dropped_{};
};

// A ring for threads that come and go.
class LockedTarget final : public LogTarget {
 public:
  LockedTarget(Shared& shared, RingTarget& ring) : LogTarget(shared.levels.floor()), ring_(ring) {}
  void write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept override {
    std::lock_guard lock(mutex_);
    ring_.write(level, event, bound, fields);
  }
  void bind(std::string& bound, LogFields fields) const override { ring_.bind(bound, fields); }

 private:
  std::mutex mutex_;
  RingTarget& ring_;
};

class System final : public LogSystem {
 public:
  System(const LogOptions& options, LogSink sink) : shared_(options), sink_(std::move(sink)) {}
  ~System() override { stop(); }

  Log make_log(std::string name, WallClock clock) override { return Log(make_ring(std::move(name), std::move(clock))); }
  Log make_shared_log(std::string name) override {
    RingTarget& ring = make_ring(std::move(name), {});
    std::lock_guard lock(mutex_);
    return Log(*locked_.emplace_back(std::make_unique<LockedTarget>(shared_, ring)));
  }

  void set_level(LogLevel level) override { shared_.levels.set(level); }
  Result<void> set_level(std::string_view prefix, std::optional<LogLevel> level) override {
    return shared_.levels.set(prefix, level);
  }

  void start() override {
    if (thread_.joinable()) return;
    stopping_.store(false);
    thread_ = std::thread([this] { run(); });
  }
  void stop() override {
    if (thread_.joinable()) {
      stopping_.store(true);
      shared_.waker.wake();
      thread_.join();
    }
    drain();
  }
  void reopen() override {
    reopen_.store(true);
    shared_.waker.wake();
  }

  std::uint64_t dropped(LogLevel level) const override {
    auto at = static_cast<std::size_t>(level);
    if (at >= kLevels) return 0;
    std::lock_guard lock(mutex_);
    std::uint64_t total = 0;
    for (const auto& ring : rings_) total += ring->dropped(at);
    return total;
  }
  std::uint64_t write_errors() const override { return write_errors_.load(std::memory_order_relaxed); }

 private:
  RingTarget& make_ring(std::string name, WallClock clock) {
    std::lock_guard lock(mutex_);
    if (rings_.size() == kMaxRings) throw Overloaded("too many logs");
    return *rings_.emplace_back(
        std::make_unique<RingTarget>(shared_, std::move(name), clock ? std::move(clock) : system_wall));
  }

  std::vector<RingTarget*> rings() const {
    std::lock_guard lock(mutex_);
    std::vector<RingTarget*> all;
    for (const auto& ring : rings_) all.push_back(ring.get());
    return all;
  }

  void run() {
    while (!stopping_.load()) {
      if (drain()) {
        std::this_thread::sleep_for(shared_.options.drain_every);
        continue;
      }
      shared_.waker.prepare();
      std::vector<RingTarget*> all = rings();
      bool idle = !stopping_.load() && !reopen_.load() &&
                  std::ranges::all_of(all, [](RingTarget* ring) { return ring->ring().empty(); });
      if (idle)
        shared_.waker.sleep();
      else
        shared_.waker.cancel();
    }
  }

  // One batch out of all rings. Says whether there was anything.
  bool drain() {
    if (reopen_.exchange(false) && !sink_.reopen()) count_write_error();
    std::vector<RingTarget*> all = rings();
    std::vector<iovec> parts;
    std::vector<std::size_t> taken;
    for (RingTarget* ring : all) {
      taken.push_back(0);
      for (std::string_view piece : ring->ring().readable()) {
        if (piece.empty()) continue;
        parts.push_back({const_cast<char*>(piece.data()), piece.size()});
        taken.back() += piece.size();
      }
    }
    std::string drops = report_drops(all);
    if (!drops.empty()) parts.push_back({drops.data(), drops.size()});
    if (parts.empty()) return false;
    if (!sink_.write(parts)) count_write_error();
    for (std::size_t at = 0; at < all.size(); ++at) all[at]->ring().consume(taken[at]);
    return true;
  }

  std::string report_drops(const std::vector<RingTarget*>& all) {
    std::string out;
    for (RingTarget* ring : all) {
      std::uint64_t total = 0;
      for (std::size_t level = 0; level < kLevels; ++level) total += ring->dropped(level);
      if (total == ring->reported) continue;
      std::array<char, kMaxLineBytes> room;
      out +=
          format_line(room, shared_.options.format, shared_.journald(), stamp_, system_wall(),
                      {LogLevel::kWarn, "log.dropped", {}}, {{"log", ring->name()}, {"lines", total - ring->reported}});
      ring->reported = total;
    }
    return out;
  }

  void count_write_error() { write_errors_.fetch_add(1, std::memory_order_relaxed); }

  Shared shared_;
  LogSink sink_;
  mutable std::mutex mutex_;  // of the lists, not of the rings
  std::vector<std::unique_ptr<RingTarget>> rings_;
  std::vector<std::unique_ptr<LockedTarget>> locked_;
  std::thread thread_;
  TimeStamp stamp_;
  std::atomic<bool> stopping_{false}, reopen_{false};
  std::atomic<std::uint64_t> write_errors_{0};
};

}  // namespace

Result<std::unique_ptr<LogSystem>> LogSystem::make(LogOptions options) {
  auto sink = LogSink::open(options.file);
  if (!sink) return std::unexpected(sink.error());
  options.ring_bytes = std::bit_ceil(std::clamp(options.ring_bytes, kMinRing, kMaxRing));
  return std::make_unique<System>(options, *std::move(sink));
}

}  // namespace postern
