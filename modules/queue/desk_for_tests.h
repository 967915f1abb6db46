// An administrator at the queue: asks commands of a World, and gets their rows.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "control_for_tests.h"
#include "fixture_for_tests.h"

namespace postern::queue {

struct Desk {
  explicit Desk(World& the_world) : world(the_world) { add_commands(control, *world.queue); }

  Task<void> ask_now(ControlRequest request, Rows* rows, Result<void>* answer) {
    *answer = co_await control.handlers.at(request.command)(request, *rows);
  }
  /// The rows, or the code of the fault.
  std::vector<std::string> ask(std::string command, std::map<std::string, std::string, std::less<>> args = {}) {
    Rows rows;
    Result<void> answer;
    Nursery nursery(world.sim.worker(0));
    nursery.spawn(ask_now({std::move(command), std::move(args)}, &rows, &answer));
    world.sim.run_until([&] { return nursery.size() == 0; }, 1s);
    return answer ? rows.all : std::vector<std::string>{answer.error().code};
  }
  World& world;
  FakeControl control;
};

using Answer = std::vector<std::string>;

}  // namespace postern::queue
