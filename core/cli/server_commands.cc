// Commands that ask the running server: status, reload, queue, metrics, control.
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

/// Asks and prints rows: as JSON lines, as a table when there are several columns of a list, else as "key  value".
void ask_and_print(CommandContext& context, const std::string& command, const std::map<std::string, std::string>& args,
                   bool as_list, std::string_view none) {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  const bool good = context.ask(command, args, [&](const std::string& text) {
    if (context.json) {
      fmt::print("{}\n", text);
      return;
    }
    const auto row = nlohmann::ordered_json::parse(text, nullptr, false);
    std::vector<std::string> cells;
    if (head.empty())
      for (const auto& [key, value] : row.items()) head.push_back(key);
    for (const auto& key : head) cells.push_back(row.contains(key) ? cell(key, json(row[key])) : "");
    rows.push_back(std::move(cells));
  });
  if (!good || context.json) return;
  if (rows.empty()) {
    fmt::print("{}\n", none);
  } else if (as_list) {
    fmt::print("{}", format_table(head, rows));
  } else {
    for (std::size_t i = 0; i < head.size(); ++i) fmt::print("{:<18} {}\n", head[i], rows[0][i]);
  }
}

void add_queue(CLI::App& app, CommandContext& context) {
  auto* queue = add_command(app, "queue", "Look at what waits for delivery", "postern queue list --limit 20");
  queue->require_subcommand(1);
  auto* list = add_command(*queue, "list", "Messages that wait, oldest first", "postern queue list --limit 20");
  auto* limit = list->add_option("--limit", "At most this many")->default_val("100")->check(CLI::Range(1, 1'000'000));
  list->callback([&context, limit] {
    ask_and_print(context, "queue.list", {{"limit", limit->as<std::string>()}}, true, "The queue is empty.");
  });
  auto* show =
      add_command(*queue, "show", "One message: where each recipient stands", "postern queue show 0dw5zgspg2000");
  auto* id = show->add_option("id", "Its id, as 250 gave it")->required();
  show->callback([&context, id] {
    ask_and_print(context, "queue.show", {{"id", id->as<std::string>()}}, true, "No recipient waits.");
  });
  auto* retry = add_command(*queue, "retry", "Try one message, or all, now", "postern queue retry");
  auto* which = retry->add_option("id", "Its id; without it, all that wait");
  retry->callback([&context, which] {
    std::map<std::string, std::string> args;
    if (which->count()) args.emplace("id", which->as<std::string>());
    ask_and_print(context, "queue.retry", args, false, "Nothing waits.");
  });
  const auto one = [&](const char* name, const char* purpose) {
    auto* command = add_command(*queue, name, purpose, fmt::format("postern queue {} 0dw5zgspg2000", name));
    auto* wanted = command->add_option("id", "Its id")->required();
    command->callback([&context, wanted, command = std::string("queue.") + name] {
      ask_and_print(context, command, {{"id", wanted->as<std::string>()}}, false, "Done.");
    });
  };
  one("hold", "Keep a message from being delivered until it is released");
  one("release", "Let a held message go on");
  one("recall", "Take a message back: nothing more of it is delivered");
}

}  // namespace

void add_server_commands(CLI::App& app, CommandContext& context) {
  add_command(app, "status", "How the running server does", "postern status --json")->callback([&context] {
    ask_and_print(context, "status", {}, false, "");
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
  add_queue(app, context);
}

}  // namespace postern
