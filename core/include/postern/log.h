// Structured logging: an event's name and its fields, never a sentence (style.md 7).
//
//   log.info("rcpt.refused", {{"rcpt", address}, {"rule", rule}, {"code", 550}});
//   Log session_log = log.with({{"session", id}, {"ip", ip}});      // rendered once, then carried by every line
//
//   2026-11-21T10:00:00.123456Z info rcpt.refused session=4f1c ip=192.0.2.1 rcpt=a@example.org rule=root#2 code=550
//
// A line is formatted into the ring of its worker: no lock, no allocation, no wait. One thread drains all rings into
// the sink. A full ring drops the least severe lines first and counts them; logging never slows the mail down. A level
// that is off costs one branch.
//
// Owner:  main owns LogSystem; each worker has one Log made from it, and hands out copies by with().
// Thread: a Log and its copies belong to one thread (those of make_shared_log() to all).
// Errors: none reach the caller.
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/error.h"
#include "postern/time.h"

namespace postern {

class Metrics;

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
std::string_view to_text(LogLevel level);                        ///< "trace" ... "error", "off"
std::optional<LogLevel> parse_log_level(std::string_view text);  ///< the same words

/// A key and a value of a line. Holds views: it lives as long as the call.
class LogField {
 public:
  enum class Kind : std::uint8_t { kText, kSigned, kUnsigned, kDouble, kBool, kDuration };

  LogField(std::string_view name, std::string_view value) : key(name), kind(Kind::kText), text(value) {}
  LogField(std::string_view name, const char* value) : key(name), kind(Kind::kText), text(value) {}
  LogField(std::string_view name, const std::string& value) : key(name), kind(Kind::kText), text(value) {}
  LogField(std::string_view name, bool value) : key(name), kind(Kind::kBool), truth(value) {}
  template <std::floating_point F>
  LogField(std::string_view name, F value) : key(name), kind(Kind::kDouble), real(value) {}
  template <std::signed_integral I>
  LogField(std::string_view name, I value) : key(name), kind(Kind::kSigned), integer(value) {}
  template <std::unsigned_integral I>
    requires(!std::same_as<I, bool>)
  LogField(std::string_view name, I value) : key(name), kind(Kind::kUnsigned), natural(value) {}
  /// Shown as seconds with six decimals.
  template <class R, class P>
  LogField(std::string_view name, std::chrono::duration<R, P> value)
      : key(name),
        kind(Kind::kDuration),
        integer(std::chrono::duration_cast<std::chrono::nanoseconds>(value).count()) {}

  std::string_view key;
  Kind kind;
  std::string_view text;
  union {
    std::int64_t integer = 0;
    std::uint64_t natural;
    double real;
    bool truth;
  };
};
using LogFields = std::initializer_list<LogField>;

/// What stands behind a Log: a worker's ring, or a test's list of lines.
class LogTarget {
 public:
  virtual ~LogTarget();
  /// Levels below this are off for every event; what Log asks first.
  LogLevel floor() const { return floor_->load(std::memory_order_relaxed); }
  /// Writes the line, unless a rule for this event's name says otherwise. `bound` is what bind() made.
  virtual void write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept = 0;
  /// Appends fields to a prefix in the target's own format.
  virtual void bind(std::string& bound, LogFields fields) const = 0;

 protected:
  explicit LogTarget(const std::atomic<LogLevel>& floor) : floor_(&floor) {}

 private:
  const std::atomic<LogLevel>* floor_;
};

/// The handle that code logs with. Cheap to copy; silent when default-constructed.
class Log {
 public:
  Log() = default;
  explicit Log(LogTarget& target) : target_(&target) {}

  bool enabled(LogLevel level) const { return target_ != nullptr && level >= target_->floor(); }

