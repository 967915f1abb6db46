// `postern show`: what is in force, and the references that are generated from the declarations.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

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
  auto* show = app.add_subcommand(
      "show", "Show the configuration in force, or a generated reference.\n\nExample:\n  postern show config --origin");
  show->require_subcommand(1);
  auto* config = show->add_subcommand("config", "Every setting as it is in force, secrets hidden");
  auto* origin = config->add_flag("--origin");
  origin->description("Say where each was set");
  config->callback([&context, origin] { show_config(context, origin->count() > 0); });
  show->add_subcommand("sample", "An annotated postern.toml with every setting at its default")->callback([&context] {
    show_generated(context, &ConfigSchemas::render_sample);
  });
  show->add_subcommand("settings", "The settings reference, as Markdown")->callback([&context] {
    show_generated(context, &ConfigSchemas::render_manual);
  });
  show->add_subcommand("schema", "A JSON schema of postern.toml, for editors")->callback([&context] {
    show_generated(context, &ConfigSchemas::render_json_schema);
  });
}

}  // namespace postern
