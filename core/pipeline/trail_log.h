// Where trails go when their transaction is over: append-only files below state/trail, for `postern why`.
//
// The trail of an accepted mail is also committed with it; here it outlives the mail's stay in the spool. Trails of
// refused mail are only here. They are evidence, not a promise: written without sync, some may be lost in a crash, and
// a flood of them is cut. Each worker gathers records in a buffer of its own and hands it to one lane, which alone
// touches files: nothing of this is on the way of a mail. TRAIL.md is the contract of the bytes.
//
// Limits: TrailSettings::rate octets a second, split evenly over the workers (a burst of one second), and kMaxBuffer
//         octets that wait for the disk; what is more is dropped and counted. Files are rotated at
//         TrailSettings::segment; the oldest go when all together pass keep_bytes, or when the file after them was
//         begun keep_for ago.
// Errors: a failed write is counted and its records are lost; the next one begins a new file.
// Thread: append() and flush() on their worker; the rest on the lane. Destroy after the loops have ended and before
// their runtime.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/pipeline/settings.h"
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
  std::string client;  ///< its address
  std::string sender;  ///< "" for the null path
  std::vector<std::string> recipients;
  std::string outcome;  ///< "accepted", "quit before DATA", the reply
  std::string trail;    ///< Trail::bytes()

  void encode(std::string& out) const;  ///< appends one framed record
  /// Takes the first record off `bytes`. Errors: "trail.damaged"; then nothing behind it can be read either.
  static Result<TrailRecord> decode(std::string_view& bytes);
};

class TrailLog {
 public:
  static constexpr std::size_t kMaxBuffer = 1 << 20;   ///< octets of one worker that wait for the disk
  static constexpr std::size_t kFlushSize = 64 << 10;  ///< octets at which a buffer is handed over
  static constexpr Duration kFlushAfter = 200ms;
  static constexpr std::size_t kMaxRecipients = 1000;  ///< of one record

  /// `clock` gives the time of rotation and retention, on the lane's thread.
  TrailLog(TrailSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, unsigned workers,
           Metrics& metrics);
  ~TrailLog();
  TrailLog(const TrailLog&) = delete;
  TrailLog& operator=(const TrailLog&) = delete;

  void append(Executor& worker, const TrailRecord& record);
  /// Hands over what the worker has gathered; at drain, and for tests.
  void flush(Executor& worker);

  std::uint64_t dropped() const;  ///< records lost to a limit or a failed write

 private:
  class Files;
  class Buffer;
  TrailSettings settings_;
  std::unique_ptr<Files> files_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  Counter& written_;
  Counter& dropped_;
  std::unique_ptr<Lane> lane_;  // last, so that it ends before what it writes to
};

}  // namespace postern
