#include "postern/wait.h"

namespace postern {

bool Wait::begin(std::coroutine_handle<> handle, Context& context, Deadline deadline) {
  executor_ = context.executor;
  if (context.cancel && context.cancel->cancelled()) {
    outcome_ = Outcome::kCancelled;
    return false;
  }
  handle_ = handle;
  if (context.cancel) context.cancel->link(*this);
  if (!deadline.is_never()) executor_->arm(*this, deadline.resolve(executor_->now()));
  return true;
}

void Wait::end(Outcome outcome) {
  if (!waiting()) return;
  outcome_ = outcome;
  unlink();
  if (armed()) executor_->disarm(*this);
  if (outcome != Outcome::kDone) on_abandoned();
  executor_->post(*this);
}

void Wait::fire() {
  end(Outcome::kTimedOut);
}

void Wait::on_cancel() {
  end(Outcome::kCancelled);
}

void Wait::check() const {
  if (outcome_ == Outcome::kTimedOut) throw TimedOut();
  if (outcome_ == Outcome::kCancelled) throw Cancelled();
}

}  // namespace postern
