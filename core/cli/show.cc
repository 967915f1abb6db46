// `postern show`: what is in force, and the references that are generated from the declarations.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/loader/assembly.h"

namespace postern {

namespace {

void show_config(CommandContext& context, bool origin) {
  if (auto assembly = context.assemble_and_read()) fmt::print("{}", assembly->config->render(origin));
}

void show_generated(CommandContext& context, std::string (ConfigSchemas::*render)() const) {
  if (auto assembly = context.assemble()) fmt::print("{}", (assembly->schemas.*render)());
}

}  // namespace

void add_show(CLI::App& app, CommandContext& context) {
  auto* show = add_command(app, "show", "Show the configuration in force, or a generated reference",
                           "postern show config --origin");
  show->require_subcommand(1);
  auto* config =
      add_command(*show, "config", "Every setting as it is in force, secrets hidden", "postern show config --origin");
  auto* origin = config->add_flag("--origin");
  origin->description("Say where each was set");
  config->callback([&context, origin] { show_config(context, origin->count() > 0); });
  add_command(*show, "sample", "An annotated postern.toml with every setting at its default",
              "postern show sample > postern.toml")
      ->callback([&context] { show_generated(context, &ConfigSchemas::render_sample); });
  add_command(*show, "settings", "The settings reference, as Markdown", "postern show settings > SETTINGS.md")
      ->callback([&context] { show_generated(context, &ConfigSchemas::render_manual); });
  add_command(*show, "schema", "A JSON schema of postern.toml, for editors",
              "postern show schema > postern.schema.json")
      ->callback([&context] { show_generated(context, &ConfigSchemas::render_json_schema); });
}

}  // namespace postern
