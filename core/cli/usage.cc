#include "core/cli/usage.h"

#include <fmt/format.h>

#include <vector>

#include "postern/diagnostics.h"

namespace postern {
namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(one->get_name());
  return names;
}

/// Options of a command and of those above it, for these may stand anywhere.
std::vector<std::string> options_of(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent())
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string meant(const std::string& word, const std::vector<std::string>& known) {
  return did_you_mean(word, std::vector<std::string_view>(known.begin(), known.end()));
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

}  // namespace

UsageFault explain_usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* deepest = &app;
  std::string path = app.get_name();
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands().front();
    path += " " + deepest->get_name();
  }
  const std::string read_on = fmt::format("run {} --help", path);
  const std::vector<std::string> commands = commands_of(*deepest);
  UsageFault fault;
  if (const auto extras = app.remaining(true); !extras.empty()) {
    fault.word = extras.front();
    const bool option = fault.word.size() > 1 && fault.word.starts_with('-');
    const std::string name = fault.word.substr(0, option ? fault.word.find('=') : std::string::npos);
    if (option)
      fault.message = fmt::format("unknown option \"{}\" of \"{}\"", name, path);
    else if (!commands.empty())
      fault.message = fmt::format("unknown command \"{}\"{}", name, deepest == &app ? "" : " of \"" + path + "\"");
    else
      fault.message = fmt::format("\"{}\" is one word too many for \"{}\"", name, path);
    fault.hint = meant(name, option ? options_of(deepest) : commands);
    if (fault.hint.empty()) fault.hint = option || commands.empty() ? read_on : "there are: " + joined(commands);
    return fault;
  }
  if (!commands.empty() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError))
    return {fmt::format("\"{}\" needs a command", path), {}, "there are: " + joined(commands)};
  return {fmt::format("{}: {}", path, error.what()), {}, read_on};
}

}  // namespace postern
