#include "postern/nursery.h"

#include <cstdio>
#include <cstdlib>

namespace postern {

namespace {

[[noreturn]] void outlived(std::size_t live) {
  std::fprintf(stderr, "postern: a nursery ended before %zu of its children; this is a bug\n", live);
  std::abort();
}

}  // namespace

/// The outermost frame of a child: starts through the executor's queue, and destroys itself when the child has ended.
struct Nursery::Root {
  struct promise_type final : PromiseBase, Runnable {
    // The parameters of run_child are the promise's, so that it knows its nursery before the body runs.
    promise_type(Nursery* owner, Task<void>&) : nursery(owner) { context = &owner->context_; }
    Root get_return_object() { return Root{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    struct End {
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        Nursery* owner = ended.promise().nursery;
        std::exception_ptr thrown = ended.promise().error;
        ended.destroy();
        owner->child_ended(std::move(thrown));
      }
      void await_resume() noexcept {}
    };
    End final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }
    void run() override { std::coroutine_handle<promise_type>::from_promise(*this).resume(); }

    Nursery* nursery;
    std::exception_ptr error;
  };
  std::coroutine_handle<promise_type> handle;
};

Nursery::Root Nursery::run_child(Nursery*, Task<void> task) {
  co_await std::move(task);
}

Nursery::Nursery(Executor& executor, CancelToken parent) : cancel_(parent.state()), context_{&executor, &cancel_} {}

Nursery::~Nursery() {
  if (live_) outlived(live_);
}

void Nursery::spawn(Task<void> task) {
  ++live_;
  Root root = run_child(this, std::move(task));
  context_.executor->post(root.handle.promise());
}

/// Waits for the last child; told by child_ended(). It stands in a context without cancellation: children end first.
class Nursery::Idle final : public Wait {
 public:
  Idle(Nursery& nursery, Deadline deadline) : nursery_(nursery), deadline_(deadline) {}
  ~Idle() {
    if (nursery_.idle_ == this) nursery_.idle_ = nullptr;
  }
  bool await_ready() const { return nursery_.live_ == 0; }
  bool await_suspend(std::coroutine_handle<> handle) {
    context_.executor = nursery_.context_.executor;
    if (!begin(handle, context_, deadline_)) return false;
    nursery_.idle_ = this;
    return true;
  }
  void await_resume() const {}
  void all_ended() { settle(); }

 private:
  void on_abandoned() override { nursery_.idle_ = nullptr; }
  Nursery& nursery_;
  Deadline deadline_;
  Context context_;
};

namespace {

/// Hands the cancellation of a joining coroutine on to the children that it waits for.
class PassOn final : public CancelNode {
 public:
  PassOn(Nursery& nursery, CancelState* caller) : nursery_(nursery) {
    if (!caller) return;
    if (caller->cancelled())
      nursery_.cancel();
    else
      caller->link(*this);
  }

 private:
  void on_cancel() override { nursery_.cancel(); }
  Nursery& nursery_;
};

}  // namespace

void Nursery::child_ended(std::exception_ptr error) noexcept {
  if (error) {
    try {
      std::rethrow_exception(error);
    } catch (const Cancelled&) {
      // The nursery's own word, coming back.
    } catch (...) {
      if (on_error) {
        on_error(error);
      } else if (!first_error_) {
        first_error_ = error;
        cancel_.cancel();
      }
    }
  }
  if (--live_ == 0 && idle_) std::exchange(idle_, nullptr)->all_ended();
}

Task<void> Nursery::join() {
  Context& caller = co_await this_context();
  PassOn pass_on(*this, caller.cancel);
  while (live_ != 0) co_await Idle(*this, Deadline::never());
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

Task<bool> Nursery::join_until(Deadline deadline) {
  if (live_ == 0) co_return true;
  co_await Idle(*this, deadline);
  co_return live_ == 0;
}

}  // namespace postern
