// The commands of `postern` put together, and how one is declared.
#include "core/cli/command.h"

namespace postern {

CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& purpose,
                      const std::string& example) {
  CLI::App* command = parent.add_subcommand(name, purpose);
  command->footer("Example:\n  " + example);
  return command;
}

std::unique_ptr<CLI::App> make_app(CommandContext& context) {
  auto app = std::make_unique<CLI::App>("Postern, a mail server.", "postern");
  app->footer("Example:\n  postern check --config postern.toml && postern run --config postern.toml");
  app->require_subcommand(1);
  app->set_version_flag("--version", "postern " POSTERN_VERSION);
  app->set_help_all_flag("--help-all", "Help for all commands");
  app->add_option("-c,--config", context.config, "The configuration file")
      ->envname("POSTERN_CONFIG")
      ->capture_default_str();
  app->add_option("--modules", context.module_folders, "A further folder of modules and plugins; may be given again");
  app->add_option("--socket", context.socket, "The control socket, instead of the configuration's");
  app->add_flag("--json", context.json, "One JSON object per line instead of text");
  app->fallthrough();
  add_run(*app, context);
  add_check(*app, context);
  add_show(*app, context);
  add_list(*app, context);
  add_server_commands(*app, context);
  add_queue(*app, context);
  add_suppress(*app, context);
  add_spool(*app, context);
  add_user(*app, context);
  add_certificate(*app, context);
  add_why(*app, context);
  add_trail(*app, context);
  add_test(*app, context);
  add_replay(*app, context);
  add_explain(*app, context);
  add_lua(*app, context);
  return app;
}

}  // namespace postern
