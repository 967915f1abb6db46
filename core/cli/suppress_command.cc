// `postern suppress ...`: to whom mail is not sent any more, asked of the running server (modules/queue/suppress.h).
//
// Entries come by themselves, from bounces and complaints, and by hand. Lists are printed as they come.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/cli/row_table.h"

namespace postern {

using nlohmann::ordered_json;
using Arguments = std::map<std::string, std::string>;

namespace {

void list_them(CommandContext& context, const Arguments& args) {
  ask_for_table(context, "suppress.list", args, {"recipient", "scope", "reason", "since", "until", "why"},
                "Nobody is suppressed, or nobody like that.");
}

/// A change: what the server says of it, as a line for people or as it is.
void change(CommandContext& context, const std::string& command, const Arguments& args,
            const std::function<std::string(const ordered_json&)>& words) {
  context.ask(command, args, [&](const std::string& row) {
    fmt::print("{}\n", context.json ? row : words(ordered_json::parse(row, nullptr, false)));
  });
}

/// "mail from @example.org", or "mail" when it is all of it.
std::string mail_of(const ordered_json& row) {
  const std::string scope = row.value("scope", "*");
  return scope == "*" ? "mail" : "mail from " + scope;
}

void put(Arguments& args, const char* name, const std::string& value) {
  if (!value.empty()) args.emplace(name, value);
}

void add_list_command(CLI::App& parent, CommandContext& context) {
  auto* list = add_command(parent, "list", "Addresses to which no mail is sent", "postern suppress list example.org");
  auto match = std::make_shared<std::string>();
  list->add_option("match", *match, "Only recipients with this text in them");
  auto* limit = list->add_option("--limit", "At most this many")->default_val("100")->check(CLI::Range(1, 10'000'000));
  list->callback([&context, match, limit] {
    Arguments args{{"limit", limit->as<std::string>()}};
    put(args, "match", *match);
    list_them(context, args);
  });
}

void add_add_command(CLI::App& parent, CommandContext& context) {
  struct Entry {
    std::string recipient, scope, reason, why;
    int days = 0;
  };
  auto* add = add_command(parent, "add", "Send nothing to an address or a domain any more",
                          "postern suppress add ann@example.org --reason unsubscribed --scope @news.example.net");
  auto entry = std::make_shared<Entry>();
  add->add_option("recipient", entry->recipient, "The address, or @domain for all of it")->required();
  add->add_option("--scope", entry->scope, "Only mail from this sender or @domain; * or nothing: all mail");
  add->add_option("--reason", entry->reason, "Why: manual unless it is said")
      ->check(CLI::IsMember({"bounced", "complained", "unsubscribed", "manual"}));
  add->add_option("--days", entry->days, "For so long; without it for ever")->check(CLI::Range(1, 36'500));
  add->add_option("--why", entry->why, "Words for whoever reads the list");
  add->callback([&context, entry] {
    Arguments args{{"recipient", entry->recipient}};
    put(args, "scope", entry->scope);
    put(args, "reason", entry->reason);
    put(args, "why", entry->why);
    if (entry->days > 0) args.emplace("days", std::to_string(entry->days));
    change(context, "suppress.add", args, [](const ordered_json& row) {
      const std::string until = row.value("until", "never");
      return fmt::format("No {} goes to {} {}.", mail_of(row), row.value("recipient", ""),
                         until == "never" ? "any more" : "until " + until);
    });
  });
}

void add_remove_command(CLI::App& parent, CommandContext& context) {
  auto* remove =
      add_command(parent, "remove", "Send to an address or a domain again", "postern suppress remove ann@example.org");
  auto recipient = std::make_shared<std::string>();
  auto scope = std::make_shared<std::string>();
  remove->add_option("recipient", *recipient, "As the list has it")->required();
  remove->add_option("--scope", *scope, "As the list has it; without it *");
  remove->callback([&context, recipient, scope] {
    Arguments args{{"recipient", *recipient}};
    put(args, "scope", *scope);
    change(context, "suppress.remove", args, [](const ordered_json& row) {
      return fmt::format("{} may have {} again.", row.value("removed", ""), mail_of(row));
    });
  });
}

}  // namespace

void add_suppress(CLI::App& app, CommandContext& context) {
  auto* suppress = add_command(app, "suppress", "To whom mail is not sent any more: bounced, complained, unsubscribed",
                               "postern suppress list");
  suppress->require_subcommand(1);
  add_list_command(*suppress, context);
  add_add_command(*suppress, context);
  add_remove_command(*suppress, context);
}

}  // namespace postern
