// `postern test`: runs the specs beside scripts.
#include <fmt/format.h>

#include <chrono>

#include "core/cli/command.h"
#include "core/cli/diagnostics_json.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/offline/specs.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

struct TestOptions {
  std::vector<std::filesystem::path> paths;
  std::string filter;
};

/// The configuration, or an empty one where there is none and the specs say themselves which scripts they are about.
std::unique_ptr<Assembly> assemble_for(CommandContext& context, const TestOptions& options) {
  std::error_code ignored;
  if (options.paths.empty() || std::filesystem::exists(context.config, ignored)) return context.assemble_and_read();
  auto assembly = context.assemble();
  if (!assembly) return nullptr;
  Diagnostics diagnostics;
  assembly->config = Config::parse(assembly->schemas, "no configuration", "", diagnostics);
  context.report(diagnostics);
  return assembly->config ? std::move(assembly) : nullptr;
}

void print_case(const CommandContext& context, const SpecReport::Case& one) {
  if (context.json) {
    fmt::print("{}\n", json_text(ordered_json{{"file", one.file},
                                              {"name", one.name},
                                              {"passed", one.passed},
                                              {"failure", one.failure},
                                              {"micros", one.micros}}));
    return;
  }
  const std::string_view colour = one.passed ? green() : red();
  fmt::print("{}{}{}  {}: {} {}({:.1f} ms){}\n", colour, one.passed ? "ok  " : "FAIL", plain(), one.file, one.name,
             dim(), static_cast<double>(one.micros) / 1000.0, plain());
  std::string_view rest = one.failure;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    fmt::print("      {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void print_total(CommandContext& context, const SpecReport& report, const Diagnostics& diagnostics, bool ran,
                 std::uint64_t micros) {
  const std::size_t failed = report.failed();
  if (context.json) {
    fmt::print("{}\n", json_text(ordered_json{{"cases", report.cases.size()},
                                              {"failed", failed},
                                              {"ok", ran && failed == 0},
                                              {"errors", diagnostics_json(diagnostics, Diagnostic::Severity::kError)},
                                              {"micros", micros}}));
    return;
  }
  const bool good = ran && failed == 0;
  fmt::print("{}{} {}, {} failed{}{} in {:.1f} ms\n", good ? green() : red(), report.cases.size(),
             report.cases.size() == 1 ? "case" : "cases", failed, ran ? "" : ", not all could be run", plain(),
             static_cast<double>(micros) / 1000.0);
}

void test(CommandContext& context, const TestOptions& options) {
  auto assembly = assemble_for(context, options);
  if (!assembly) return;
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  const Config& config = (*server)->config();
  auto files = options.paths.empty()
                   ? Result<std::vector<std::filesystem::path>>(specs_beside(config.get<PipelineSettings>()))
                   : specs_at(options.paths);
  if (!files) return context.fail(files.error(), kExitUsage);
  if (files->empty())
    return context.fail({"test.nothing", "there is no *_spec.lua here; name a file or a folder"}, kExitUsage);
  SpecReport report;
  report.only = options.filter;
  report.on_case = [&](const SpecReport::Case& one) { print_case(context, one); };
  Diagnostics diagnostics;
  const auto before = std::chrono::steady_clock::now();
  const bool ran =
      run_specs(*files, config, (*server)->rules(), (*server)->services().find<ScriptEngine>(), report, diagnostics);
  const auto took = std::chrono::steady_clock::now() - before;
  if (!context.json) context.report(diagnostics);
  print_total(context, report, diagnostics, ran,
              static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  if (!ran || report.failed() != 0) context.exit_code = kExitFound;
  if (ran && report.cases.empty())
    context.fail({"test.nothing", "no case has \"" + options.filter + "\" in its name"}, kExitUsage);
}

}  // namespace

void add_test(CLI::App& app, CommandContext& context) {
  auto* command = add_command(app, "test", "Run the specs of scripts (*_spec.lua), each case in a world of its own",
                              "postern test scripts/ --filter \"listed client\"");
  auto options = std::make_shared<TestOptions>();
  command->add_option("paths", options->paths,
                      "Specs, or folders of them; without any those beside the scripts of the configuration");
  command->add_option("--filter", options->filter, "Only cases whose name has this in it");
  command->callback([&context, options] { test(context, *options); });
}

}  // namespace postern
