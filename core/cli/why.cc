// `postern why`: the story of a message, a session or an address, from the trails.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/control/json_text.h"
#include "core/loader/assembly.h"
#include "core/pipeline/trail_reader.h"

namespace postern {

using nlohmann::json;

namespace {

struct WhyOptions {
  TrailQuery query;
  std::string folder;
};

void print_json(const TrailRecord& record) {
  json steps = json::array();
  if (auto entries = Trail::decode(record.trail))
    for (const TrailEntry& e : *entries)
      steps.push_back({{"stage", to_string(e.stage)},
                       {"name", e.name},
                       {"place", e.place},
                       {"question", e.question},
                       {"answer", e.answer},
                       {"micros", e.micros}});
  const json row{{"message", record.message},   {"session", record.session},
                 {"client", record.client},     {"sender", record.sender},
                 {"accepted", record.accepted}, {"recipients", record.recipients},
                 {"outcome", record.outcome},   {"steps", steps}};
  fmt::print("{}\n", json_text(row));
}

void why(CommandContext& context, const WhyOptions& options) {
  std::string folder = options.folder;
  if (folder.empty()) {
    auto assembly = context.assemble_and_read();
    if (!assembly) return;
    folder = assembly->config->get<ServerSettings>().state / "trail";
  }
  PosixEnv env;
  const TrailFindings found = find_trails(env, folder, options.query);
  for (const TrailRecord& record : found.records) {
    if (context.json)
      print_json(record);
    else
      fmt::print("{}\n", render_story(record));
  }
  for (const std::string& file : found.damaged)
    fmt::print(stderr, "postern: {} is damaged; what follows the damage is not shown\n", file);
  if (found.records.empty())
    context.fail({"why.nothing", fmt::format("no trail speaks of \"{}\"", options.query.text)});
}

}  // namespace

void add_why(CLI::App& app, CommandContext& context) {
  auto* command =
      add_command(app, "why", "Tell what happened to a message, accepted or refused, and which rule decided",
                  "postern why bob@example.org --refused");
  auto options = std::make_shared<WhyOptions>();
  command->add_option("what", options->query.text, "A message id, a session id, an address or the client's IP address")
      ->required();
  command->add_option("--limit", options->query.limit, "At most this many, newest first")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command->add_flag("--refused", options->query.refused_only, "Only mail that was refused");
  command->add_option("--trail", options->folder, "The folder of trails, instead of the configuration's");
  command->callback([&context, options] { why(context, *options); });
}

}  // namespace postern
