// `postern run` and `postern check`.
#include <fmt/format.h>

#include <cstdio>

#include "core/cli/command.h"
#include "core/cli/diagnostics_json.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"

namespace postern {

namespace {

/// The checked server, or nothing. What is wrong, and what is doubtful, is in `diagnostics`; a fault was printed.
std::unique_ptr<Server> checked_server(CommandContext& context, bool check_only, Diagnostics& diagnostics) {
  auto assembly = context.assemble();
  if (!assembly || !assembly->read(context.config, diagnostics)) return nullptr;
  auto server = Server::make(std::move(assembly), context.config, check_only);
  if (!server) {
    context.fail(server.error());
    return nullptr;
  }
  if (!(*server)->check(diagnostics)) server->reset();
  return std::move(*server);
}

void run(CommandContext& context) {
  Diagnostics diagnostics;
  auto server = checked_server(context, false, diagnostics);
  context.report(diagnostics);
  if (!server) return;
  auto ended = server->run([&] {
    fmt::print(stderr, "postern: ready\n");
    std::fflush(stderr);
  });
  if (!ended) context.fail(ended.error());
}

/// With --json the answer is one object on standard output, good or not.
void print_json(CommandContext& context, bool good, const Diagnostics& diagnostics) {
  if (diagnostics.has_errors()) context.exit_code = kExitFound;
  if (!good && !diagnostics.has_errors()) return;  // a fault, which was printed
  fmt::print("{}\n", json_text(nlohmann::ordered_json{
                         {"ok", good},
                         {"config", context.config.string()},
                         {"errors", diagnostics_json(diagnostics, Diagnostic::Severity::kError)},
                         {"warnings", diagnostics_json(diagnostics, Diagnostic::Severity::kWarning)}}));
}

void check(CommandContext& context) {
  Diagnostics diagnostics;
  auto server = checked_server(context, true, diagnostics);
  if (context.json) return print_json(context, server != nullptr, diagnostics);
  context.report(diagnostics);
  if (server)
    fmt::print("{}\n{}{} is good.{}\n", server->gate_report().render(), green(), context.config.string(), plain());
}

}  // namespace

void add_run(CLI::App& app, CommandContext& context) {
  add_command(app, "run", "Run the server until it is told to stop (SIGTERM); SIGHUP reloads",
              "postern run --config /etc/postern/postern.toml")
      ->callback([&] { run(context); });
}

void add_check(CLI::App& app, CommandContext& context) {
  add_command(app, "check", "Check configuration, scripts and the relay gate; change nothing",
              "postern check --config /etc/postern/postern.toml")
      ->callback([&] { check(context); });
  add_command(app, "relaycheck", "Prove who may relay, and print the cells of the gate",
              "postern relaycheck --config /etc/postern/postern.toml")
      ->callback([&] { check(context); });
}

}  // namespace postern
