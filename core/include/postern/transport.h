// The way out: what carries a message's recipients to other servers, as the queue asks for it.
//
// modules/relay provides it. The queue decides when, the transport decides where and over what; each recipient gets one
// result. A transport makes `dot-sent` durable itself, before the last dot of a message (architecture.md decision 6).
//
// Thread: any worker may call. Errors: results; a transport throws only Cancelled.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
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

class Config;

/// Which TLS mail leaves under, as [delivery], its routes and a plan's step (option "tls") say it; "may" is another
/// word for opportunistic. What they mean stands in the manual of [delivery] tls.
inline constexpr std::array<std::string_view, 8> kTlsWords = {
    "none", "opportunistic", "may", "encrypt", "verify", "dane", "mta-sts", "dane-or-mta-sts-or-opportunistic"};
constexpr bool is_tls_word(std::string_view text) {
  return std::ranges::find(kTlsWords, text) != kTlsWords.end();
}

/// Decides between a recall and the final dot, whichever comes first: a recall that closed the gate knows that nothing
/// was sent, a dot that passed it knows that no recall will claim so. Any thread.
class DotGate {
 public:
  /// Before `dot-sent` is written and the dot goes out. False: the message was taken back; end the transaction without
  /// the dot (RSET or QUIT) and give its recipients any result, it is not read.
  bool pass() {
    State expected = State::kOpen;
    return state_.compare_exchange_strong(expected, State::kPassed) || expected == State::kPassed;
  }
  /// Takes the message back. False: a dot has been sent.
  bool close() {
    State expected = State::kOpen;
    return state_.compare_exchange_strong(expected, State::kClosed) || expected == State::kClosed;
  }
  bool closed() const { return state_.load() == State::kClosed; }  ///< no use to go on connecting

 private:
  enum class State : std::uint8_t { kOpen, kPassed, kClosed };
  std::atomic<State> state_{State::kOpen};
};

/// One step of one message, for recipients of one next hop. Envelope, step and gate outlive the attempt.
struct AttemptRequest {
  MessageId id;
  const Envelope& envelope;
  const PlanStep& step;
  std::vector<std::uint32_t> recipients;  ///< numbers into the envelope; those of the step that still wait
  std::uint32_t attempts = 0;             ///< made before this one
  std::uint64_t size = 0;
  WallTime accepted{};
  DotGate* gate = nullptr;  ///< to be passed before each final dot; none: nobody can take it back
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
  /// kDelivered: the host took the wish for a report of success over (DSN, RFC 3461 §5.2); else the sender is told
  /// "relayed" from here.
  bool dsn_handed_on = false;
};

/// Service "transport".
class Transport {
 public:
  static constexpr std::string_view kService = "transport";
  virtual ~Transport() = default;
  /// A recipient without a result counts as deferred.
  virtual Task<std::vector<AttemptResult>> attempt(AttemptRequest request) = 0;
  /// The name by which the queue takes turns and bounds what is under way: recipients with the same next hop are handed
  /// over together. The default: the step's gateway, else the recipient's domain. Called often; it must not wait.
  virtual std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const {
    const auto gateway = step.options.find("gateway");
    return gateway != step.options.end() ? gateway->second
                                         : envelope.recipients.at(recipient).address.domain().to_string();
  }
  /// The names of the routes that a plan's "gateway" may give, as a configuration has them: for checks of rules, on
  /// any thread, before anything started.
  virtual std::vector<std::string> route_names(const Config&) const { return {}; }
};

}  // namespace postern
