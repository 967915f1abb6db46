#include "core/net/uv_loop.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/net/uv_connect.h"
#include "core/net/uv_listen.h"
#include "core/net/uv_socket.h"

namespace postern {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
/// Rounds of the closing loop; each closes what the one before left, so a few are enough.
constexpr int kCloseRounds = 64;

Instant system_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

UvExecutor& self_of(uv_handle_t* handle) {
  return *static_cast<UvExecutor*>(handle->data);
}

template <class Handle>
UvExecutor& self_of(Handle* handle) {
  return self_of(reinterpret_cast<uv_handle_t*>(handle));
}

void check(int status, const char* what) {
  if (status != 0) throw Error(fmt::format("{}: {}", what, uv_strerror(status)));
}

}  // namespace

UvShared::UvShared(const RuntimeOptions& options, unsigned worker_count)
    : workers(worker_count),
      backlog(options.backlog),
      disk("disk", std::max(1U, options.disk_threads), options.pool_queue),
      cpu("cpu", std::max(1U, options.cpu_threads), options.pool_queue) {}

UvExecutor::UvExecutor(unsigned index, UvShared& shared)
    : Executor(index), shared_(shared), wheel_(system_now()), random_(Prng::from_system()) {
  check(uv_loop_init(&loop_), "uv_loop_init");
  check(uv_async_init(&loop_, &wakeup_, [](uv_async_t* handle) { self_of(handle).on_wakeup(); }), "uv_async_init");
  check(uv_timer_init(&loop_, &timer_), "uv_timer_init");
  check(uv_prepare_init(&loop_, &prepare_), "uv_prepare_init");
  check(uv_idle_init(&loop_, &idle_), "uv_idle_init");
  wakeup_.data = timer_.data = prepare_.data = idle_.data = this;
  // Before the loop waits for the system, the time of this turn ends.
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) {
    self_of(handle).now_fresh_ = false;
    self_of(handle).wall_fresh_ = false;
  });
}

UvExecutor::~UvExecutor() {
  for (int round = 0; round < kCloseRounds; ++round) {
    const auto close = [](uv_handle_t* handle, void*) {
      if (!uv_is_closing(handle)) uv_close(handle, nullptr);
    };
    uv_walk(&loop_, close, nullptr);
    if (uv_run(&loop_, UV_RUN_NOWAIT) == 0) break;
  }
  uv_loop_close(&loop_);
}

Instant UvExecutor::now() const {
  if (!now_fresh_) {
    now_ = system_now();
    now_fresh_ = true;
  }
  return now_;
}

WallTime UvExecutor::wall() const {
  if (!wall_fresh_) {
    wall_ = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    wall_fresh_ = true;
  }
  return wall_;
}

void UvExecutor::run_ready() {
  while (Runnable* work = ready_.pop()) work->run();
}

void UvExecutor::post_later(Runnable& work) {
  if (later_.empty()) uv_idle_start(&idle_, [](uv_idle_t* handle) { self_of(handle).on_idle(); });
  later_.push(work);
}

void UvExecutor::on_idle() {
  Turn turn(*this);
  RunQueue round;
  round.take(later_);
  while (Runnable* work = round.pop()) {
    work->run();
    run_ready();  // what one posts for this turn comes before the next
  }
  if (later_.empty()) uv_idle_stop(&idle_);
}

void UvExecutor::post_remote(Runnable& work) {
  if (remote_.push(work)) uv_async_send(&wakeup_);
}

void UvExecutor::on_wakeup() {
  Turn turn(*this);
  Runnable* work = remote_.take_all();
  while (work != nullptr) {
    Runnable* next = work->next;  // run() may end the work's life, or post it again
    work->run();
    run_ready();
    work = next;
  }
  if (shared_.stopping.load(std::memory_order_acquire)) uv_stop(&loop_);
}

void UvExecutor::arm(TimerNode& timer, Instant when) {
  wheel_.arm(timer, when);
  // Only an earlier expiry moves the loop's timer; a later one lets it come too early once, which costs less.
  if (when < timer_set_for_) schedule_timer();
}

void UvExecutor::schedule_timer() {
  const auto next = wheel_.next_expiry();
  if (!next) {
    timer_set_for_ = Instant::max();
    return;
  }
  if (*next >= timer_set_for_) return;
  timer_set_for_ = *next;
  // libuv counts from its own cached time, which may be older than ours but never newer than the system's.
  const std::int64_t until =
      (*next - Instant(Duration(static_cast<std::int64_t>(uv_now(&loop_)) * kMillisecond))).count();
  const std::int64_t delay = until <= 0 ? 0 : (until + kMillisecond - 1) / kMillisecond;
  uv_timer_start(&timer_, [](uv_timer_t* handle) { self_of(handle).on_timer(); }, static_cast<std::uint64_t>(delay), 0);
}

void UvExecutor::on_timer() {
  Turn turn(*this);
  now_fresh_ = wall_fresh_ = false;
  wheel_.advance(now());
  timer_set_for_ = Instant::max();
  schedule_timer();
}

void UvExecutor::submit(Pool pool, Runnable& work) {
  (pool == Pool::kDisk ? shared_.disk : shared_.cpu).submit(work);
}

std::unique_ptr<Acceptor> UvExecutor::accept(BoundEndpoint& bound, AcceptEvents& events) {
  return make_uv_acceptor(*this, static_cast<UvBoundEndpoint&>(bound), events);
}

std::unique_ptr<Connecting> UvExecutor::connect(const ConnectOptions& options, ConnectEvents& events) {
  return make_uv_connecting(*this, options, events);
}

std::unique_ptr<Socket> UvExecutor::adopt(std::unique_ptr<DetachedSocket> detached) {
  auto& from = static_cast<UvDetachedSocket&>(*detached);
  return UvSocket::open(*this, from.release(), from.is_unix());
}

std::unique_ptr<FdWatch> UvExecutor::watch(int fd, std::function<void(bool readable, bool writable)> ready) {
  return make_uv_watch(*this, fd, std::move(ready));
}

void UvExecutor::run() {
  {
    Turn turn(*this);  // for what was posted before the loop ran
    now_fresh_ = wall_fresh_ = false;
    uv_update_time(&loop_);
  }
  if (!remote_.empty()) uv_async_send(&wakeup_);
  while (!shared_.stopping.load(std::memory_order_acquire)) uv_run(&loop_, UV_RUN_DEFAULT);
}

void UvExecutor::stop() {
  uv_async_send(&wakeup_);
}

bool UvExecutor::finish() {
  const bool had_work = !remote_.empty() || !ready_.empty();
  on_wakeup();
  uv_run(&loop_, UV_RUN_NOWAIT);
  return had_work;
}

}  // namespace postern
