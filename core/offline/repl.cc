#include "core/offline/repl.h"

#include <fmt/format.h>

#include <fstream>

namespace postern {
namespace {

constexpr std::string_view kFile = "repl.lua";

/// What a line finds around it. Values are shown to a depth that a person can read.
constexpr std::string_view kHead = R"lua(local postern = require "postern"
local function text(value, depth)
  if type(value) == "string" then return depth > 0 and string.format("%q", value) or value end
  if type(value) ~= "table" or depth > 3 then return tostring(value) end
  local parts = {}
  for key, one in pairs(value) do
    if #parts == 100 then parts[101] = "..." break end
    local name = type(key) == "string" and key .. " = " or type(key) == "number" and "" or tostring(key) .. " = "
    parts[#parts + 1] = name .. text(one, depth + 1)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end
local function say(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = text(parts[i], 0) end
  postern.log.info("repl:" .. table.concat(parts, "\t"))
end
postern.pipeline "root" { { postern.discard "repl" } }
postern.on("message", { name = "repl" }, function(session, mail)
  local function print() end
)lua";

/// Everybody may send everywhere here: the mail must come to the hook.
GateConfig open_gate() {
  GateConfig gate;
  gate.forward_aliases = true;
  for (const char* all : {"0.0.0.0/0", "::/0"}) gate.networks.push_back({*IpNetwork::parse(all), "the prompt", {}});
  return gate;
}

/// "repl.lua:31: text" without its place, which is none that the asker wrote.
std::string without_place(std::string text) {
  while (true) {
    const std::size_t name = text.find(kFile);
    const std::size_t end = name == std::string::npos ? name : text.find(": ", name);
    if (end == std::string::npos) return text;
    text.erase(0, end + 2);
  }
}

}  // namespace

OfflineRepl::OfflineRepl(Parts parts, std::filesystem::path folder, OfflineMail mail, std::vector<TrailEntry> entries)
    : parts_(std::move(parts)), folder_(std::move(folder)), mail_(std::move(mail)), entries_(std::move(entries)) {
  if (!mail_.text) mail_.text = "\r\n";
}

OfflineRepl::~OfflineRepl() {
  std::error_code ignored;
  std::filesystem::remove(folder_ / kFile, ignored);
}

std::string OfflineRepl::script(std::string_view line, bool expression) const {
  std::string out(kHead);
  for (const std::string& one : kept_) out += one + "\n";
  out += "print = say\n";
  // A line may end in a comment.
  out += expression ? fmt::format("say({}\n)\n", line) : fmt::format("{}\n", line);
  return out + "end)\n";
}

std::unique_ptr<PreparedRules> OfflineRepl::load(const std::string& text, Metrics& metrics, Diagnostics& diagnostics) {
  const std::filesystem::path file = folder_ / kFile;
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  PipelineSettings settings = parts_.settings;
  settings.scripts = {file};
  return prepare_rules(settings, open_gate(), parts_.registry, &parts_.engine, metrics, 1, diagnostics);
}

OfflineRepl::Answer OfflineRepl::run(std::string_view line) {
  CaptureLog log;
  OfflineMachine machine({.directory = parts_.directory, .log = log.log()});
  Diagnostics as_expression, as_statement;
  if (const auto rules = load(script(line, true), machine.metrics(), as_expression)) {
    Answer answer = run_rules(*rules, machine, log);
    if (answer.error.empty()) kept_.push_back(fmt::format("do local _ = table.pack({}\n) end", line));
    return answer;
  }
  if (const auto rules = load(script(line, false), machine.metrics(), as_statement)) {
    Answer answer = run_rules(*rules, machine, log);
    if (answer.error.empty()) kept_.emplace_back(line);
    return answer;
  }
  Answer answer;
  for (const Diagnostic& one : as_statement.items()) {
    if (one.severity != Diagnostic::Severity::kError) continue;
    // The line's own end stands where the script's closing words do.
    answer.incomplete = answer.incomplete || one.text.ends_with("near <eof>") || one.text.ends_with("near ')'");
    if (answer.error.empty()) answer.error = one.text;
  }
  return answer;
}

OfflineRepl::Answer OfflineRepl::run_rules(const PreparedRules& rules, OfflineMachine& machine, CaptureLog& log) {
  Answer out;
  machine.install(rules);
  RecordedAnswers answers(entries_);
  const auto result = machine.run(mail_, answers);
  for (const CaptureLog::Line& one : log.lines()) {
    const auto text = one.event == "script.log" ? one.field("text") : std::nullopt;
    if (text && text->starts_with("repl:")) out.output.push_back(text->substr(5));
  }
  if (!result) {
    out.error = result.error().detail;
    return out;
  }
  bool reached = false;
  for (const TrailEntry& entry : result->trail) {
    reached = reached || (entry.kind == TrailEntry::Kind::kRule && entry.name == "repl");
    if (entry.kind == TrailEntry::Kind::kError && entry.name == "repl") out.error = without_place(entry.answer);
  }
  if (!reached) out.error = "the mail has no recipient that is taken, so that no hook sees it";
  for (const RecordedAnswers::Unanswered& one : answers.unanswered())
    if (one.stage == Stage::kMessage && !one.effect.starts_with("directory.domain"))
      // Lines before this one ask again; that was told then.
      if (std::string asked = fmt::format("{} \"{}\" {}", one.effect, one.question, one.why);
          told_.insert(asked).second)
        out.unanswered.push_back(std::move(asked));
  return out;
}

}  // namespace postern
