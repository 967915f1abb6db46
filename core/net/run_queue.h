// The queue of one loop's posted work: a chain through Runnable::next, without allocations.
//
// Thread: the loop's.
#pragma once

#include "postern/executor.h"

namespace postern {

/// First in, first out, through Runnable::next; one thread.
class RunQueue {
 public:
  RunQueue() = default;
  RunQueue(const RunQueue&) = delete;  // tail_ may point into the object
  RunQueue& operator=(const RunQueue&) = delete;
  void push(Runnable& work) {
    work.next = nullptr;
    *tail_ = &work;
    tail_ = &work.next;
  }
  Runnable* pop() {
    Runnable* work = head_;
    if (work == nullptr) return nullptr;
    head_ = work->next;
    if (head_ == nullptr) tail_ = &head_;
    return work;
  }
  bool empty() const { return head_ == nullptr; }
  /// Moves all of the other's work here.
  void take(RunQueue& other) {
    while (Runnable* work = other.pop()) push(*work);
  }

 private:
  Runnable* head_ = nullptr;
  Runnable** tail_ = &head_;
};

}  // namespace postern
