// Where trails go when their transaction is over: append-only files below state/trail, for `postern why`.
//
// The trail of an accepted mail is also committed with it; here it outlives the mail's stay in the spool. Trails of
// refused mail are only here. They are evidence, not a promise: written without sync, some may be lost in a crash, and
// a flood of them is cut. Each worker gathers records in a buffer of its own and hands it to one lane, which alone
// touches files and the index: nothing of this is on the way of a mail. TRAIL.md is the contract of the bytes.
//
// Limits: TrailSettings::rate octets a second, split evenly over the workers (a burst of one second), and kMaxBuffer
//         octets that wait for the disk. A source (trail_quota.h) may take source_rate of that, at most half of a
//         worker's part, and source_day in a day. What is more is dropped and counted, and a record says how much was
//         not kept of whom, every kSummaryEvery. Files are rotated at TrailSettings::segment; the oldest go when all
//         together pass keep_bytes, or when the file after them was begun keep_for ago.
// Errors: a failed write is counted and its records are lost; the next one begins a new file.
// Thread: append() and flush() on their worker, erase() and reindex() on any; the rest on the lane. Destroy after the
// loops have ended and before their runtime.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/settings.h"
#include "core/pipeline/trail_erase.h"
#include "postern/env.h"
#include "postern/executor.h"
#include "postern/metrics.h"
#include "postern/pipeline.h"

namespace postern {

/// One transaction that is over.
struct TrailRecord {
  WallTime when{};
  bool accepted = false;
  std::string message;  ///< MessageId::to_string(); empty when none was given
  std::string session;
  std::string client;  ///< its address; of a record that says what was not kept, its network
  std::string sender;  ///< "" for the null path
  std::vector<std::string> recipients;
  std::string outcome;  ///< "accepted", "quit before DATA", the reply
  std::string trail;    ///< Trail::bytes()

  void encode(std::string& out) const;  ///< appends one framed record
  /// Takes the first record off `bytes`. Errors: "trail.damaged"; then nothing behind it can be read either.
  static Result<TrailRecord> decode(std::string_view& bytes);
  /// The client of the first record, without reading the rest, and the record's octets; empty on damage.
  static std::string_view client_of(std::string_view bytes, std::size_t& size);
};

class TrailLog {
 public:
  static constexpr std::size_t kMaxBuffer = 1 << 20;   ///< octets of one worker that wait for the disk
  static constexpr std::size_t kFlushSize = 64 << 10;  ///< octets at which a buffer is handed over
  static constexpr Duration kFlushAfter = 200ms;
  static constexpr std::size_t kMaxRecipients = 1000;  ///< of one record
  static constexpr Duration kSummaryEvery = 10s;       ///< between records that say what was not kept
  static constexpr std::size_t kMaxSummaries = 100;    ///< sources named at once; the others together

  struct Options {
    bool indexed = false;  ///< an index beside the files; not on a disk that is a test's
    /// For the administrator's log: an event and what it is about. On the lane's thread; may be empty.
    std::function<void(std::string_view event, const std::string& detail)> report;
  };
  TrailLog(TrailSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, unsigned workers,
           Metrics& metrics, Options options);
  TrailLog(TrailSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, unsigned workers,
           Metrics& metrics)
      : TrailLog(std::move(settings), std::move(dir), env, std::move(lane), workers, metrics, Options{}) {}
  ~TrailLog();
  TrailLog(const TrailLog&) = delete;
  TrailLog& operator=(const TrailLog&) = delete;

  void append(Executor& worker, const TrailRecord& record);
  /// Hands over what the worker has gathered; at drain, and before an erasure. False: the disk is behind, and some of
  /// it waits for the next call.
  bool flush(Executor& worker);
  /// Opens the index and brings it up to date, and looks for what is too old; once after the start, then from time to
  /// time.
  void tidy(WallTime now);
  /// Takes a person out of everything that the lane has written. Errors: counted in the answer.
  Task<TrailErased> erase(Person person, bool pretend);
  /// Makes the index anew; answers with the number of files that will be indexed, one after the other.
  Task<std::size_t> reindex();

  std::uint64_t dropped() const;            ///< records lost to a limit or a failed write
  std::uint64_t dropped_of_source() const;  ///< those of them whose source had had its share
  std::uint64_t written() const;

 private:
  class Buffer;
  class Indexer;
  class Tidy;
  class LaneSide;
  TrailSettings settings_;
  Counter& written_;
  Counter& dropped_;
  Counter& dropped_of_source_;
  std::atomic<bool> ending_{false};
  std::unique_ptr<LaneSide> side_;  ///< what only the lane touches
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::unique_ptr<Lane> lane_;  // last, so that it ends before what it writes to
};

}  // namespace postern
