// `postern lua repl`: a prompt on one mail. `postern lua annotations`: the page that editors read.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "core/cli/command.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/offline/recorded_mail.h"
#include "core/offline/repl.h"
#include "core/pipeline/archive.h"
#include "core/pipeline/trail_reader.h"
#include "postern/file.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxMessage = 256U << 20;  // octets of --message
constexpr std::size_t kMaxInput = 64 << 10;      // octets of one piece of Lua

struct ReplOptions {
  std::string message, id, from = "ann@example.net", ip = "203.0.113.1";
  std::vector<std::string> to{"bob@example.org"};
};

/// A folder that is gone at the end.
class OwnFolder {
 public:
  OwnFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-repl-XXXXXX").string();
    if (::mkdtemp(name.data())) path_ = name;
  }
  ~OwnFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

Result<RecordedMail> mail_of_record(const Config& config, const std::string& id) {
  PosixEnv env;
  const std::filesystem::path state = config.get<ServerSettings>().state;
  TrailQuery query;
  query.text = id;
  for (const TrailRecord& record : find_trails(env, (state / "trail").string(), query).records) {
    auto recorded = recorded_mail(record, archived(env, (state / "archive").string(), record));
    if (recorded && recorded->mail.mails) return recorded;
  }
  return fault("repl.nothing", fmt::format("no trail of a client's mail speaks of \"{}\"", id));
}

Result<RecordedMail> mail_of_options(const ReplOptions& options) {
  SpecMail mail;
  const auto ip = IpAddress::parse(options.ip);
  if (!ip) return fault("repl.ip", fmt::format("\"{}\" is no address", options.ip));
  mail.client.ip = *ip;
  mail.client.ehlo = "client.example";
  mail.client.esmtp = true;
  mail.sender = options.from;
  mail.recipients = options.to;
  mail.text = "Subject: a mail to look at\n\nhello\n";
  if (!options.message.empty()) {
    auto text = read_regular_file(options.message, kMaxMessage);
    if (!text) return fault(text.error().code, fmt::format("{}: {}", options.message, text.error().detail));
    mail.text = std::move(*text);
  }
  auto described = offline_mail(mail);
  if (!described) return std::unexpected(described.error());
  RecordedMail out;
  out.mail = std::move(*described);
  for (const std::string& one : options.to)  // whoever they are, the prompt is about the mail
    out.entries.push_back({.kind = TrailEntry::Kind::kEffect,
                           .stage = Stage::kRcpt,
                           .name = "directory.find",
                           .question = one,
                           .answer = "foreign"});
  return out;
}

void print_answer(const CommandContext& context, const std::string& input, const OfflineRepl::Answer& answer) {
  if (context.json) {
    fmt::print(
        "{}\n",
        json_text(ordered_json{
            {"input", input}, {"output", answer.output}, {"error", answer.error}, {"unanswered", answer.unanswered}}));
  } else {
    for (const std::string& line : answer.output) fmt::print("{}\n", line);
    for (const std::string& one : answer.unanswered) fmt::print("{}? {}{}\n", dim(), one, plain());
    if (!answer.error.empty()) fmt::print("{}{}{}\n", red(), answer.error, plain());
  }
  std::fflush(stdout);
}

/// Until the input ends; false when the last piece was no whole one.
void converse(CommandContext& context, OfflineRepl& repl) {
  const bool prompt = ::isatty(STDIN_FILENO) && !context.json;
  std::string input, line;
  while (true) {
    if (prompt) {
      fmt::print("{}", input.empty() ? "> " : ">> ");
      std::fflush(stdout);
    }
    const bool more = static_cast<bool>(std::getline(std::cin, line));
    if (more) input += (input.empty() ? "" : "\n") + line;
    if (!more && input.empty()) break;
    if (input.find_first_not_of(" \t\r\n") != std::string::npos && input.size() <= kMaxInput) {
      OfflineRepl::Answer answer = repl.run(input);
      if (answer.incomplete && more) continue;
      if (answer.incomplete) answer.error = "the input ends before this does: " + answer.error;
      if (!answer.error.empty() && !prompt) context.exit_code = kExitFound;
      print_answer(context, input, answer);
    }
    input.clear();
    if (!more) break;
  }
  if (prompt) fmt::print("\n");
}

void repl(CommandContext& context, const ReplOptions& options) {
  auto assembly = context.assemble_and_read();
  if (!assembly) return;
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  const Services& services = (*server)->services();
  auto* engine = services.find<ScriptEngine>();
  if (!engine) return context.fail({"repl.engine", "no module runs scripts: load the module \"lua\""});
  auto mail = options.id.empty() ? mail_of_options(options) : mail_of_record((*server)->config(), options.id);
  if (!mail) return context.fail(mail.error());
  if (!mail->mail.text)
    fmt::print(stderr, "postern: [archive] has not kept the text of this mail; an empty one stands in\n");
  const OwnFolder folder;
  if (folder.path().empty()) return context.fail({"repl.folder", "no temporary folder can be made"});
  OfflineRepl prompt(
      {(*server)->rules(), *engine, services.need<Directory>(), (*server)->config().get<PipelineSettings>()},
      folder.path(), std::move(mail->mail), std::move(mail->entries));
  converse(context, prompt);
}

/// Of all the modules there are, whatever a configuration says.
void annotations(CommandContext& context) {
  auto assembly = context.assemble();
  if (!assembly) return;
  Diagnostics diagnostics;
  assembly->config = Config::parse(assembly->schemas, "defaults", {}, diagnostics);
  if (!assembly->config) return context.report(diagnostics);
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  auto* engine = (*server)->services().find<ScriptEngine>();
  if (!engine) return context.fail({"lua.engine", "no module runs scripts: load the module \"lua\""});
  const std::string page = engine->annotations((*server)->rules());
  if (!context.json) return fmt::print("{}", page);
  fmt::print("{}\n", json_text(ordered_json{{"annotations", page}}));
}

}  // namespace

void add_lua(CLI::App& app, CommandContext& context) {
  auto* lua = add_command(app, "lua", "Lua as scripts have it", "postern lua repl --message mail.eml");
  lua->require_subcommand(1);
  auto* command =
      add_command(*lua, "repl",
                  "A prompt with `mail`, `session` and `postern`; questions are answered from the record, or "
                  "not at all",
                  "postern lua repl --message mail.eml");
  auto options = std::make_shared<ReplOptions>();
  auto* message = command->add_option("--message", options->message, "A file with the message");
  command->add_option("--id", options->id, "A recorded mail: a message id or a session id")->excludes(message);
  command->add_option("--from", options->from, "The sender, beside --message")->capture_default_str();
  command->add_option("--to", options->to, "A recipient, beside --message; may be given again");
  command->add_option("--ip", options->ip, "The client's address, beside --message")->capture_default_str();
  command->callback([&context, options] { repl(context, *options); });
  add_command(*lua, "annotations", "What editors with the Lua language server need to know of scripts' words",
              "postern lua annotations > scripts/meta/postern.lua")
      ->callback([&context] { annotations(context); });
}

}  // namespace postern
