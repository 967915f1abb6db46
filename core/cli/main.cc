// `postern`: one program for everything an administrator does.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "core/cli/command.h"
#include "core/cli/usage.h"
#include "core/control/json_text.h"

using namespace postern;

namespace {

int usage_error(const CLI::App& app, const CLI::ParseError& error, bool json) {
  const UsageFault wrong = explain_usage(app, error);
  if (json)
    std::fprintf(stderr, "%s\n",
                 json_text(nlohmann::ordered_json{
                               {"error", wrong.message}, {"code", "usage"}, {"word", wrong.word}, {"hint", wrong.hint}})
                     .c_str());
  else
    std::fprintf(stderr, "postern: %s\n  %s\n", wrong.message.c_str(), wrong.hint.c_str());
  return kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  CommandContext context;
  // A call that cannot be parsed may have said --json all the same.
  const bool json = std::any_of(argv, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
  try {
    const auto app = make_app(context);
    try {
      app->parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app->exit(error);  // --help and --version
      return usage_error(*app, error, json);
    }
  } catch (const std::exception& error) {
    context.json = json;
    context.fail({"failed", error.what()});
  }
  return context.exit_code;
}
