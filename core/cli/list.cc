// `postern list`: modules, matchers, mailets, and what else this build has.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"

namespace postern {

using nlohmann::json;

namespace {

void list_modules(CommandContext& context) {
  auto assembly = context.assemble();
  if (!assembly) return;
  std::vector<std::vector<std::string>> rows;
  for (const LoadedModule& loaded : assembly->modules.all()) {
    if (context.json)
      fmt::print("{}\n",
                 json_text(json{
                     {"name", loaded.info->name}, {"purpose", loaded.info->purpose}, {"file", loaded.file.string()}}));
    rows.push_back({std::string(loaded.info->name), std::string(loaded.info->purpose)});
  }
  if (!context.json) fmt::print("{}", format_table({"module", "purpose"}, rows));
}

template <class Declaration>
void print_rule(CommandContext& context, const Declaration& rule, std::vector<std::vector<std::string>>& rows) {
  if (context.json) {
    json arguments = json::array();
    for (const ArgumentInfo& a : rule.arguments)
      arguments.push_back({{"name", a.name}, {"type", a.type}, {"purpose", a.purpose}, {"required", a.required}});
    fmt::print(
        "{}\n",
        json_text(
            json{{"name", rule.name}, {"purpose", rule.purpose}, {"example", rule.example}, {"arguments", arguments}}));
  }
  rows.push_back({std::string(rule.name), std::string(rule.example), std::string(rule.purpose)});
}

/// The registry as modules fill it; needs a configuration only in so far as modules do.
void list_rules(CommandContext& context, bool matchers) {
  auto assembly = context.assemble_and_read();
  if (!assembly) return;
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  const RuleRegistry& rules = (*server)->rules();
  std::vector<std::vector<std::string>> rows;
  if (matchers)
    for (const auto name : rules.matchers()) print_rule(context, *rules.matcher(name), rows);
  else
    for (const auto name : rules.actions()) print_rule(context, *rules.action(name), rows);
  if (!context.json) fmt::print("{}", format_table({matchers ? "matcher" : "mailet", "example", "purpose"}, rows));
}

void list_hooks(CommandContext& context) {
  for (int i = 0; i <= static_cast<int>(Stage::kFlags); ++i) {
    const std::string name(to_string(static_cast<Stage>(i)));
    if (context.json)
      fmt::print("{}\n", json_text(json{{"name", name}}));
    else
      fmt::print("{}\n", name);
  }
}

}  // namespace

void add_list(CLI::App& app, CommandContext& context) {
  auto* list = add_command(app, "list", "List modules, matchers, mailets or hooks", "postern list matchers");
  list->require_subcommand(1);
  add_command(*list, "modules", "Modules and plugins that were found", "postern list modules")->callback([&context] {
    list_modules(context);
  });
  add_command(*list, "matchers", "What `when` may use in a pipeline", "postern list matchers --json")
      ->callback([&context] { list_rules(context, true); });
  add_command(*list, "mailets", "What a rule may do in a pipeline", "postern list mailets")->callback([&context] {
    list_rules(context, false);
  });
  add_command(*list, "hooks", "The stages that a script may hook into, in order", "postern list hooks")
      ->callback([&context] { list_hooks(context); });
}

}  // namespace postern
