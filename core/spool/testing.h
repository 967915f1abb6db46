// For the tests of the spool: a world of one worker, whose loop, disk pool and lanes are queues that a seed picks from,
// so that every order in which they could run comes up, and comes up again.
//
// Thread: one, for everything.
#pragma once

#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/runtime/timer_wheel.h"
#include "postern/env.h"
#include "postern/random.h"
#include "postern/spool.h"

namespace postern::spool {

class ManualWorld final : public Executor {
 public:
  explicit ManualWorld(std::uint64_t seed = 1) : Executor(0), random_(seed) {}

  Instant now() const override { return now_; }
  WallTime wall() const override {
    return WallTime(std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}) +
           std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch());
  }
  std::uint64_t random() override { return random_.next(); }
  void post(Runnable& work) override { loop_.push_back(&work); }
  void post_later(Runnable& work) override { loop_.push_back(&work); }
  void post_remote(Runnable& work) override { loop_.push_back(&work); }
  void arm(TimerNode& timer, Instant when) override { timers_.arm(timer, when); }
  void disarm(TimerNode& timer) override { timers_.disarm(timer); }
  std::unique_ptr<Acceptor> accept(BoundEndpoint&, AcceptEvents&) override { throw std::logic_error("no network"); }
  std::unique_ptr<Connecting> connect(const ConnectOptions&, ConnectEvents&) override {
    throw std::logic_error("no network");
  }
  std::unique_ptr<Socket> adopt(std::unique_ptr<DetachedSocket>) override { throw std::logic_error("no network"); }
  std::unique_ptr<FdWatch> watch(int, std::function<void(bool, bool)>) override {
    throw std::logic_error("no network");
  }
  void submit(Pool, Runnable& work) override {
    if (pool_full) throw Overloaded();
    disk_.push_back(&work);
  }

  SpoolHost host(Env& env, std::function<void(const SpoolReport&)> report = {}) {
    return {.env = env,
            .journal = std::make_unique<QueueLane>(lanes_[0]),
            .keeper = std::make_unique<QueueLane>(lanes_[1]),
            .report = std::move(report)};
  }

  /// Runs one thing that is due, picked by the seed. False when nothing is.
  bool step() {
    std::vector<std::deque<Runnable*>*> due;
    for (auto* queue : {&loop_, &disk_, &lanes_[0], &lanes_[1]})
      if (!queue->empty()) due.push_back(queue);
    if (due.empty()) return false;
    now_ += 10us;
    pop(*due[random_.below(due.size())]).run();
    return true;
  }
  void run_until_idle() {
    while (step()) {
    }
  }
  /// Lets time pass; timers that have come due fire.
  void advance(Duration time) {
    now_ += time;
    timers_.advance(now_);
  }

  template <class T>
  Result<T> wait(SpoolWait<T> wait) {
    std::optional<Result<T>> answer;
    wait.then([&](Result<T> got) { answer.emplace(std::move(got)); });
    while (!answer && step()) {
    }
    if (!answer) throw std::logic_error("the spool did not answer");
    return std::move(*answer);
  }
  /// Appends all of it; by callbacks an append cannot be awaited, so its wait is driven here.
  Result<void> append(Draft& draft, std::string_view octets);

  bool pool_full = false;

 private:
  struct QueueLane final : Lane {
    explicit QueueLane(std::deque<Runnable*>& where) : queue(where) {}
    ~QueueLane() override {
      while (!queue.empty()) pop(queue).run();
    }
    void post(Runnable& work) override { queue.push_back(&work); }
    std::deque<Runnable*>& queue;
  };
  static Runnable& pop(std::deque<Runnable*>& queue) {
    Runnable* first = queue.front();
    queue.pop_front();
    return *first;
  }

  Prng random_;
  Instant now_{};
  std::deque<Runnable*> loop_, disk_, lanes_[2];
  TimerWheel timers_{now_};
};

/// The smallest coroutine that can await an append.
struct Fire {
  struct promise_type {
    Fire get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};
inline Fire append_to(Draft& draft, std::string_view octets, std::optional<Result<void>>& answer) {
  Result<void> got = co_await draft.append(octets);
  answer.emplace(std::move(got));
}
inline Result<void> ManualWorld::append(Draft& draft, std::string_view octets) {
  std::optional<Result<void>> answer;
  append_to(draft, octets, answer);
  while (!answer && step()) {
  }
  if (!answer) throw std::logic_error("the append did not answer");
  return std::move(*answer);
}

/// A whole message in one go.
inline Result<MessageId> put(ManualWorld& world, Spool& spool, std::string_view content, AcceptMeta meta = {}) {
  Draft draft = spool.begin(world);
  if (auto ok = world.append(draft, content); !ok) return std::unexpected(ok.error());
  return world.wait(draft.commit(std::move(meta)));
}

/// Everything a reader gives.
inline Result<std::string> content_of(ManualWorld& world, MessageReader& reader) {
  std::string all;
  while (true) {
    auto piece = world.wait(reader.next());
    if (!piece) return std::unexpected(piece.error());
    if (piece->empty()) return all;
    all += *piece;
  }
}
inline Result<std::string> get(ManualWorld& world, Spool& spool, MessageId id) {
  auto reader = world.wait(spool.open(world, id));
  if (!reader) return std::unexpected(reader.error());
  return content_of(world, *reader);
}

/// A repeatable message with a header block and `octets` of body.
inline std::string make_message(std::uint64_t seed, std::size_t octets) {
  std::string text = "Subject: " + std::to_string(seed) + "\r\nFrom: <a@example.org>\r\n\r\n";
  Prng random(seed);
  while (text.size() < octets) text += static_cast<char>('a' + random.below(26));
  return text + "\r\n";
}

inline SpoolSettings small() {
  return {.dir = "/spool",
          .segment_size = 64 * 1024,
          .large_body_threshold = 8 * 1024,
          .max_blank_body_bytes = 256 * 1024,
          .header_limit = 4096,
          .min_free = 0,
          .hot_bodies = 512 * 1024};  // 32 KiB each: some large bodies stay in memory, some do not
}

/// A spool on a disk in memory, which can be closed, cut off and opened again.
struct Bench {
  explicit Bench(SpoolSettings the_settings = small()) : settings(std::move(the_settings)) { open(); }
  void open() {
    auto opened = open_spool(settings, world.host(env));
    if (!opened) throw std::runtime_error(opened.error().detail);
    spool = std::move(opened->spool);
    reports = std::move(opened->reports);
  }
  void restart() {
    spool.reset();
    open();
  }
  void crash() {
    env.stop_after(0);
    world.run_until_idle();
    spool.reset();
    env.process_crash();
  }
  void power_cut(std::uint64_t seed) {
    env.stop_after(0);
    world.run_until_idle();
    spool.reset();
    env.power_loss(seed);
  }
  std::vector<MessageInfo> list() { return *world.wait(spool->list(world, MessageId(), 10'000)); }
  SpoolStats stats() { return *world.wait(spool->stats(world)); }
  Result<void> done(MessageId id, std::uint32_t recipient = 0) { return world.wait(spool->done(world, id, recipient)); }

  SpoolSettings settings;
  FaultEnv env;
  ManualWorld world;
  std::unique_ptr<Spool> spool;
  std::vector<SpoolReport> reports;
};

}  // namespace postern::spool
