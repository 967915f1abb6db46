// How fast the spool takes messages in: a number of committers that each wait for their 250 before the next message, on
// a real disk.
//
//   spool_bench FOLDER [octets=4096] [committers=64] [seconds=5] [keep]
//
// Prints messages a second, batches, messages per batch, and the processor time per message of the journal's thread and
// of the whole process. With "keep" messages are not ended, so that the log grows.
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdlib>
#include <cstring>
#include <string>

#include "postern/executor.h"
#include "postern/spool.h"

using namespace postern;

namespace {

struct Load {
  std::string content;
  Instant end;
  bool keep = false;
  std::uint64_t messages = 0;
  std::uint64_t failures = 0;
  unsigned running = 0;
};

struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

/// What one client does: send, wait for 250, send.
Detached commit_messages(Runtime& runtime, Executor& home, Spool& spool, Load& load) {
  ++load.running;
  while (home.now() < load.end && load.failures == 0) {
    Draft draft = spool.begin(home, load.content.size());
    for (std::size_t at = 0; at < load.content.size(); at += 65'536) {
      auto taken = co_await draft.append(std::string_view(load.content).substr(at, 65'536));
      if (!taken) fmt::print(stderr, "{}: {}\n", taken.error().code, taken.error().detail);
    }
    auto id = co_await draft.commit(
        {.envelope = std::string(100, 'e'), .client = "c", .plan = "p", .trail = std::string(200, 't')});
    if (!id) {
      ++load.failures;
      fmt::print(stderr, "{}: {}\n", id.error().code, id.error().detail);
      break;
    }
    ++load.messages;
    if (!load.keep) spool.done_lazily(home, *id, 0);
  }
  if (--load.running == 0) runtime.stop();
}

double cpu_seconds(const rusage& usage, bool system_too) {
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + (system_too ? seconds(usage.ru_stime) : 0);
}

/// Asks a lane's own thread how much processor time it has used.
struct LaneTime final : Runnable {
  void run() override {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    user = cpu_seconds(usage, false);
    both = cpu_seconds(usage, true);
    ready.store(true);
    ready.notify_all();
  }
  double user = 0, both = 0;
  std::atomic<bool> ready{false};
};

/// The journal's lane, still reachable after it has been given away. Ends when what was posted has run.
class SharedLane final : public Lane {
 public:
  explicit SharedLane(Lane& lane) : lane_(lane) {}
  ~SharedLane() override {
    LaneTime last;
    lane_.post(last);
    last.ready.wait(false);
  }
  void post(Runnable& work) override { lane_.post(work); }

 private:
  Lane& lane_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} FOLDER [octets] [committers] [seconds] [keep]\n", argv[0]);
    return 2;
  }
  auto number = [&](int at, long fallback) { return argc > at ? std::atol(argv[at]) : fallback; };
  Load load{.content = "Subject: bench\r\n\r\n" + std::string(static_cast<std::size_t>(number(2, 4096)), 'x'),
            .end = {},
            .keep = argc > 5 && std::strcmp(argv[5], "keep") == 0};
  auto runtime = make_uv_runtime({.workers = 1});
  PosixEnv env;
  auto journal = runtime->make_lane("journal");
  auto opened =
      open_spool({.dir = argv[1]},
                 {.env = env,
                  .journal = std::make_unique<SharedLane>(*journal),
                  .keeper = runtime->make_lane("keeper"),
                  .report = [](const SpoolReport& report) { fmt::print(stderr, "report: {}\n", report.detail); }});
  if (!opened) {
    fmt::print(stderr, "{}: {}\n", opened.error().code, opened.error().detail);
    return 1;
  }
  Executor& home = runtime->worker(0);
  auto begin = std::chrono::steady_clock::now();
  home.post_remote_fn([&] {
    load.end = home.now() + std::chrono::seconds(number(4, 5));
    for (long i = 0; i < number(3, 64); ++i) commit_messages(*runtime, home, *opened->spool, load);
  });
  runtime->run();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  LaneTime lane;
  journal->post(lane);
  lane.ready.wait(false);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto count = static_cast<double>(load.messages);
  fmt::print(
      "{:.0f} messages/s, {} in all; journal {:.2f} us user, {:.2f} us user+system per message; process {:.1f} us per "
      "message; peak {} MiB\n",
      count / seconds, load.messages, 1e6 * lane.user / count, 1e6 * lane.both / count,
      1e6 * cpu_seconds(usage, true) / count, usage.ru_maxrss / 1024);
  opened->spool.reset();
  return load.failures == 0 ? 0 : 1;
}
