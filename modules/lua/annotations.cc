// LuaEngine::annotations: the page that editors read (scripts/meta/postern.lua), for the Lua language server.
//
// Classes come from api.h, matchers and mailets from their declarations; here is only how they are written down.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api.h"
#include "engine.h"

namespace postern::lua {
namespace {

constexpr std::string_view kHead = R"(---@meta postern
-- Words of scripts, for editors that speak with the Lua language server. Generated: postern lua annotations

---@class postern.verdict
---@class postern.action
---@class postern.recipients
---@class postern.matcher
---@operator mul(postern.matcher|function): postern.matcher
---@operator add(postern.matcher|function): postern.matcher
---@operator unm: postern.matcher

---@alias postern.on_error "defer"|"skip"|"quarantine"|"reject"
---@alias postern.role "mx"|"submission"|"submissions"|"lmtp"|"local"
---@alias postern.wanted boolean|postern.recipient|postern.recipient[]|postern.recipients|nil

---@class postern.rule
---@field when? postern.matcher|fun(mail: postern.mail): postern.wanted
---@field name? string
---@field on_error? postern.on_error
---@field [integer] postern.action|postern.verdict|fun(mail: postern.mail): postern.verdict|postern.action|nil

---@class postern.hook_options
---@field role? postern.role|postern.role[]
---@field name? string
---@field on_error? postern.on_error

---@alias postern.session_stage "connect"|"ehlo"|"starttls"|"auth"|"disconnect"
---@alias postern.mail_stage "mail"|"data"|"message"
---@alias postern.queue_stage "queued"|"route"|"attempt"|"delivered"|"deferred"|"bounced"
---@alias postern.session_hook fun(session: postern.session): postern.verdict?
---@alias postern.mail_hook fun(session: postern.session, mail: postern.mail): postern.verdict?
---@alias postern.rcpt_hook fun(session: postern.session, recipient: postern.recipient, mail: postern.mail): postern.verdict?
---@alias postern.queue_hook fun(mail: postern.mail, event: postern.event): postern.verdict?

---@class postern.on
---@overload fun(stage: postern.session_stage, hook: postern.session_hook)
---@overload fun(stage: postern.session_stage, options: postern.hook_options, hook: postern.session_hook)
---@overload fun(stage: postern.mail_stage, hook: postern.mail_hook)
---@overload fun(stage: postern.mail_stage, options: postern.hook_options, hook: postern.mail_hook)
---@overload fun(stage: "rcpt", hook: postern.rcpt_hook)
---@overload fun(stage: "rcpt", options: postern.hook_options, hook: postern.rcpt_hook)
---@overload fun(stage: postern.queue_stage, hook: postern.queue_hook)
---@overload fun(stage: postern.queue_stage, options: postern.hook_options, hook: postern.queue_hook)
)";

/// The type of an argument as declarations say it, for the language server.
std::string_view type_of(std::string_view said) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {{"string", "string"},
                                                                             {"integer", "integer"},
                                                                             {"number", "number"},
                                                                             {"boolean", "boolean"},
                                                                             {"size", "string|integer"},
                                                                             {"duration", "string|integer"},
                                                                             {"list of strings", "string|string[]"}};
  for (const auto& [name, type] : kTypes)
    if (said == name) return type;
  if (said.starts_with("list of matchers")) return "postern.matcher[]";
  if (said.starts_with("list of")) return "any";
  return "any";
}

/// Names that Lua keeps for itself cannot name a parameter.
std::string parameter_name(std::string_view name) {
  static constexpr std::string_view kWords[] = {"end", "for", "function", "if", "in", "not", "or", "and", "repeat"};
  std::string out(name.empty() ? "value" : name);
  std::ranges::replace_if(
      out, [](char c) { return !(c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')); }, '_');
  return std::ranges::find(kWords, out) == std::end(kWords) ? out : out + "_";
}

struct Arguments {
  std::vector<const ArgumentInfo*> positions;
  bool keys = false;
  bool required = false;

  explicit Arguments(const std::vector<ArgumentInfo>& all) {
    for (const ArgumentInfo& one : all) {
      if (one.position >= 0) positions.push_back(&one);
      keys = keys || one.position < 0;
      required = required || one.required;
    }
    std::ranges::sort(positions, {}, [](const ArgumentInfo* one) { return one->position; });
  }
};

/// The class of a table argument that has keys.
void write_argument_class(std::string& out, const std::string& name, const std::vector<ArgumentInfo>& arguments) {
  out += fmt::format("\n---@class {}.arguments\n", name);
  for (const ArgumentInfo& one : arguments)
    out += fmt::format("---@field {}{} {} {}\n",
                       one.position >= 0 ? fmt::format("[{}]", one.position + 1) : parameter_name(one.name),
                       one.required || one.position >= 0 ? "" : "?", type_of(one.type), one.purpose);
}

std::string function_type(const std::string& name, std::string_view made, const std::vector<ArgumentInfo>& all) {
  const Arguments arguments(all);
  if (all.empty()) return std::string(made);
  std::string parameters;
  if (arguments.keys) {
    parameters = fmt::format("{}: {}.arguments", arguments.required ? "arguments" : "arguments?", name);
    if (!arguments.positions.empty()) parameters += fmt::format("|{}", type_of(arguments.positions.front()->type));
  } else {
    for (const ArgumentInfo* one : arguments.positions)
      parameters += fmt::format("{}{}{}: {}", parameters.empty() ? "" : ", ", parameter_name(one->name),
                                one->required ? "" : "?", type_of(one->type));
  }
  const std::string function = fmt::format("fun({}): {}", parameters, made);
  return arguments.required ? function : fmt::format("{}|{}", made, function);
}

template <class Declaration>
void write_rules(std::string& out, std::string_view table, std::string_view made,
                 const std::map<std::string_view, const Declaration*>& rules) {
  std::string fields;
  for (const auto& [name, rule] : rules) {
    const std::string full = fmt::format("postern.{}.{}", table, name);
    if (Arguments(rule->arguments).keys) write_argument_class(out, full, rule->arguments);
    fields += fmt::format("---@field {} {} {}{}\n", name, function_type(full, made, rule->arguments), rule->purpose,
                          rule->example.empty() ? "" : fmt::format(" `{}`", rule->example));
  }
  out += fmt::format("\n---@class postern.{}\n{}", table, fields);
}

void write_class(std::string& out, const ApiClass& one) {
  out += fmt::format("\n---{}\n---@class postern{}{}\n", one.purpose, one.name.empty() ? "" : ".", one.name);
  for (const ApiMember& member : one.members)
    out += fmt::format("---@field {} {}{}{}\n", member.name, member.type, member.purpose.empty() ? "" : " # ",
                       member.purpose);
  if (one.name == "ipset_maker" || one.name == "domainset_maker")
    out += "---@overload fun(entries: string[]): postern.set\n";
}

}  // namespace

std::string LuaEngine::annotations(const RuleRegistry& registry) const {
  std::string out(kHead);
  for (const ApiClass& one : api_classes())
    if (!one.name.empty()) write_class(out, one);
  std::map<std::string_view, const MatcherDeclaration*> matchers;
  for (const std::string_view name : registry.matchers()) matchers.emplace(name, registry.matcher(name));
  write_rules(out, "match", "postern.matcher", matchers);
  std::map<std::string_view, const ActionDeclaration*> actions;
  for (const std::string_view name : registry.actions()) actions.emplace(name, registry.action(name));
  write_rules(out, "act", "postern.action", actions);
  write_class(out, *find_api_class(""));
  return out + "local postern = {}\nreturn postern\n";
}

}  // namespace postern::lua
