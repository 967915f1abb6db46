// `postern replay`: recorded transactions through changed scripts, and what would be decided otherwise.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/cli/command.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/offline/replay.h"
#include "core/pipeline/trail_reader.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

struct ReplayOptions {
  std::string since = "1d", until, trails, archive;
  std::vector<std::filesystem::path> scripts;
  std::uint64_t limit = 0;
  std::optional<std::uint64_t> fail_over;
  unsigned jobs = 0;
};

/// Scripts as files, or a folder in which those of the configuration lie under the same names.
Result<std::vector<std::filesystem::path>> scripts_of(const ReplayOptions& options, const PipelineSettings& settings) {
  std::vector<std::filesystem::path> out;
  for (const auto& path : options.scripts) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      if (!std::filesystem::exists(path, error)) return fault("replay.scripts", "there is no " + path.string());
      out.push_back(path);
      continue;
    }
    for (const auto& configured : settings.scripts) {
      out.push_back(path / configured.filename());
      if (!std::filesystem::exists(out.back(), error))
        return fault("replay.scripts", fmt::format("{} has no {}, which the configuration names", path.string(),
                                                   configured.filename().string()));
    }
  }
  return options.scripts.empty() ? settings.scripts : out;
}

/// Texts of peers go to a terminal: no control characters.
std::string clean(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

std::string when_text(WallTime when) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(
                         std::chrono::time_point_cast<std::chrono::system_clock::duration>(when))));
}

void print_finding(const ReplayFinding& finding) {
  std::string to;
  for (const std::string& one : finding.recipients) to += fmt::format(" <{}>", one);
  fmt::print("{}{}{} {} from {} <{}>{}\n", bold(), finding.id, plain(), when_text(finding.when), finding.client,
             clean(finding.sender), clean(to));
  for (const DecisionChange& change : finding.changes)
    fmt::print("  {}{} {:<8} {:<7} {}{}\n", change.added ? green() : red(), change.added ? '+' : '-',
               to_string(change.line.stage), to_string(change.line.what), clean(change.line.text), plain());
  for (const auto& one : finding.unanswered)
    fmt::print("  ? {:<8} {} {}: {}\n", to_string(one.stage), one.effect, clean(one.question), one.why);
}

void print_finding_json(const ReplayFinding& finding) {
  ordered_json changes = ordered_json::array(), unanswered = ordered_json::array();
  for (const DecisionChange& change : finding.changes)
    changes.push_back({{"change", change.added ? "added" : "removed"},
                       {"stage", to_string(change.line.stage)},
                       {"kind", to_string(change.line.what)},
                       {"text", change.line.text}});
  for (const auto& one : finding.unanswered)
    unanswered.push_back(
        {{"stage", to_string(one.stage)}, {"effect", one.effect}, {"question", one.question}, {"why", one.why}});
  fmt::print("{}\n", json_text(ordered_json{{"id", finding.id},
                                            {"when", when_text(finding.when)},
                                            {"client", finding.client},
                                            {"sender", finding.sender},
                                            {"recipients", finding.recipients},
                                            {"changes", changes},
                                            {"unanswered", unanswered}}));
}

ordered_json totals_json(const ReplayTotals& totals, double seconds) {
  return {{"replayed", totals.replayed},
          {"differ", totals.differ},
          {"unanswered", totals.unanswered},
          {"verdicts", totals.verdicts},
          {"routes", totals.routes},
          {"edits", totals.edits},
          {"without_body", totals.bodyless},
          {"cut", totals.cut},
          {"damaged", totals.damaged},
          {"brought_in", totals.brought},
          {"other", totals.other},
          {"damaged_files", totals.damaged_files},
          {"seconds", seconds}};
}

void print_totals(const ReplayTotals& totals, double seconds) {
  fmt::print("{}{} transactions replayed{} in {:.1f} s ({:.0f}/s), {} differ: {} verdicts, {} routes, {} edits\n",
             bold(), totals.replayed, plain(), seconds, static_cast<double>(totals.replayed) / std::max(seconds, 1e-9),
             totals.differ, totals.verdicts, totals.routes, totals.edits);
  const auto say = [](std::uint64_t count, std::string_view what) {
    if (count) fmt::print("  {} {}\n", count, what);
  };
  say(totals.unanswered, "asked what has no recorded answer; nothing was guessed");
  say(totals.bodyless, "only up to RCPT: [archive] had not kept their text");
  say(totals.brought, "not by themselves: rules had brought them in with another mail");
  say(totals.cut, "not replayable: their trails were full");
  say(totals.damaged, "not replayable: their trails cannot be read");
  for (const std::string& file : totals.damaged_files)
    fmt::print(stderr, "postern: {} is damaged; what follows the damage was not replayed\n", file);
}

