#include "core/control/control_server.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/control/json_text.h"
#include "core/control/metrics_http.h"

namespace postern {

using nlohmann::json;

ControlRows::~ControlRows() = default;
Control::~Control() = default;

namespace {

class StreamRows final : public ControlRows {
 public:
  explicit StreamRows(Stream& stream) : stream_(stream) {}
  Task<void> row(std::string text) override {
    stream_.put("{\"row\":");
    stream_.put(text);
    stream_.put("}\n");
    // Many rows leave together; a slow asker holds the handler here, not the rows in memory.
    if (stream_.unflushed() >= 16 * 1024) co_await stream_.flush(Deadline::after(ControlServer::kTimeout));
  }

 private:
  Stream& stream_;
};

/// A request, or nothing when the line is not one.
std::optional<ControlRequest> parse_request(const std::string& line) {
  const json parsed = json::parse(line, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("command") || !parsed["command"].is_string()) return std::nullopt;
  ControlRequest request{.command = parsed["command"], .args = {}};
  if (!parsed.contains("args")) return request;
  if (!parsed["args"].is_object()) return std::nullopt;
  for (const auto& [name, value] : parsed["args"].items()) {
    if (!value.is_string()) return std::nullopt;
    request.args.emplace(name, value.get<std::string>());
  }
  return request;
}

std::string error_line(const std::string& code, const std::string& text) {
  return json_text(json{{"error", text}, {"code", code}}) + "\n";
}

}  // namespace

ControlServer::ControlServer(Metrics& metrics) : metrics_(metrics) {}
ControlServer::~ControlServer() = default;

void ControlServer::add(std::string command, std::string purpose, Handler handler) {
  if (!commands_.try_emplace(command, Entry{std::move(purpose), std::move(handler)}).second)
    throw Error("control command " + command + " is declared twice");
}

std::vector<Control::CommandInfo> ControlServer::commands() const {
  std::vector<CommandInfo> all;
  for (const auto& [name, entry] : commands_) all.push_back({name, entry.purpose});
  return all;
}

void ControlServer::start(Executor& executor, Log log, BoundEndpoint& control, std::vector<BoundEndpoint*> metrics) {
  executor_ = &executor;
  log_ = std::move(log);
  nursery_ = std::make_unique<Nursery>(executor);
  metrics_nursery_ = std::make_unique<Nursery>(executor);
  metrics_nursery_->on_error = [](std::exception_ptr) {};  // a scraper that goes away is no news
  nursery_->on_error = [this](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      log_.debug("control.session_lost", {{"why", e.what()}});
    }
  };
  listeners_.push_back(std::make_unique<Listener>(
      executor, control, [this](std::unique_ptr<Socket> socket) { accept(Kind::kControl, std::move(socket)); }));
  for (BoundEndpoint* endpoint : metrics)
    listeners_.push_back(std::make_unique<Listener>(
        executor, *endpoint, [this](std::unique_ptr<Socket> socket) { accept(Kind::kMetrics, std::move(socket)); }));
}

void ControlServer::accept(Kind kind, std::unique_ptr<Socket> socket) {
  // Each has its own room: whoever may reach the metrics must not be able to lock the administrator out.
  Nursery& nursery = kind == Kind::kControl ? *nursery_ : *metrics_nursery_;
  if (nursery.size() >= kMaxSessions) return;  // closes it
  nursery.spawn(kind == Kind::kControl ? serve_control(std::move(socket)) : serve_metrics(std::move(socket)));
}

bool ControlServer::trusted(const Stream& stream) const {
  const std::uint32_t uid = stream.peer_uid();
  return uid == 0 || uid == ::geteuid();
}

Task<void> ControlServer::serve_control(std::unique_ptr<Socket> socket) {
  Stream stream(*executor_, std::move(socket));
  if (!trusted(stream)) {
    log_.warn("control.refused", {{"uid", stream.peer_uid()}});
    co_await stream.write(error_line("control.denied", "only root and the server's own user may ask"),
                          Deadline::after(kTimeout));
    stream.close();
    co_return;
  }
  for (;;) {
    const Stream::Line line = co_await stream.read_line(kMaxRequest, Deadline::after(kTimeout));
    co_await answer(stream, std::string(line.text));
    co_await stream.flush(Deadline::after(kTimeout));
  }
}

Task<void> ControlServer::answer(Stream& stream, std::string line) {
  const auto request = parse_request(line);
  if (!request) {
    stream.put(error_line("control.malformed", "a request is {\"command\": \"...\", \"args\": {\"name\": \"text\"}}"));
    co_return;
  }
  auto found = commands_.find(request->command);
  if (found == commands_.end()) {
    stream.put(error_line("control.unknown", "no such command: " + request->command));
    co_return;
  }
  log_.info("control.command", {{"command", request->command}});
  StreamRows rows(stream);
  const Result<void> done = co_await found->second.handler(*request, rows);
  stream.put(done ? "{\"ok\":true}\n" : error_line(done.error().code, done.error().detail));
}

Task<void> ControlServer::serve_metrics(std::unique_ptr<Socket> socket) {
  Stream stream(*executor_, std::move(socket));
  const Deadline deadline = Deadline::after(kMetricsTimeout).fixed(executor_->now());
  std::optional<MetricsRequest> request;
  for (;;) {
    const Stream::Line line = co_await stream.read_line(8192, deadline);
    if (!request) request = read_metrics_request(line.text);
    if (line.text.empty()) break;
  }
  const std::string body = request->status == 200 ? metrics_.render() : "";
  co_await stream.write(metrics_answer(*request, body), deadline);
  stream.close();
}

Task<void> ControlServer::drain(Deadline deadline) {
  listeners_.clear();
  if (!nursery_) co_return;
  nursery_->cancel();
  metrics_nursery_->cancel();
  co_await nursery_->join_until(deadline);
  co_await metrics_nursery_->join_until(deadline);
}

void ControlServer::stop() {
  listeners_.clear();
  nursery_.reset();
  metrics_nursery_.reset();
}

}  // namespace postern
