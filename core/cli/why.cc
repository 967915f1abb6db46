// `postern why`: the story of a message, a session or an address, from the trails, and what the queue made of it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/cli/command.h"
#include "core/cli/story.h"
#include "core/cli/story_queue.h"
#include "core/control/client.h"
#include "core/control/json_text.h"
#include "core/loader/assembly.h"
#include "core/pipeline/trail_reader.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxEvents = 10'000;  // records of the queue that are looked at

struct WhyOptions {
  TrailQuery query;
  std::string folder, since, until;
  bool steps = false;
};

/// Where trails are and where the server is asked; the configuration is not read when both are given.
struct Places {
  std::string folder, socket;
};

std::optional<Places> places(CommandContext& context, const WhyOptions& options) {
  Places out{options.folder, context.socket};
  if (!out.folder.empty()) return out;
  auto assembly = context.assemble_and_read();
  if (!assembly) return std::nullopt;
  const auto& settings = assembly->config->get<ServerSettings>();
  out.folder = settings.state / "trail";
  if (out.socket.empty()) out.socket = control_socket(settings);
  return out;
}

bool read_times(CommandContext& context, WhyOptions& options) {
  const auto now = std::chrono::time_point_cast<WallTime::duration>(WallTime::clock::now());
  for (const auto& [text, into] :
       {std::pair(&options.since, &options.query.since), {&options.until, &options.query.until}}) {
    if (text->empty()) continue;
    *into = parse_when(*text, now);
    if (*into) continue;
    context.fail({"why.time", fmt::format("\"{}\" is no time: say 2h, 1d, 2026-01-31 or 2026-01-31T10:00:00Z", *text)},
                 kExitUsage);
    return false;
  }
  return true;
}

QueueNews ask_queue(const std::string& socket, const TrailRecord& record) {
  QueueNews news;
  if (!record.accepted || record.message.empty() || socket.empty()) return news;
  const auto asked = ask_server(socket, "queue.show", {{"id", record.message}}, [&](const std::string& row) {
    news.recipients.push_back(ordered_json::parse(row, nullptr, false));
  });
  if (asked)
    news.state = QueueNews::State::kWaiting;
  else if (asked.error().code == "control.unreachable")
    news.state = QueueNews::State::kNoServer;
  else if (asked.error().code == "spool.gone")
    news.state = QueueNews::State::kGone;
  return news;
}

/// What trails have of the mail after it was taken in.
std::vector<TrailRecord> events_of(Env& env, const std::string& folder, const TrailRecord& record) {
  if (!record.accepted || record.message.empty() || is_of_queue(record)) return {};
  TrailQuery query;
  query.message = record.message;
  query.limit = kMaxEvents;
  std::vector<TrailRecord> out = find_trails(env, folder, query).records;
  std::erase_if(out, [](const TrailRecord& one) { return !is_of_queue(one); });
  std::ranges::reverse(out);
  return out;
}

void print(const CommandContext& context, const WhyOptions& options, const std::string& socket,
           const TrailRecord& record, std::vector<TrailRecord> events) {
  if (options.steps && !context.json) {
    fmt::print("{}\n", render_story(record));
    for (const TrailRecord& event : events) fmt::print("{}\n", render_story(event));
    return;
  }
  const Story story = tell(record);
  QueueNews news = ask_queue(socket, record);
  news.events = std::move(events);
  if (context.json) return fmt::print("{}\n", json_text(story_json(record, story, news)));
  fmt::print("{}\n", render(record, story, news));
}

/// The mail that a record of the queue is about; nothing when it has been deleted.
std::optional<TrailRecord> mail_of(Env& env, const std::string& folder, const std::string& message) {
  TrailQuery query;
  query.message = message;
  query.limit = kMaxEvents;
  std::vector<TrailRecord> records = find_trails(env, folder, query).records;
  const auto found = std::ranges::find_if_not(records, is_of_queue);
  return found == records.end() ? std::nullopt : std::optional(std::move(*found));
}

/// What the queue wrote is told with its mail, which may stand behind more of its records than were asked for; by
/// itself when only it is left.
std::vector<TrailRecord> gathered(Env& env, const std::string& folder, std::vector<TrailRecord> found,
                                  std::size_t limit) {
  std::set<std::string> mails, lone;
  for (const TrailRecord& record : found)
    if (!is_of_queue(record)) mails.insert(record.message);
  std::vector<TrailRecord> out;
  for (TrailRecord& record : found) {
    if (out.size() == limit) break;
    if (is_of_queue(record)) {
      if (mails.contains(record.message)) continue;
      auto mail = lone.contains(record.message) ? std::nullopt : mail_of(env, folder, record.message);
      (mail ? mails : lone).insert(record.message);
      if (mail) record = std::move(*mail);
    }
    out.push_back(std::move(record));
  }
  return out;
}

void why(CommandContext& context, WhyOptions options) {
  if (!read_times(context, options)) return;
  const auto where = places(context, options);
  if (!where) return;
  PosixEnv env;
  const std::size_t limit = options.query.limit;
  options.query.limit = std::min<std::size_t>(limit * 10, kMaxEvents);  // what the queue wrote stands among them
  TrailFindings found = find_trails(env, where->folder, options.query);
  found.records = gathered(env, where->folder, std::move(found.records), limit);
  for (const TrailRecord& record : found.records)
    print(context, options, where->socket, record, events_of(env, where->folder, record));
  for (const std::string& file : found.damaged)
    fmt::print(stderr, "postern: {} is damaged; what follows the damage is not shown\n", file);
  if (found.records.empty())
    context.fail({"why.nothing", options.query.text.empty()
                                     ? "no trail is like that"
                                     : fmt::format("no trail speaks of \"{}\"", options.query.text)});
}

void declare_words(CLI::App& command, WhyOptions& options) {
  TrailQuery& query = options.query;
  command.add_option("what", query.text,
                     "A message id, a session id, an address, a domain, or the client's IP address or its /24 or /64");
  command.add_option("--id", query.message, "The message with this id, as 250 gave it");
  command.add_option("--session", query.session, "The session with this id, as the log has it");
  command.add_option("--sender", query.sender, "Mail from this address");
  command.add_option("--recipient", query.recipient, "Mail to this address, refused or not, and to who it led to");
  command.add_option("--ip", query.client, "Clients with this IP address, or in this /24 or /64");
  command.add_option("--domain", query.domain, "Mail from or to an address of this domain");
  command.add_option("--rule", query.rule, "Mail to which this rule applied");
  command.add_option("--since", options.since, "Not older than this: 2h, 1d, 2026-01-31, 2026-01-31T10:00:00Z");
  command.add_option("--until", options.until, "Not newer than this, likewise");
}

}  // namespace

void add_why(CLI::App& app, CommandContext& context) {
  auto* command =
      add_command(app, "why", "Tell what happened to a message, accepted or refused, and which rule decided",
                  "postern why bob@example.org --refused --since 2d");
  auto options = std::make_shared<WhyOptions>();
  declare_words(*command, *options);
  command->add_option("--limit", options->query.limit, "At most this many, newest first")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  auto* refused = command->add_flag("--refused", options->query.refused_only, "Only mail that was refused");
  command->add_flag("--accepted", options->query.accepted_only, "Only mail that was accepted")->excludes(refused);
  command->add_flag("--steps", options->steps, "Every step as it was written down, with its microseconds");
  command->add_option("--trail", options->folder, "The folder of trails, instead of the configuration's");
  command->callback([&context, options] { why(context, *options); });
}

}  // namespace postern
