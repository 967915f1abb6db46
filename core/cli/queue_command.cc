// `postern queue ...`: what waits, why, and what an administrator does about it, asked of the running server.
//
// A change of one message by its id is made at once. One of a selection (--sender, --recipient, --destination, --query,
// --all) is counted first, and made after a yes: typed, or --yes. Lists are printed as they come, so that a million
// messages need no memory here; long work shows how far it is on standard error when that is a terminal.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "core/cli/command.h"
#include "core/cli/row_table.h"

namespace postern {

using nlohmann::ordered_json;
using Arguments = std::map<std::string, std::string>;

namespace {

/// Asks for a change and prints its last row; progress on the way.
std::optional<ordered_json> ask_for_change(CommandContext& context, const std::string& command, const Arguments& args) {
  ordered_json last = ordered_json::object();
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  bool shown = false;
  const bool good = context.ask(command, args, [&](const std::string& text) {
    auto row = ordered_json::parse(text, nullptr, false);
    if (!row.is_object() || !row.contains("progress")) {
      last = std::move(row);
    } else if (terminal) {
      fmt::print(stderr, "\r{} done", row["progress"].get<std::uint64_t>());
      shown = true;
    }
  });
  if (shown) fmt::print(stderr, "\r\n");
  if (!good) return std::nullopt;
  return last;
}

void print_row(const CommandContext& context, const ordered_json& row) {
  if (context.json) return fmt::print("{}\n", row.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  for (const auto& [key, value] : row.items())
    if (!value.is_string() || !value.get<std::string>().empty()) fmt::print("{:<18} {}\n", key, cell_text(key, value));
}

/// How a command is told which messages it is about.
struct Which {
  std::string id, sender, recipient, destination, query;
  bool all = false;
  bool yes = false;

  void declare(CLI::App& command, bool with_id) {
    if (with_id) command.add_option("id", id, "Of one message, as 250 gave it");
    command.add_option("--sender", sender, "Messages from this address; * stands for anything, <> for reports");
    command.add_option("--recipient", recipient, "Messages to this address; * stands for anything");
    command.add_option("--destination", destination, "Messages to this domain; * stands for anything");
    command.add_option("--query", query,
                       "Messages for which all of this holds: held, waiting, sender:, recipient:, destination:, why:, "
                       "older:2h, attempts:3");
  }
  void declare_change(CLI::App& command) {
    declare(command, true);
    command.add_flag("--all", all, "Every message");
    command.add_flag("--yes", yes, "Do it without asking");
  }
  Arguments arguments() const {
    Arguments out;
    for (const auto& [name, value] : {std::pair<const char*, const std::string&>{"id", id},
                                      {"sender", sender},
                                      {"recipient", recipient},
                                      {"destination", destination},
                                      {"query", query}})
      if (!value.empty()) out.emplace(name, value);
    if (all) out.emplace("all", "yes");
    return out;
  }
};

/// A yes from the terminal.
bool agreed(const std::string& verb, std::uint64_t count) {
  fmt::print(stderr, "{} {} message{}? [y/N] ", verb, count, count == 1 ? "" : "s");
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes" || answer == "Y";
}

void change(CommandContext& context, const std::string& name, Which which, Arguments more) {
  Arguments args = which.arguments();
  args.merge(more);
  const std::string command = "queue." + name;
  if (which.id.empty() && !which.yes) {
    const auto counted = ask_for_change(context, command, args);
    if (!counted) return;
    const auto matches = counted->value("matches", std::uint64_t{0});
    if (matches == 0 || context.json) return print_row(context, *counted);
    if (::isatty(STDIN_FILENO) != 1)
      return context.fail({"queue.unconfirmed", fmt::format("{} messages match; say --yes to {} them", matches, name)});
    if (!agreed(name, matches)) return;
  }
  if (which.id.empty()) args.emplace("confirm", "yes");
  if (const auto row = ask_for_change(context, command, args)) print_row(context, *row);
}

/// hold, release, expire, recall, and with one more option reroute.
CLI::App* add_change(CLI::App& queue, CommandContext& context, const std::string& name, const std::string& purpose,
                     const std::string& example, const std::string& option = {}, const std::string& about = {}) {
  auto* command = add_command(queue, name, purpose, example);
  auto which = std::make_shared<Which>();
  auto value = std::make_shared<std::string>();
  which->declare_change(*command);
  if (!option.empty()) command->add_option("--" + option, *value, about);
  command->callback([&context, name, which, value, option] {
    Arguments more;
    if (!value->empty()) more.emplace(option, *value);
    change(context, name, *which, std::move(more));
  });
  return command;
}

void add_looks(CLI::App& queue, CommandContext& context) {
  auto* list = add_command(queue, "list", "Messages that wait, oldest first",
                           "postern queue list --query \"older:1d destination:example.org\"");
  auto which = std::make_shared<Which>();
  which->declare(*list, false);
  auto* limit = list->add_option("--limit", "At most this many")->default_val("100")->check(CLI::Range(1, 10'000'000));
  list->callback([&context, limit, which] {
    Arguments args = which->arguments();
    args.emplace("limit", limit->as<std::string>());
    ask_for_table(context, "queue.list", args, {}, "The queue is empty, or nothing in it is like that.");
  });
  auto* show =
      add_command(queue, "show", "One message: where each recipient stands", "postern queue show 0dw5zgspg2000");
  auto* id = show->add_option("id", "Its id, as 250 gave it")->required();
  show->callback([&context, id] {
    ask_for_table(context, "queue.show", {{"id", id->as<std::string>()}}, {}, "No recipient waits.");
  });
  auto* top = add_command(queue, "top", "Destinations with the most messages, and their last replies",
                          "postern queue top --limit 10");
  auto* most = top->add_option("--limit", "At most this many")->default_val("20")->check(CLI::Range(1, 1'000'000));
  top->callback([&context, most] {
    ask_for_table(context, "queue.top", {{"limit", most->as<std::string>()}}, {}, "The queue is empty.");
  });
}

}  // namespace

void add_queue(CLI::App& app, CommandContext& context) {
  auto* queue = add_command(app, "queue", "Look at what waits for delivery, and change it", "postern queue top");
  queue->require_subcommand(1);
  add_looks(*queue, context);
  auto* retry = add_command(*queue, "retry", "Try one message, a selection, or all, now",
                            "postern queue retry --destination example.org");
  auto which = std::make_shared<Which>();
  which->declare(*retry, true);
  retry->callback([&context, which] {
    if (const auto row = ask_for_change(context, "queue.retry", which->arguments())) print_row(context, *row);
  });
  add_change(*queue, context, "hold", "Keep messages from being delivered until they are released",
             "postern queue hold --sender \"*@bulk.example\" --yes", "reason", "Why; list and show tell it");
  add_change(*queue, context, "release", "Let held messages go on", "postern queue release 0dw5zgspg2000");
  add_change(*queue, context, "reroute", "Send messages for other servers by another gateway, or as before",
             "postern queue reroute --destination example.org --to backup.example.net:25 --yes", "to",
             "The gateway, as a route has it; without it, as their route says");
  add_change(*queue, context, "expire", "Give messages up now; their senders are told",
             "postern queue expire --query \"held older:5d\" --yes");
  add_change(*queue, context, "recall", "Take messages back: they go to nobody who has not got them yet",
             "postern queue recall 0dw5zgspg2000");
}

}  // namespace postern
