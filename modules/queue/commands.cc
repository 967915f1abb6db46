#include "commands.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace postern::queue {

std::string text(const Json& row) {
  return row.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string time_text(WallTime when) {
  if (when == WallTime{}) return "";
  if (when == WallTime::max()) return "never";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", std::chrono::floor<std::chrono::seconds>(when));
}

void add_commands(Control& control, QueueService& queue) {
  const auto add = [&](std::string name, std::string purpose, Command command) {
    control.add("queue." + name, std::move(purpose), [&queue, command](ControlRequest request, ControlRows& rows) {
      return command(queue, std::move(request), rows);
    });
  };
  add("list", "Messages that wait or are held, oldest first (limit; sender, recipient, destination, query).",
      &list_command);
  add("show", "One message (id): where each recipient stands.", &show_command);
  add("top", "Destinations with the most messages (limit).", &top_command);
  add("retry", "Try one message (id), a selection, or all, now.", &retry_command);
  add("hold", "Set messages (id or selection) aside until they are released (reason).", &hold_command);
  add("release", "Let held messages (id or selection) go on; from quarantine to where their addresses lead.",
      &release_command);
  add("reroute", "Send what messages (id or selection) have for other servers by a gateway (to); \"\" as before.",
      &reroute_command);
  add("expire", "Give messages (id or selection) up now; their senders are told.", &expire_command);
  add("recall", "Take messages (id or selection) back: they go to nobody who has not got them yet.", &recall_command);
}

}  // namespace postern::queue
