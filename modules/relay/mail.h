// One transaction with one host: what goes in, and what came of it for each recipient.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "content.h"
#include "postern/envelope.h"
#include "postern/spool.h"
#include "postern/task.h"
#include "postern/transport.h"
#include "postern/verdict.h"

namespace postern::relay {

/// Makes `dot-sent` durable for the recipients of a transaction, once, however many hosts are tried.
class DotMark {
 public:
  /// `gate`: passed before the first mark; null: nobody can take the message back.
  DotMark(Spool& spool, Executor& home, MessageId id, const std::vector<std::uint32_t>& recipients, bool everyone,
          DotGate* gate);
  ~DotMark();
  DotMark(const DotMark&) = delete;
  DotMark& operator=(const DotMark&) = delete;
  /// Hands the marks to the spool; those of all sessions share its syncs. Harmless the second time. From here on the
  /// message cannot be taken back; when it has been, nothing is marked.
  void begin();
  /// Returns when they are durable; begins when nobody did. Errors: the spool's, and queue.recalled.
  Task<Result<void>> durable();

 private:
  struct State;
  Spool& spool_;
  Executor& home_;
  MessageId id_;
  const std::vector<std::uint32_t>& recipients_;
  bool everyone_;
  DotGate* gate_;
  bool recalled_ = false;
  std::shared_ptr<State> state_;  // the spool's callbacks keep it, too
};

/// What is to be sent. All referred to outlives the transaction.
struct Mail {
  MessageId id;
  const Envelope& envelope;
  Address sender;  ///< of the envelope, or made of it (VERP)
  std::vector<std::uint32_t> recipients;
  Content& content;
  DotMark& mark;
  WallTime now{};
  bool xforward = false;
};

/// What became of one recipient of a Mail.
struct Outcome {
  enum class Kind : std::uint8_t {
    kNone,  ///< the connection failed before its fate was known: another host may be tried
    kDelivered,
    kPutOff,     ///< 4yz from the host: another host may think otherwise
    kDeferred,   ///< something that waiting may mend, and no other host
    kRefused,    ///< 5xx
    kTooMany,    ///< the host takes no more recipients in this transaction: at once in another one
    kReplyLost,  ///< all was sent, and no answer came: it may have been delivered
  };
  Kind kind = Kind::kNone;
  Reply reply;
  bool dsn_handed_on = false;
};

/// What became of a Mail.
struct Sent {
  std::vector<Outcome> outcomes;  ///< beside Mail::recipients
  Reply failure;                  ///< why some are kNone
  bool heard = false;             ///< the host said something before it failed
  bool usable = false;            ///< the connection can take another message
  bool maybe_sent = false;        ///< all of it left, and those who are kNone may have been served
};

}  // namespace postern::relay