  void trace(std::string_view event, LogFields fields = {}) const { at(LogLevel::kTrace, event, fields); }
  void debug(std::string_view event, LogFields fields = {}) const { at(LogLevel::kDebug, event, fields); }
  void info(std::string_view event, LogFields fields = {}) const { at(LogLevel::kInfo, event, fields); }
  void warn(std::string_view event, LogFields fields = {}) const { at(LogLevel::kWarn, event, fields); }
  void error(std::string_view event, LogFields fields = {}) const { at(LogLevel::kError, event, fields); }
  void at(LogLevel level, std::string_view event, LogFields fields = {}) const {
    if (enabled(level)) target_->write(level, event, bound_, fields);
  }

  /// A child whose lines carry these fields too, after those of this Log.
  Log with(LogFields fields) const;

 private:
  LogTarget* target_ = nullptr;
  std::string bound_;  // fields in the target's format
};

enum class LogFormat : std::uint8_t { kText, kJson };

struct LogOptions {
  LogFormat format = LogFormat::kText;
  std::string file;       ///< empty: stderr
  bool journald = false;  ///< each line on stderr begins with its priority, "<6>" (sd-daemon(3))
  LogLevel level = LogLevel::kInfo;
  std::size_t ring_bytes = 1 << 20;  ///< per worker; a power of two, at least 64 KiB
  Duration drain_every = 5ms;        ///< how long lines may gather before they are written together
};

/// All rings of a process, their levels, and the thread that writes them out.
class LogSystem {
 public:
  static constexpr std::size_t kMaxRings = 1024;
  static constexpr std::size_t kMaxRules = 64;         ///< levels by event prefix
  static constexpr std::size_t kMaxLineBytes = 8192;   ///< longer lines are cut and marked
  static constexpr std::size_t kMaxFieldBytes = 1024;  ///< longer values are cut and marked

  using WallClock = std::function<WallTime()>;  ///< Executor::wall() of the worker

  /// Opens the sink. Errors: "log.open" when the file cannot be opened.
  static Result<std::unique_ptr<LogSystem>> make(LogOptions options);
  virtual ~LogSystem();  ///< stops, after writing out what the rings hold

  /// A new ring for one thread. Its name appears where drops are reported. Not for the hot path.
  virtual Log make_log(std::string name, WallClock clock = {}) = 0;
  /// A Log that any thread may use, behind a short lock: for pools and tools, not for workers.
  virtual Log make_shared_log(std::string name) = 0;

  /// The level of events that no rule covers.
  virtual void set_level(LogLevel level) = 0;
  /// The level of events named `prefix` or `prefix.anything`; the longest prefix wins; nothing removes the rule.
  /// Errors: "log.rules" when there are kMaxRules prefixes already.
  virtual Result<void> set_level(std::string_view prefix, std::optional<LogLevel> level) = 0;

  virtual void start() = 0;   ///< starts the writing thread; lines logged before wait in the rings
  virtual void stop() = 0;    ///< writes everything out and ends the thread
  virtual void reopen() = 0;  ///< any thread; the file is opened anew under its name (SIGHUP, log rotation)

  virtual std::uint64_t dropped(LogLevel level) const = 0;  ///< lines lost to full rings
  virtual std::uint64_t write_errors() const = 0;           ///< writes to the sink that failed; their lines are lost
  /// Declares postern_log_dropped_total and postern_log_write_errors_total; this must outlive the metrics' last scrape.
  void publish(Metrics& metrics) const;
};

/// Keeps lines for a test to look at. One thread.
class CaptureLog final : public LogTarget {
 public:
  explicit CaptureLog(LogLevel level = LogLevel::kTrace);
  ~CaptureLog() override;
  struct Line {
    LogLevel level;
    std::string event;
    std::string fields;  ///< "session=1 rcpt=a@example.org", as in the text format
    std::optional<std::string> field(std::string_view key) const;  ///< the value as text, quotes and escapes undone
  };
  Log log() { return Log(*this); }
  const std::vector<Line>& lines() const { return lines_; }
  std::size_t count(std::string_view event) const;
  const Line* last(std::string_view event) const;  ///< null when there is none
  void clear() { lines_.clear(); }

  void write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept override;
  void bind(std::string& bound, LogFields fields) const override;

 private:
  std::atomic<LogLevel> level_;
  std::vector<Line> lines_;
};

}  // namespace postern
