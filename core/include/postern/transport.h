// The way out: what carries a message's recipients to other servers, as the queue asks for it.
//
// modules/relay provides it. The queue decides when, the transport decides where and over what; each recipient gets one
// result. A transport makes `dot-sent` durable itself, before the last dot of a message (architecture.md decision 6).
//
// Thread: any worker may call. Errors: results; a transport throws only Cancelled.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/envelope.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/task.h"
#include "postern/time.h"
#include "postern/verdict.h"

namespace postern {

/// One step of one message. Envelope and step outlive the attempt.
struct AttemptRequest {
  MessageId id;
  const Envelope& envelope;
  const PlanStep& step;
  std::vector<std::uint32_t> recipients;  ///< numbers into the envelope; those of the step that still wait
  std::uint32_t attempts = 0;             ///< made before this one
  std::uint64_t size = 0;
  WallTime accepted{};
};

/// What became of one recipient.
struct AttemptResult {
  enum class Kind : std::uint8_t { kDelivered, kDeferred, kRefused };
  std::uint32_t recipient = 0;
  Kind kind = Kind::kDeferred;
  Reply reply;                          ///< the remote server's, or one made for what went wrong before there was any
  std::string host;                     ///< the remote server; empty: none was reached
  std::optional<Duration> retry_after;  ///< kDeferred: when the transport knows better than the schedule
  /// False: nothing was tried, since the destination has all it may have at present; come back after retry_after. It
  /// does not count as an attempt.
  bool attempted = true;
  /// All of the message may be with the host, whose last reply was lost: delivered or not, nobody can say.
  bool reply_lost = false;
};

/// Service "transport".
class Transport {
 public:
  static constexpr std::string_view kService = "transport";
  virtual ~Transport() = default;
  /// A recipient without a result counts as deferred.
  virtual Task<std::vector<AttemptResult>> attempt(AttemptRequest request) = 0;
};

}  // namespace postern
