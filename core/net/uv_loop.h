// One worker on libuv: its loop, queues, timers and clocks. The sockets stand in uv_socket.h, listening in uv_listen.h.
//
// Every callback of libuv into our code holds a Turn. When the outermost Turn ends, the work posted meanwhile is run,
// so a coroutine resumed by a read has run to its next wait before the loop goes on. Work of post_later() waits for the
// loop's next round; work of post_remote() comes through a lock-free stack, and only the first of a batch writes to the
// loop's eventfd. All timers share one uv_timer that stands at the wheel's next expiry: an idle loop sleeps.
//
// Owner:  UvRuntime. Handles given out (sockets, acceptors, watches) end before the runtime.
// Thread: the worker's; post_remote() and stop() any.
#pragma once

#include <uv.h>

#include "core/net/run_queue.h"
#include "core/net/uv_threads.h"
#include "core/runtime/timer_wheel.h"
#include "postern/random.h"

namespace postern {

/// What the workers of a runtime share.
struct UvShared {
  UvShared(const RuntimeOptions& options, unsigned worker_count);
  unsigned workers;
  int backlog;
  std::atomic<bool> stopping{false};
  ThreadPool disk;
  ThreadPool cpu;
};

class UvExecutor final : public Executor {
 public:
  UvExecutor(unsigned index, UvShared& shared);
  ~UvExecutor() override;  ///< closes what is left on the loop; no loop may be running

  Instant now() const override;
  WallTime wall() const override;
  std::uint64_t random() override { return random_.next(); }
  void post(Runnable& work) override { ready_.push(work); }
  void post_later(Runnable& work) override;
  void post_remote(Runnable& work) override;
  void arm(TimerNode& timer, Instant when) override;
  void disarm(TimerNode& timer) override { wheel_.disarm(timer); }
  std::unique_ptr<Acceptor> accept(BoundEndpoint& bound, AcceptEvents& events) override;
  std::unique_ptr<Connecting> connect(const ConnectOptions& options, ConnectEvents& events) override;
  std::unique_ptr<Socket> adopt(std::unique_ptr<DetachedSocket> detached) override;
  std::unique_ptr<FdWatch> watch(int fd, std::function<void(bool readable, bool writable)> ready) override;
  void submit(Pool pool, Runnable& work) override;

  void run();   ///< until stop()
  void stop();  ///< any thread
  /// After all loops and pools have stopped: runs what they still sent here. True if there was something.
  bool finish();
  uv_loop_t* loop() { return &loop_; }
  UvShared& shared() { return shared_; }

  /// Stands in every callback of libuv; the end of the outermost runs what was posted.
  class Turn {
   public:
    explicit Turn(UvExecutor& executor) : executor_(executor) { ++executor_.depth_; }
    ~Turn() {
      if (executor_.depth_ == 1) executor_.run_ready();
      --executor_.depth_;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    UvExecutor& executor_;
  };

 private:
  void run_ready();
  void on_wakeup();
  void on_timer();
  void on_idle();
  void schedule_timer();

  UvShared& shared_;
  uv_loop_t loop_{};
  uv_async_t wakeup_{};
  uv_timer_t timer_{};
  uv_prepare_t prepare_{};
  uv_idle_t idle_{};
  RunQueue ready_;
  RunQueue later_;
  unsigned depth_ = 0;
  TimerWheel wheel_;
  Instant timer_set_for_ = Instant::max();  ///< when timer_ will call; never later than the wheel needs
  Prng random_;
  mutable Instant now_{};
  mutable WallTime wall_{};
  mutable bool now_fresh_ = false;
  mutable bool wall_fresh_ = false;
  alignas(64) RemoteQueue remote_;
};

}  // namespace postern
