// Mail for [suppression] feedback_address, on its way into the queue: its complaints are learnt, then it goes on as all
// mail does. What the report cannot prove is logged and teaches nothing (suppress.h).
//
// The service "queue" as others see it when there is a feedback address. At most kAtOnce reports are read at one time,
// further ones go on unread; so do those that a crash finds in the spool.
//
// Owner: the module. Thread: accepted() any; a report is read on the owner's worker. Errors: log lines
// (suppress.feedback).
#pragma once

#include <functional>
#include <string>

#include "postern/log.h"
#include "postern/pipeline.h"
#include "suppress.h"

namespace postern::queue {

class FeedbackIntake final : public Queue {
 public:
  static constexpr std::size_t kAtOnce = 16;

  FeedbackIntake(Queue& inner, SuppressionList& list) : inner_(inner), list_(list) {}

  /// What it needs to read; before that, mail passes unread. `spawn` and `log` are called on the thread of `home`.
  struct Parts {
    Spool& spool;
    Executor& home;
    const FeedbackProof& proof;
    std::function<void(Task<void>)> spawn;
    std::function<const Log&()> log;
  };
  /// Before any worker accepts mail.
  void begin(Parts parts) { parts_.emplace(std::move(parts)); }

  void before_commit(Envelope& envelope, const ClientInfo& client, WallTime now) override {
    inner_.before_commit(envelope, client, now);
  }
  Task<std::size_t> request(std::string destination) override { return inner_.request(std::move(destination)); }
  void accepted(QueuedMessage message) override;

 private:
  Task<void> read(QueuedMessage message);
  Task<void> learn(MessageId id);
  Task<Result<std::string>> text_of(MessageId id);

  Queue& inner_;
  SuppressionList& list_;
  std::optional<Parts> parts_;
  std::size_t reading_ = 0;  ///< on the home worker
};

}  // namespace postern::queue
