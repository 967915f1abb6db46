// Task<T>: a coroutine that has one owner, starts when it is awaited and resumes its awaiter when it ends.
//
// Each coroutine knows its Context (executor and cancellation), inherited from whoever awaits it; the leaves (Wait in
// postern/wait.h) find it there, so that it need not be handed through every signature.
//
// Rules (contrib/adr/0002-coroutines.md): by-value parameters; no capturing lambda is a coroutine; nothing is destroyed
// while suspended; a Task that is awaited runs at once on the same thread and needs no queue (symmetric transfer).
#pragma once

#include <coroutine>
#include <cstdlib>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace postern {

class Executor;
class CancelState;

/// Where a coroutine runs and who may cancel it. Owned by a Nursery, which outlives every coroutine in it.
struct Context {
  Executor* executor = nullptr;
  CancelState* cancel = nullptr;
};

class PromiseBase {
 public:
  Context* context = nullptr;
  std::coroutine_handle<> continuation;

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      return ended.promise().continuation;
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
};

template <class T>
class [[nodiscard]] Task;

namespace detail {

template <class T>
class TaskPromise : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& value) {
    result_.template emplace<1>(std::forward<U>(value));
  }
  void unhandled_exception() { result_.template emplace<2>(std::current_exception()); }
  T take() {
    if (result_.index() == 2) std::rethrow_exception(std::get<2>(std::move(result_)));
    return std::get<1>(std::move(result_));
  }

 private:
  std::variant<std::monostate, T, std::exception_ptr> result_;
};

template <>
class TaskPromise<void> : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void unhandled_exception() { error_ = std::current_exception(); }
  void take() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
};

struct Nothing {};

}  // namespace detail

/// See the file's head. A ready result (Task<T>::ready(v)) allocates no frame.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;
  using Ready = std::conditional_t<std::is_void_v<T>, detail::Nothing, T>;

  explicit Task(Handle handle) : handle_(handle) {}
  static Task ready(Ready value = {}) { return Task(ReadyTag{}, std::move(value)); }

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), ready_(std::move(other.ready_)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
      ready_ = std::move(other.ready_);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Task task) : task_(std::move(task)) {}
    bool await_ready() const noexcept { return !task_.handle_; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
      auto& promise = task_.handle_.promise();
      promise.continuation = caller;
      promise.context = caller.promise().context;
      return task_.handle_;
    }
    T await_resume() {
      if (task_.handle_) {
        // The frame ends here, before the caller goes on, so that chains of awaits do not pile up memory.
        Task done = std::move(task_);
        return done.handle_.promise().take();
      }
      if constexpr (!std::is_void_v<T>) return std::move(*task_.ready_);
    }

   private:
    Task task_;
  };
  Awaiter operator co_await() && { return Awaiter(std::move(*this)); }

 private:
  struct ReadyTag {};
  Task(ReadyTag, Ready value) : ready_(std::move(value)) {}
  Handle handle_;
  [[no_unique_address]] std::optional<Ready> ready_;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}
}  // namespace detail

/// `Context& context = co_await this_context();`
struct ThisContext {
  Context* context = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    context = handle.promise().context;
    return false;
  }
  Context& await_resume() const noexcept { return *context; }
};
inline ThisContext this_context() {
  return {};
}

/// `Executor& executor = co_await this_executor();`
struct ThisExecutor : ThisContext {
  Executor& await_resume() const noexcept { return *context->executor; }
};
inline ThisExecutor this_executor() {
  return {};
}

}  // namespace postern
