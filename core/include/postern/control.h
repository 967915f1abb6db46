// The control socket as modules see it: commands that `postern ...` sends to the running server.
//
// A request is one line of JSON, {"command": "queue.list", "args": {"limit": "10"}}; the answer is any number of lines
// {"row": {...}} and a last one {"ok": true} or {"error": "...", "code": "..."}. Long lists stream: a row waits while
// the asker reads slowly. Administration only: the socket is 0600 and its peer's user is checked.
//
// Thread: handlers run on worker 0.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"
#include "postern/task.h"

namespace postern {

struct ControlRequest {
  std::string command;
  std::map<std::string, std::string, std::less<>> args;
  std::string arg(std::string_view name, std::string fallback = {}) const {
    auto it = args.find(name);
    return it == args.end() ? fallback : it->second;
  }
};

/// Where a handler's rows go.
class ControlRows {
 public:
  virtual ~ControlRows();
  /// One row, as a JSON object's text. Throws Closed when the asker is gone.
  virtual Task<void> row(std::string json) = 0;
};

/// Service "control".
class Control {
 public:
  static constexpr std::string_view kService = "control";
  using Handler = std::function<Task<Result<void>>(ControlRequest, ControlRows&)>;
  virtual ~Control();
  virtual void add(std::string command, std::string purpose, Handler handler) = 0;
  struct CommandInfo {
    std::string command;
    std::string purpose;
  };
  virtual std::vector<CommandInfo> commands() const = 0;
};

}  // namespace postern
