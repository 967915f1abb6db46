#include "core/net/uv_runtime.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <thread>

#include "core/net/uv_listen.h"

namespace postern {
namespace {

/// What a finished job may start anew while everything ends; more rounds would be a loop, not an end.
constexpr int kFinishRounds = 1000;

unsigned worker_count(const RuntimeOptions& options) {
  return options.workers > 0 ? options.workers : std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

struct UvRuntime::SignalWatch {
  uv_signal_t handle{};
  UvExecutor* executor = nullptr;
  std::function<void()> handler;
};

UvRuntime::UvRuntime(RuntimeOptions options)
    : shared_(options, worker_count(options)), pin_workers_(options.pin_workers) {
  // A peer that went away is an EPIPE where we write, never a signal.
  ::signal(SIGPIPE, SIG_IGN);
  for (unsigned i = 0; i < shared_.workers; ++i) workers_.push_back(std::make_unique<UvExecutor>(i, shared_));
}

UvRuntime::~UvRuntime() {
  shared_.disk.stop();
  shared_.cpu.stop();
  workers_.clear();  // closes the signals' handles too, so they end after it
}

Result<std::unique_ptr<BoundEndpoint>> UvRuntime::bind(const Endpoint& endpoint, unsigned unix_mode) {
  std::erase_if(bound_, [](const auto& one) { return one.expired(); });
  for (const auto& one : bound_)
    if (auto sockets = one.lock(); sockets && sockets->endpoint == endpoint && !endpoint.is_unix())
      return fault("listen.in_use", fmt::format("{} is another listener's address already", endpoint.to_string()));
  auto bound = uv_bind(endpoint, unix_mode, shared_.workers);
  if (bound) bound_.push_back(static_cast<UvBoundEndpoint&>(**bound).sockets());
  return bound;
}

std::unique_ptr<Lane> UvRuntime::make_lane(std::string name) {
  return std::make_unique<ThreadLane>(name);
}

void UvRuntime::on_signal(int signal, std::function<void()> handler) {
  auto watch = std::make_unique<SignalWatch>();
  watch->executor = workers_[0].get();
  watch->handler = std::move(handler);
  uv_signal_init(workers_[0]->loop(), &watch->handle);
  watch->handle.data = watch.get();
  const auto arrived = [](uv_signal_t* handle, int) {
    auto& self = *static_cast<SignalWatch*>(handle->data);
    UvExecutor::Turn turn(*self.executor);
    self.handler();
  };
  const int status = uv_signal_start(&watch->handle, arrived, signal);
  signals_.push_back(std::move(watch));  // kept in any case: the loop knows the handle
  if (status != 0) throw Error(fmt::format("cannot watch signal {}: {}", signal, uv_strerror(status)));
}

void UvRuntime::run() {
  const std::vector<int> cpus = pin_workers_ ? allowed_cpus() : std::vector<int>();
  const bool pin = shared_.workers > 1 && cpus.size() == shared_.workers;
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < shared_.workers; ++i)
    threads.emplace_back([this, i, pin, &cpus] {
      name_thread(fmt::format("worker-{}", i));
      if (pin) pin_thread({&cpus[i], 1});
      workers_[i]->run();
    });
  if (pin) pin_thread({&cpus[0], 1});
  workers_[0]->run();
  if (pin) pin_thread(cpus);
  for (std::thread& thread : threads) thread.join();
  shared_.disk.stop();
  shared_.cpu.stop();
  for (int round = 0; round < kFinishRounds; ++round) {
    bool more = false;
    for (auto& worker : workers_) more = worker->finish() || more;
    if (!more) return;
  }
}

void UvRuntime::stop() {
  shared_.stopping.store(true, std::memory_order_release);
  for (auto& worker : workers_) worker->stop();
}

std::unique_ptr<Runtime> make_uv_runtime(RuntimeOptions options) {
  return std::make_unique<UvRuntime>(options);
}

}  // namespace postern
