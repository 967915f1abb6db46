// A control socket that nobody listens at: it keeps the commands that it is given, and the rows that they answer with.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "postern/control.h"

namespace postern::queue {

class FakeControl final : public Control {
 public:
  void add(std::string command, std::string, Handler handler) override {
    handlers.emplace(command, std::move(handler));
  }
  std::vector<CommandInfo> commands() const override { return {}; }
  std::map<std::string, Handler> handlers;
};

class Rows final : public ControlRows {
 public:
  Task<void> row(std::string json) override {
    all.push_back(std::move(json));
    return Task<void>::ready();
  }
  std::vector<std::string> all;
};

}  // namespace postern::queue
