// The control socket and the metrics endpoint: how `postern ...` and Prometheus talk to the running server.
//
// One request a line, JSON, answered by rows and an end (postern/control.h). A peer whose user is neither root nor the
// server's own is refused. Metrics are plain HTTP/1.1, on a Unix socket and, where configured, a loopback port.
//
// Thread: worker 0, all of it. Limits: kMaxSessions at a time, kMaxRequest octets a request, kTimeout a wait.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/control.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/nursery.h"
#include "postern/stream.h"

namespace postern {

class ControlServer final : public Control {
 public:
  static constexpr std::size_t kMaxSessions = 64;
  static constexpr std::size_t kMaxRequest = 64 * 1024;
  static constexpr Duration kTimeout = 60s;
  static constexpr Duration kMetricsTimeout = 10s;  ///< of a whole scrape

  explicit ControlServer(Metrics& metrics);
  ~ControlServer() override;

  void add(std::string command, std::string purpose, Handler handler) override;
  std::vector<CommandInfo> commands() const override;

  /// Begins to serve; on worker 0's thread. The endpoints stay the caller's.
  void start(Executor& executor, Log log, BoundEndpoint& control, std::vector<BoundEndpoint*> metrics);
  Task<void> drain(Deadline deadline);
  void stop();

 private:
  struct Entry {
    std::string purpose;
    Handler handler;
  };
  enum class Kind { kControl, kMetrics };
  void accept(Kind kind, std::unique_ptr<Socket> socket);
  Task<void> serve_control(std::unique_ptr<Socket> socket);
  Task<void> serve_metrics(std::unique_ptr<Socket> socket);
  Task<void> answer(Stream& stream, std::string line);
  bool trusted(const Stream& stream) const;

  Metrics& metrics_;
  std::map<std::string, Entry, std::less<>> commands_;
  Log log_;
  std::unique_ptr<Nursery> nursery_;
  std::unique_ptr<Nursery> metrics_nursery_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Executor* executor_ = nullptr;
};

}  // namespace postern
