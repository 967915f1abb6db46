// The command line as a whole: what its help promises, and how it explains a wrong call.
#include "core/cli/usage.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/cli/command.h"

using namespace postern;

namespace {

/// What is said of a call that does not parse.
UsageFault said(std::vector<std::string> words) {
  CommandContext context;
  const auto app = make_app(context);
  std::ranges::reverse(words);  // as the parser takes them
  try {
    app->parse(words);
  } catch (const CLI::ParseError& error) {
    REQUIRE(error.get_exit_code() != 0);
    return explain_usage(*app, error);
  }
  FAIL("the call was good");
  return {};
}

void walk(CLI::App& app, const std::string& path, const std::function<void(CLI::App&, const std::string&)>& look) {
  look(app, path);
  for (CLI::App* one : app.get_subcommands([](CLI::App*) { return true; }))
    walk(*one, path + " " + one->get_name(), look);
}

}  // namespace

TEST_CASE("the help of every command ends in an example of that command") {
  CommandContext context;
  const auto app = make_app(context);
  int commands = 0;
  walk(*app, "postern", [&](CLI::App& command, const std::string& path) {
    ++commands;
    const std::string help = command.help();
    const auto at = help.rfind("Example:\n  ");
    REQUIRE_MESSAGE(at != std::string::npos, path);
    CHECK_MESSAGE(help.substr(at + 11).starts_with(path + (commands == 1 ? " " : "")), help);
    CHECK_MESSAGE(!command.get_description().empty(), path);
  });
  CHECK(commands > 25);
}

TEST_CASE("the examples are calls that parse") {
  std::vector<std::string> examples;
  {
    CommandContext context;
    const auto app = make_app(context);
    walk(*app, "postern", [&](CLI::App& command, const std::string&) {
      std::string line = command.get_footer().substr(command.get_footer().rfind("  postern ") + 10);
      examples.push_back(line.substr(0, line.find_first_of("|>&")));
    });
  }
  for (const std::string& example : examples) {
    CommandContext context;
    const auto app = make_app(context);
    app->parse_complete_callback([] { throw CLI::Success(); });  // once all is parsed, before the command runs
    CHECK_THROWS_AS_MESSAGE(app->parse(example), CLI::Success, example);
  }
}

TEST_CASE("an unknown command is named, with the one that was probably meant") {
  UsageFault fault = said({"qeue"});
  CHECK(fault.message == "unknown command \"qeue\"");
  CHECK(fault.word == "qeue");
  CHECK(fault.hint == "did you mean \"queue\"?");
  fault = said({"foo"});
  CHECK(fault.message == "unknown command \"foo\"");
  CHECK(fault.hint.starts_with("there are: run, check"));
  fault = said({"list", "matcher"});
  CHECK(fault.message == "unknown command \"matcher\" of \"postern list\"");
  CHECK(fault.hint == "did you mean \"matchers\"?");
}

TEST_CASE("an unknown option is named, wherever it stands") {
  UsageFault fault = said({"status", "--jsn"});
  CHECK(fault.message == "unknown option \"--jsn\" of \"postern status\"");
  CHECK(fault.hint == "did you mean \"--json\"?");
  fault = said({"certificate", "a.example", "--ot=x"});
  CHECK(fault.message == "unknown option \"--ot\" of \"postern certificate\"");
  CHECK(fault.hint == "did you mean \"--out\"?");
  CHECK(said({"--zzzzzz", "run"}).hint == "run postern run --help");
}

TEST_CASE("what is missing or too much is said") {
  CHECK(said({}).message == "\"postern\" needs a command");
  CHECK(said({"user"}).message == "\"postern user\" needs a command");
  CHECK(said({"user"}).hint == "there are: add, passwd, remove, list");
  CHECK(said({"run", "now"}).message == "\"now\" is one word too many for \"postern run\"");
  CHECK(said({"queue", "show"}).message.find("id") != std::string::npos);
  CHECK(said({"why", "x", "--limit", "0"}).message.find("--limit") != std::string::npos);
}
