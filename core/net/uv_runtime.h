// All workers of a process on libuv, with their pools and lanes.
//
// Order of the end: stop() ends the loops; run() joins the workers, lets the pools finish what they took, and runs what
// they still sent to the loops, so that whoever waited for a job gets its end. Sockets, acceptors, timers and lanes are
// destroyed by their owners before the runtime.
//
// Thread: make, bind and on_signal on the main thread before run(); stop() any.
#pragma once

#include <memory>
#include <vector>

#include "core/net/uv_loop.h"

namespace postern {

struct UvListenSockets;

class UvRuntime final : public Runtime {
 public:
  explicit UvRuntime(RuntimeOptions options);
  ~UvRuntime() override;

  unsigned workers() const override { return shared_.workers; }
  Executor& worker(unsigned index) override { return *workers_[index]; }
  Result<std::unique_ptr<BoundEndpoint>> bind(const Endpoint& endpoint, unsigned unix_mode = 0600) override;
  std::unique_ptr<Lane> make_lane(std::string name) override;
  void run() override;
  void stop() override;
  void on_signal(int signal, std::function<void()> handler) override;

 private:
  struct SignalWatch;

  UvShared shared_;
  bool pin_workers_;
  std::vector<std::weak_ptr<UvListenSockets>> bound_;  ///< what bind() gave out
  std::vector<std::unique_ptr<UvExecutor>> workers_;
  std::vector<std::unique_ptr<SignalWatch>> signals_;
};

}  // namespace postern
