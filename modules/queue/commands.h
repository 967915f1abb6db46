// What `postern queue ...` asks of the running server.
//
//   queue.list, queue.show, queue.top                          commands_look.cc
//   queue.retry, hold, release, reroute, expire, recall        commands_change.cc
//
// A change of one message by its id is made at once; of a selection only when it is confirmed (confirm=yes), else the
// answer is how many it would be: {"matches": 12}. Long work sends {"progress": messages so far} now and then.
//
// Thread: worker 0, as all control commands.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "postern/control.h"
#include "queue.h"

namespace postern::queue {

/// Registers queue.*; `queue` outlives the control socket.
void add_commands(Control& control, QueueService& queue);

using Json = nlohmann::ordered_json;
using Command = Task<Result<void>> (*)(QueueService&, ControlRequest, ControlRows&);

inline constexpr std::size_t kProgressEvery = 1000;  ///< messages

std::string text(const Json& row);
std::string time_text(WallTime when);  ///< RFC 3339; "" for none, "never" for the end of time

Task<Result<void>> list_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> show_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> top_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> retry_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> hold_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> release_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> reroute_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> expire_command(QueueService& queue, ControlRequest request, ControlRows& rows);
Task<Result<void>> recall_command(QueueService& queue, ControlRequest request, ControlRows& rows);

}  // namespace postern::queue
