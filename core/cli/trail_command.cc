// `postern trail ...`: how much is known, the index made anew, and the erasure of a person.
//
// The running server does the work on the lane that writes trails. Without one the files are changed here, under the
// server's own lock, so that none starts meanwhile.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "core/cli/command.h"
#include "core/cli/story.h"
#include "core/control/client.h"
#include "core/control/json_text.h"
#include "core/loader/assembly.h"
#include "core/pipeline/archive.h"
#include "core/pipeline/trail_files.h"
#include "postern/mail_date.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

struct Where {
  std::filesystem::path state;
  std::string socket;
  TrailSettings settings;
};

std::optional<Where> where(CommandContext& context) {
  auto assembly = context.assemble_and_read();
  if (!assembly) return std::nullopt;
  const auto& server = assembly->config->get<ServerSettings>();
  Where out{server.state, context.socket, assembly->config->get<TrailSettings>()};
  if (out.socket.empty()) out.socket = control_socket(server);
  return out;
}

/// Asks the running server; its last row, or nothing with `absent` when none runs. Other faults are printed.
std::optional<ordered_json> ask(CommandContext& context, const Where& at, const std::string& command,
                                const std::map<std::string, std::string>& args, bool& absent) {
  ordered_json last = ordered_json::object();
  const auto done = ask_server(at.socket, command, args,
                               [&](const std::string& row) { last = ordered_json::parse(row, nullptr, false); });
  absent = !done && done.error().code == "control.unreachable";
  if (done) return last;
  if (!absent) context.fail(done.error());
  return std::nullopt;
}

/// The files while no server runs; `lock` keeps one from starting.
std::unique_ptr<TrailFiles> own_files(CommandContext& context, const Where& at, PosixEnv& env,
                                      std::unique_ptr<FileLock>& lock) {
  int holder = 0;
  auto taken = env.lock((at.state / "server.lock").string(), holder);
  if (!taken) {
    context.fail({"trail.locked",
                  fmt::format("{} cannot be locked: a server runs there that does not answer", at.state.string())});
    return nullptr;
  }
  lock = std::move(*taken);
  return std::make_unique<TrailFiles>(
      env, (at.state / "trail").string(),
      TrailFiles::Limits{at.settings.segment.bytes, at.settings.keep_bytes.bytes, at.settings.keep_for, true});
}

void show_stats(CommandContext& context) {
  const auto at = where(context);
  if (!at) return;
  PosixEnv env;
  const TrailTotals totals = trail_totals(env, (at->state / "trail").string());
  ordered_json row{{"files", totals.files},
                   {"octets", totals.octets},
                   {"oldest", totals.files == 0 ? "" : format_rfc3339(totals.oldest)},
                   {"indexed_files", totals.indexed_files},
                   {"indexed_records", totals.indexed_records},
                   {"index_octets", totals.index_octets}};
  bool absent = false;
  if (const auto live = ask(context, *at, "trail.stats", {}, absent)) row.update(*live);
  if (context.exit_code != kExitOk) return;
  if (context.json) return fmt::print("{}\n", json_text(row));
  fmt::print("{} in {} file{}", human_size(totals.octets), totals.files, totals.files == 1 ? "" : "s");
  if (totals.files != 0) fmt::print(", the oldest from {}", story_time(totals.oldest));
  fmt::print(".\nThe index knows {} records in {} of them and takes {}.\n", totals.indexed_records,
             totals.indexed_files, human_size(totals.index_octets));
  if (absent) return fmt::print("No server runs.\n");
  fmt::print(
      "Since its start the server has written {} records and dropped {}, {} of them because their source had "
      "had its share.\n",
      row.value("written", 0ULL), row.value("dropped", 0ULL), row.value("dropped_of_source", 0ULL));
}

void reindex(CommandContext& context) {
  const auto at = where(context);
  if (!at) return;
  bool absent = false;
  if (const auto row = ask(context, *at, "trail.reindex", {}, absent)) {
    fmt::print("{}", context.json ? json_text(*row) + "\n"
                                  : fmt::format("The server indexes {} files, one after the other.\n",
                                                row->value("files", 0ULL)));
    return;
  }
  if (!absent) return;
  PosixEnv env;
  std::unique_ptr<FileLock> lock;
  const auto files = own_files(context, *at, env, lock);
  if (!files) return;
  const std::size_t count = files->reindex();
  while (files->index_next()) {
  }
  fmt::print("{}", context.json ? json_text(ordered_json{{"files", count}}) + "\n"
                                : fmt::format("{} files are indexed.\n", count));
}

// ---- erasure

ordered_json row_of(const TrailErased& trails, const ArchiveErased& archive) {
  return {{"removed", trails.removed},       {"redacted", trails.redacted}, {"lost_octets", trails.lost},
          {"files", trails.files},           {"failed", trails.failed},     {"archived", archive.messages},
          {"archive_failed", archive.failed}};
}

/// Counts or erases, by the server or here.
std::optional<ordered_json> erase_once(CommandContext& context, const Where& at, const std::string& address,
                                       bool pretend) {
  bool absent = false;
  std::map<std::string, std::string> args{{"address", address}};
  if (!pretend) args.emplace("confirm", "yes");
  if (auto row = ask(context, at, "trail.erase", args, absent)) return row;
  if (!absent) return std::nullopt;
  PosixEnv env;
  std::unique_ptr<FileLock> lock;
  const auto files = own_files(context, at, env, lock);
  if (!files) return std::nullopt;
  const Person person(address);
  const TrailErased trails = files->erase(person, pretend);
  return row_of(trails, erase_archived(env, (at.state / "archive").string(), person, pretend));
}

