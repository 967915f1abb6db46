// Nursery: the only root of spawned work. Its children run on one executor, share its cancellation, and are all ended
// when join() returns; a child cannot outlive it (the destructor aborts the process if one would).
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <tuple>
#include <variant>

#include "postern/cancel.h"
#include "postern/task.h"
#include "postern/wait.h"

namespace postern {

class Nursery {
 public:
  /// `parent`: cancelling it cancels this nursery too.
  explicit Nursery(Executor& executor, CancelToken parent = {});
  ~Nursery();
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  /// Starts `task` in this turn of the loop, after the present callback. A child that throws anything but Cancelled
  /// reports to on_error, if there is one; else its exception cancels the others and is rethrown by join().
  void spawn(Task<void> task);
  void cancel() { cancel_.cancel(); }
  bool cancelled() const { return cancel_.cancelled(); }
  CancelToken token() { return CancelToken(&cancel_); }
  std::size_t size() const { return live_; }
  Executor& executor() const { return *context_.executor; }

  /// Told of what a child threw, on the loop's thread; set before the first spawn.
  std::function<void(std::exception_ptr)> on_error;

  /// Waits until no child is left. Cancelling the caller does not end this wait (children must end first): it cancels
  /// the children. Rethrows the first child's exception, if on_error is not set.
  Task<void> join();
  /// Waits until no child is left or the deadline has passed; true when none is left.
  Task<bool> join_until(Deadline deadline);

 private:
  struct Root;
  class Idle;
  static Root run_child(Nursery* nursery, Task<void> task);
  void child_ended(std::exception_ptr error) noexcept;

  CancelState cancel_;
  Context context_;
  std::size_t live_ = 0;
  std::exception_ptr first_error_;
  Idle* idle_ = nullptr;
};

namespace detail {
template <class T>
Task<void> store(Task<T> task, std::optional<T>* out) {
  out->emplace(co_await std::move(task));
}
template <class T>
Task<void> store_first(Task<T> task, std::optional<T>* out, Nursery* nursery) {
  T value = co_await std::move(task);
  if (!*out) out->emplace(std::move(value));
  nursery->cancel();
}
}  // namespace detail

/// Runs all and returns their results as a tuple; the first exception cancels the others and is rethrown.
template <class... T>
Task<std::tuple<T...>> when_all(Task<T>... tasks) {
  Context& context = co_await this_context();
  Nursery nursery(*context.executor, CancelToken(context.cancel));
  std::tuple<std::optional<T>...> results;
  std::apply([&](auto&... result) { (nursery.spawn(detail::store(std::move(tasks), &result)), ...); }, results);
  co_await nursery.join();
  co_return std::apply([](auto&... result) { return std::tuple<T...>(std::move(*result)...); }, results);
}

/// Runs all until the first has a result, cancels the others, and returns it when they have ended.
template <class T, class... More>
Task<T> first_of(Task<T> one, More... more) {
  Context& context = co_await this_context();
  Nursery nursery(*context.executor, CancelToken(context.cancel));
  std::optional<T> result;
  nursery.spawn(detail::store_first(std::move(one), &result, &nursery));
  (nursery.spawn(detail::store_first(std::move(more), &result, &nursery)), ...);
  co_await nursery.join();
  if (!result) throw Cancelled();
  co_return std::move(*result);
}

}  // namespace postern
