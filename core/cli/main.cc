// `postern`: one program for everything an administrator does.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "core/cli/command.h"

using namespace postern;

int main(int argc, char** argv) {
  CLI::App app(
      "Postern, a mail server.\n\n"
      "Example:\n  postern check --config postern.toml && postern run --config postern.toml\n",
      "postern");
  app.require_subcommand(1);
  app.set_version_flag("--version", "postern " POSTERN_VERSION);
  app.set_help_all_flag("--help-all", "Help for all commands");
  CommandContext context;
  app.add_option("-c,--config", context.config, "The configuration file")
      ->envname("POSTERN_CONFIG")
      ->capture_default_str();
  app.add_option("--modules", context.module_folders, "A further folder of modules and plugins; may be given again");
  app.add_option("--socket", context.socket, "The control socket, instead of the configuration's");
  app.add_flag("--json", context.json, "One JSON object per line instead of text");
  app.fallthrough();
  add_run(app, context);
  add_check(app, context);
  add_show(app, context);
  add_list(app, context);
  add_server_commands(app, context);
  add_spool(app, context);
  add_user(app, context);
  add_certificate(app, context);
  add_why(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kExitOk : kExitUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "postern: %s\n", error.what());
    return kExitFound;
  }
  return context.exit_code;
}
