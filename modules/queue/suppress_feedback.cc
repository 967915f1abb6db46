#include "suppress_feedback.h"

#include <algorithm>
#include <memory>

#include "suppress_arf.h"

namespace postern::queue {

void FeedbackIntake::accepted(QueuedMessage message) {
  const bool wanted = parts_ && std::ranges::any_of(message.envelope.recipients,
                                                    [this](const Recipient& one) { return list_.is_feedback(one); });
  if (!wanted) return inner_.accepted(std::move(message));
  // A message is handed over once it has been read: afterwards it may have left the spool.
  auto held = std::make_shared<QueuedMessage>(std::move(message));
  parts_->home.post_remote_fn([this, held] {
    if (reading_ < kAtOnce) return parts_->spawn(read(std::move(*held)));
    parts_->log().warn("suppress.feedback", {{"id", held->id.to_string()}, {"why", "too many reports at one time"}});
    inner_.accepted(std::move(*held));
  });
}

/// What is cancelled here is in the spool, and is delivered after the next start.
Task<void> FeedbackIntake::read(QueuedMessage message) {
  ++reading_;
  try {
    co_await learn(message.id);
  } catch (...) {
    --reading_;
    throw;
  }
  --reading_;
  inner_.accepted(std::move(message));
}

Task<void> FeedbackIntake::learn(MessageId id) {
  Result<std::size_t> made = std::size_t{0};
  if (auto text = co_await text_of(id); text)
    made = co_await list_.learn_complaint(std::move(*text), parts_->proof);
  else
    made = std::unexpected(text.error());
  if (!made)
    parts_->log().info("suppress.feedback",
                       {{"id", id.to_string()}, {"code", made.error().code}, {"why", made.error().detail}});
  else if (*made == 0)
    parts_->log().info("suppress.feedback",
                       {{"id", id.to_string()}, {"why", "no complaint about mail proven to be ours"}});
  else
    parts_->log().info("suppress.complaint", {{"id", id.to_string()}, {"entries", *made}});
}

Task<Result<std::string>> FeedbackIntake::text_of(MessageId id) {
  auto reader = co_await parts_->spool.open(parts_->home, id);
  if (!reader) co_return std::unexpected(reader.error());
  std::string text;
  while (text.size() < kMaxArf) {
    auto piece = co_await reader->next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) break;
    text += piece->substr(0, kMaxArf - text.size());
  }
  co_return text;
}

}  // namespace postern::queue
