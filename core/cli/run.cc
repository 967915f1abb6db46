// `postern run` and `postern check`.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/cli/command.h"
#include "core/loader/server.h"

namespace postern {

using nlohmann::json;

namespace {

void print(const Diagnostics& diagnostics, bool as_json) {
  if (!as_json) {
    fmt::print(stderr, "{}", diagnostics.render());
    return;
  }
  for (const Diagnostic& d : diagnostics.items())
    fmt::print("{}\n", json{{"severity", d.severity == Diagnostic::Severity::kError ? "error" : "warning"},
                            {"code", d.code},
                            {"place", d.origin.to_string()},
                            {"line", d.origin.line},
                            {"column", d.origin.column},
                            {"text", d.text},
                            {"hint", d.hint}}
                           .dump());
}

/// The checked server, or nothing; what is wrong was printed.
std::unique_ptr<Server> checked_server(CommandContext& context, bool check_only) {
  auto assembly = context.assemble();
  if (!assembly) return nullptr;
  Diagnostics diagnostics;
  std::unique_ptr<Server> server;
  if (assembly->read(context.config, diagnostics)) {
    auto made = Server::make(std::move(assembly), context.config, check_only);
    if (!made) {
      context.fail(made.error());
      return nullptr;
    }
    server = std::move(*made);
    if (!server->check(diagnostics)) server.reset();
  }
  print(diagnostics, context.json);
  if (!server) {
    context.exit_code = kExitFound;
    if (!context.json)
      fmt::print(stderr, "{}: {} error{}\n", context.config.string(), diagnostics.errors(),
                 diagnostics.errors() == 1 ? "" : "s");
  }
  return server;
}

void run(CommandContext& context) {
  auto server = checked_server(context, false);
  if (!server) return;
  auto ended = server->run([&] {
    fmt::print(stderr, "postern: ready\n");
    std::fflush(stderr);
  });
  if (!ended) context.fail(ended.error());
}

void check(CommandContext& context) {
  auto server = checked_server(context, true);
  if (!server) return;
  const GateReport& gate = server->gate_report();
  if (context.json) {
    fmt::print("{}\n", json{{"ok", true}, {"config", context.config.string()}}.dump());
    return;
  }
  fmt::print("{}\n{}{} is good.{}\n", gate.render(), green(), context.config.string(), plain());
}

}  // namespace

void add_run(CLI::App& app, CommandContext& context) {
  auto* command = app.add_subcommand("run",
                                     "Run the server until it is told to stop (SIGTERM); SIGHUP reloads.\n\nExample:\n "
                                     " postern run --config /etc/postern/postern.toml");
  command->callback([&] { run(context); });
}

void add_check(CLI::App& app, CommandContext& context) {
  auto* command = app.add_subcommand("check",
                                     "Check configuration, scripts and the relay gate; change nothing.\n\nExample:\n  "
                                     "postern check --config /etc/postern/postern.toml");
  command->callback([&] { check(context); });
  auto* relay = app.add_subcommand(
      "relaycheck", "Prove who may relay, and print the cells of the gate.\n\nExample:\n  postern relaycheck");
  relay->callback([&] { check(context); });
}

}  // namespace postern