/// Messages of the person that still wait in the queue, each with its own trail; nothing when nobody can say.
std::optional<std::vector<std::string>> waiting(const Where& at, const std::string& address) {
  std::vector<std::string> ids;
  for (const char* part : {"sender", "recipient"}) {
    const auto done =
        ask_server(at.socket, "queue.list", {{part, address}, {"limit", "10000"}}, [&](const std::string& row) {
          const auto one = ordered_json::parse(row, nullptr, false);
          const std::string id = one.is_object() ? one.value("id", "") : "";
          if (!id.empty() && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
        });
    if (!done) return std::nullopt;
  }
  return ids;
}

std::string remains(const std::optional<std::vector<std::string>>& ids) {
  if (!ids)
    return "Mail that still waits in the spool keeps its own trail until it is delivered; no server could be asked "
           "whether there is any.";
  if (ids->empty()) return "No mail of this address waits in the queue.";
  std::string out = fmt::format(
      "{} message{} of this address still wait{} in the queue and keep{} {} own trail until "
      "delivery:",
      ids->size(), ids->size() == 1 ? "" : "s", ids->size() == 1 ? "s" : "", ids->size() == 1 ? "s" : "",
      ids->size() == 1 ? "its" : "their");
  for (std::size_t i = 0; i < ids->size() && i < 20; ++i) out += " " + (*ids)[i];
  return out + (ids->size() > 20 ? " …" : "") + ". \"postern queue recall\" takes them back.";
}

bool agreed(CommandContext& context, const std::string& address, const ordered_json& would) {
  const auto records = would.value("removed", 0ULL) + would.value("redacted", 0ULL);
  if (::isatty(STDIN_FILENO) != 1) {
    context.fail({"trail.unconfirmed", fmt::format("{} records and {} archived messages speak of {}; say --yes to "
                                                   "erase it from them",
                                                   records, would.value("archived", 0ULL), address)});
    return false;
  }
  fmt::print(stderr, "Remove {} records, redact {}, and remove {} archived messages? [y/N] ",
             would.value("removed", 0ULL), would.value("redacted", 0ULL), would.value("archived", 0ULL));
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes" || answer == "Y";
}

struct EraseOptions {
  std::string address;
  bool yes = false, dry_run = false;
};

void print_erased(CommandContext& context, const Where& at, ordered_json row, bool pretend) {
  const auto ids = waiting(at, row["address"].get<std::string>());
  if (context.json) {
    row["dry_run"] = pretend;
    if (ids) row["waiting"] = *ids;
    return fmt::print("{}\n", json_text(row));
  }
  const auto count = [&](const char* key) { return row.value(key, 0ULL); };
  const char* were = pretend ? "would be" : "were";
  fmt::print(
      "{} records {} removed; {} {} redacted, since others have a part in them; {} archived messages {} removed.\n",
      count("removed"), were, count("redacted"), were, count("archived"), were);
  if (count("lost_octets") != 0)
    fmt::print("{} octets behind a damage {} removed unread.\n", count("lost_octets"), were);
  fmt::print("{}\n", remains(ids));
}

void erase(CommandContext& context, const EraseOptions& options) {
  if (options.address.find('@') == std::string::npos)
    return context.fail({"trail.address", fmt::format("\"{}\" is not a mail address", options.address)}, kExitUsage);
  const auto at = where(context);
  if (!at) return;
  const bool ask_first = options.dry_run || !options.yes;
  std::optional<ordered_json> row;
  if (ask_first) {
    row = erase_once(context, *at, options.address, true);
    if (!row) return;
    const bool nothing = row->value("removed", 0ULL) + row->value("redacted", 0ULL) + row->value("archived", 0ULL) == 0;
    if (!options.dry_run && !nothing && !agreed(context, options.address, *row)) {
      if (context.exit_code == kExitOk) context.exit_code = kExitFound;
      return;
    }
  }
  if (!options.dry_run) row = erase_once(context, *at, options.address, false);
  if (!row) return;
  (*row)["address"] = options.address;
  print_erased(context, *at, *row, options.dry_run);
  if (const auto failed = row->value("failed", 0ULL) + row->value("archive_failed", 0ULL))
    context.fail(
        {"trail.incomplete", fmt::format("{} files could not be changed: the address may still be in them", failed)});
}

}  // namespace

void add_trail(CLI::App& app, CommandContext& context) {
  auto* trail =
      add_command(app, "trail", "What is kept for `postern why`: how much it is, and taking a person out of it",
                  "postern trail stats");
  trail->require_subcommand(1);
  add_command(*trail, "stats", "How much is kept, since when, and how much was dropped", "postern trail stats --json")
      ->callback([&context] { show_stats(context); });
  add_command(*trail, "reindex", "Make the index of trails anew from the trails themselves", "postern trail reindex")
      ->callback([&context] { reindex(context); });
  auto* command = add_command(*trail, "erase",
                              "Erase a person: remove the records and archived messages that are his alone, and put a "
                              "placeholder for the address in those that he shares with others",
                              "postern trail erase ann@example.org --dry-run");
  auto options = std::make_shared<EraseOptions>();
  command->add_option("address", options->address, "The person's mail address")->required();
  command->add_flag("--yes", options->yes, "Do it without asking");
  command->add_flag("--dry-run", options->dry_run, "Only count");
  command->callback([&context, options] { erase(context, *options); });
}

}  // namespace postern