class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : wanted_(wanted && ::isatty(STDERR_FILENO)) {}
  void show(const ReplayTotals& totals) {
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    shown_ = true;
    fmt::print(stderr, "\r{} replayed, {} differ \x1b[K", totals.replayed, totals.differ);
  }
  void clear() {
    if (std::exchange(shown_, false)) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  bool wanted_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_{};
};

bool read_times(CommandContext& context, const ReplayOptions& options, Replay::Options& out) {
  const WallTime now = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  for (const auto& [text, to] : {std::pair(&options.since, &out.since), std::pair(&options.until, &out.until)}) {
    if (text->empty()) continue;
    *to = parse_when(*text, now);
    if (*to) continue;
    context.fail({"replay.time", fmt::format("\"{}\" is no time; write 1d, 2h or 2026-01-02T03:04:05Z", *text)},
                 kExitUsage);
    return false;
  }
  out.limit = options.limit ? options.limit : out.limit;
  return true;
}

/// Runs it all; nothing when the scripts cannot be had.
std::optional<ReplayTotals> run_replay(CommandContext& context, const ReplayOptions& options, Server& server) {
  Replay::Options what;
  if (!read_times(context, options, what)) return std::nullopt;
  const Config& config = server.config();
  const std::filesystem::path state = config.get<ServerSettings>().state;
  what.trails = options.trails.empty() ? (state / "trail").string() : options.trails;
  what.archive = options.archive.empty() ? (state / "archive").string() : options.archive;
  PipelineSettings settings = config.get<PipelineSettings>();
  auto scripts = scripts_of(options, settings);
  if (!scripts) return context.fail(scripts.error(), kExitUsage), std::nullopt;
  settings.scripts = std::move(*scripts);
  const Services& services = server.services();
  auto* directory = services.find<Directory>();
  const auto* return_paths = services.find<ReturnPaths>();
  if (!directory) return context.fail({"replay.directory", "no module provides the directory"}), std::nullopt;
  Metrics metrics(1);
  Diagnostics diagnostics;
  const unsigned jobs = options.jobs ? options.jobs : std::max(1U, std::thread::hardware_concurrency());
  const auto rules = prepare_rules(settings, make_gate(config.get<RelaySettings>(), return_paths), server.rules(),
                                   services.find<ScriptEngine>(), metrics, jobs, diagnostics);
  context.report(diagnostics);
  if (!rules) return std::nullopt;
  Replay replay(*rules, *directory, return_paths, host_name(config.get<ServerSettings>()));
  ProgressLine progress(!context.json);
  PosixEnv env;
  const ReplayTotals totals = replay.run(env, what,
                                         {.finding =
                                              [&](const ReplayFinding& finding) {
                                                progress.clear();
                                                context.json ? print_finding_json(finding) : print_finding(finding);
                                              },
                                          .progress = [&](const ReplayTotals& now) { progress.show(now); }});
  progress.clear();
  return totals;
}

void replay(CommandContext& context, const ReplayOptions& options) {
  auto assembly = context.assemble_and_read();
  if (!assembly) return;
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  const auto before = std::chrono::steady_clock::now();
  const auto totals = run_replay(context, options, **server);
  if (!totals) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  if (context.json)
    fmt::print("{}\n", json_text(totals_json(*totals, seconds)));
  else
    print_totals(*totals, seconds);
  if (options.fail_over && totals->findings > *options.fail_over) context.exit_code = kExitFound;
}

}  // namespace

void add_replay(CLI::App& app, CommandContext& context) {
  auto* command =
      add_command(app, "replay", "Lead recorded mail through the scripts, or changed ones, and tell what would differ",
                  "postern replay --since 1d --scripts new/ --fail-over 0");
  auto options = std::make_shared<ReplayOptions>();
  command->add_option("--since", options->since, "From when on: a time, or how long ago")->capture_default_str();
  command->add_option("--until", options->until, "Up to when");
  command->add_option("--scripts", options->scripts,
                      "Script files, or a folder with files of the configured names, in place of the configured ones");
  command->add_option("--limit", options->limit, "At most this many transactions; 0 for all")->capture_default_str();
  command->add_option("--fail-over", options->fail_over,
                      "Exit with 1 when more than this many differ or ask what was never answered");
  command->add_option("--jobs", options->jobs, "Threads; 0 for one per core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command->add_option("--trail", options->trails, "The folder of trails, instead of the configuration's");
  command->add_option("--archive", options->archive, "The folder of archived messages, instead of the configuration's");
  command->callback([&context, options] { replay(context, *options); });
}

}  // namespace postern
