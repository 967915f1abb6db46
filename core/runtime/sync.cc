#include "postern/sync.h"

#include <cassert>

namespace postern::detail {

QueuedWait::Queue::~Queue() {
  assert(!first_ && "a queue ended before those who wait in it");
}

void QueuedWait::Queue::push(QueuedWait& wait) {
  wait.queue_ = this;
  wait.prev_ = last_;
  wait.next_ = nullptr;
  (last_ ? last_->next_ : first_) = &wait;
  last_ = &wait;
}

void QueuedWait::Queue::remove(QueuedWait& wait) {
  (wait.prev_ ? wait.prev_->next_ : first_) = wait.next_;
  (wait.next_ ? wait.next_->prev_ : last_) = wait.prev_;
  wait.queue_ = nullptr;
}

bool QueuedWait::Queue::wake_one() {
  QueuedWait* wait = first_;
  if (!wait) return false;
  remove(*wait);
  wait->settle();
  return true;
}

void QueuedWait::on_abandoned() {
  if (queue_) queue_->remove(*this);
}

}  // namespace postern::detail
