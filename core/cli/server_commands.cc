// Commands that ask the running server: status, reload, metrics.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/control/json_text.h"

namespace postern {

using nlohmann::json;

namespace {

/// A value of a row as a person reads it.
std::string cell(const std::string& key, const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_unsigned() && (key == "size" || key.ends_with("_bytes") || key == "memory"))
    return human_size(value.get<std::uint64_t>());
  if (value.is_number_unsigned() && (key == "uptime" || key == "age")) return human_time(value.get<std::uint64_t>());
  return json_text(value);
}

/// Asks and prints one row: as JSON, else as "key  value".
void ask_and_print(CommandContext& context, const std::string& command) {
  context.ask(command, {}, [&](const std::string& text) {
    if (context.json) return fmt::print("{}\n", text);
    const auto row = nlohmann::ordered_json::parse(text, nullptr, false);
    for (const auto& [key, value] : row.items()) fmt::print("{:<18} {}\n", key, cell(key, json(value)));
  });
}

}  // namespace

void add_server_commands(CLI::App& app, CommandContext& context) {
  add_command(app, "status", "How the running server does", "postern status --json")->callback([&context] {
    ask_and_print(context, "status");
  });
  add_command(app, "reload", "Read configuration, certificates, accounts and scripts again; all or nothing",
              "postern reload")
      ->callback([&context] {
        if (context.ask("reload", {},
                        [&](const std::string& row) {
                          if (context.json)
                            fmt::print("{}\n", row);
                          else
                            fmt::print("{}", json::parse(row).value("text", ""));
                        }) &&
            !context.json)
          fmt::print("Reloaded.\n");
      });
  add_command(app, "metrics", "Metrics of the running server, as Prometheus text", "postern metrics | grep accepted")
      ->callback([&context] {
        context.ask("metrics", {},
                    [&](const std::string& row) { fmt::print("{}", json::parse(row).value("text", "")); });
      });
}

}  // namespace postern
