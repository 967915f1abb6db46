// `dot-sent` before the dot (architecture.md decision 6): after a crash it is known that the mail may have been
// delivered.
#include "mail.h"
#include "postern/sync.h"

namespace postern::relay {

struct DotMark::State {
  std::size_t left = 0;
  std::optional<Fault> failed;
  Event done;
};

DotMark::DotMark(Spool& spool, Executor& home, MessageId id, const std::vector<std::uint32_t>& recipients,
                 bool everyone, DotGate* gate)
    : spool_(spool), home_(home), id_(id), recipients_(recipients), everyone_(everyone), gate_(gate) {}

DotMark::~DotMark() = default;

void DotMark::begin() {
  if (state_ || recalled_) return;
  if (gate_ && !gate_->pass()) {
    recalled_ = true;
    return;
  }
  state_ = std::make_shared<State>();
  state_->left = everyone_ ? 1 : recipients_.size();
  const auto answer = [state = state_](Result<void> marked) {
    if (!marked && !state->failed) state->failed = marked.error();
    if (--state->left == 0) state->done.set();
  };
  if (everyone_) return spool_.dot_sent(home_, id_, kEveryRecipient).then(answer);
  for (const std::uint32_t one : recipients_) spool_.dot_sent(home_, id_, one).then(answer);
}

Task<Result<void>> DotMark::durable() {
  begin();
  if (recalled_) co_return fault("queue.recalled", "the message was taken back");
  const std::shared_ptr<State> state = state_;
  if (state->left != 0) co_await state->done.wait(Deadline::never());
  if (state->failed) co_return std::unexpected(*state->failed);
  co_return Result<void>();
}

}  // namespace postern::relay
