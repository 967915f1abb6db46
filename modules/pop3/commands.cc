#include "commands.h"

#include <fmt/format.h>

#include <array>

#include "postern/diagnostics.h"
#include "postern/text.h"

namespace postern::pop3 {

namespace {

struct Rule {
  std::string_view word;
  Verb verb;
  bool before_login, after_login;
  std::size_t min_arguments, max_arguments;
  std::string_view usage;
};

constexpr std::array kRules = {
    Rule{"APOP", Verb::kApop, true, false, 2, 2, "APOP name digest"},
    Rule{"AUTH", Verb::kAuth, true, false, 0, 2, "AUTH mechanism, for instance: AUTH PLAIN"},
    Rule{"CAPA", Verb::kCapa, true, true, 0, 0, "CAPA"},
    Rule{"DELE", Verb::kDele, false, true, 1, 1, "DELE number, for instance: DELE 1"},
    Rule{"LANG", Verb::kLang, true, true, 0, 1, "LANG, or LANG en"},
    Rule{"LAST", Verb::kLast, false, true, 0, 0, "LAST"},
    Rule{"LIST", Verb::kList, false, true, 0, 1, "LIST, or LIST number"},
    Rule{"NOOP", Verb::kNoop, false, true, 0, 0, "NOOP"},
    Rule{"PASS", Verb::kPass, true, false, 1, 1, "PASS password"},
    Rule{"QUIT", Verb::kQuit, true, true, 0, 0, "QUIT"},
    Rule{"RETR", Verb::kRetr, false, true, 1, 1, "RETR number, for instance: RETR 1"},
    Rule{"RSET", Verb::kRset, false, true, 0, 0, "RSET"},
    Rule{"STAT", Verb::kStat, false, true, 0, 0, "STAT"},
    Rule{"STLS", Verb::kStls, true, false, 0, 0, "STLS"},
    Rule{"TOP", Verb::kTop, false, true, 2, 2, "TOP number lines, for instance: TOP 1 10"},
    Rule{"UIDL", Verb::kUidl, false, true, 0, 1, "UIDL, or UIDL number"},
    Rule{"USER", Verb::kUser, true, false, 1, 1, "USER name, for instance: USER alice@example.org"},
    Rule{"UTF8", Verb::kUtf8, true, false, 0, 0, "UTF8"},
};

const Rule* find_rule(std::string_view word) {
  for (const Rule& rule : kRules)
    if (equal_folded(rule.word, word)) return &rule;
  return nullptr;
}

Command refuse(std::string error, Verb verb = Verb::kUnknown) {
  Command command;
  command.verb = verb;
  command.error = std::move(error);
  return command;
}

Command unknown(std::string_view word) {
  std::array<std::string_view, kRules.size()> words{};
  for (std::size_t i = 0; i < kRules.size(); ++i) words[i] = kRules[i].word;
  std::string upper = to_upper(word);
  if (auto near = nearest_word(upper, words)) return refuse(fmt::format("unknown command; did you mean {}?", *near));
  return refuse("unknown command; CAPA lists what this server can do");
}

bool has_control(std::string_view line) {
  for (unsigned char c : line)
    if ((c < ' ' && c != '\t') || c == 0x7F) return true;
  return false;
}

}  // namespace

Command parse_command(std::string_view line, State state) {
  if (has_control(line)) return refuse("control characters are not allowed in a command");
  line = trim_left(line);
  if (trim(line).empty()) return refuse("an empty line is no command; QUIT ends the session");
  std::size_t end = line.find_first_of(" \t");
  std::string_view word = line.substr(0, end);
  std::string_view rest = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
  const Rule* rule = find_rule(word);
  if (!rule) return unknown(word);
  if (state == State::kAuthorization && !rule->before_login)
    return refuse(fmt::format("{} works after log-in: USER and PASS first", rule->word), rule->verb);
  if (state == State::kTransaction && !rule->after_login)
    return refuse(fmt::format("{} works before log-in only, and you are logged in", rule->word), rule->verb);
  Command command;
  command.verb = rule->verb;
  if (rule->verb == Verb::kPass) {
    if (rest.empty()) return refuse("usage: PASS password", rule->verb);
    command.argument = std::string(rest);
    return command;
  }
  auto words = split_words(rest);
  if (words.size() < rule->min_arguments || words.size() > rule->max_arguments)
    return refuse(fmt::format("usage: {}", rule->usage), rule->verb);
  if (!words.empty()) command.argument = std::string(words[0]);
  if (words.size() > 1) command.second = std::string(words[1]);
  return command;
}

}  // namespace postern::pop3
