// postern.match, postern.act, postern.pipeline, postern.on and postern.waive: how scripts declare rules.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "bind.h"
#include "calls.h"
#include "convert.h"
#include "events.h"
#include "libraries.h"
#include "objects.h"
#include "postern/text.h"

namespace postern::lua {
namespace {

Loader& loading(lua_State* L, const char* what) {
  Loader* loader = ScriptState::of(L).loader();
  if (!loader) luaL_error(L, "%s: only while scripts are loaded; make it at the top of the script", what);
  return *loader;
}

// ---- match.x, act.y
// --------------------------------------------------------------------------------------------------

/// What is wrong with a name that is not declared.
void report_unknown(Loader& loader, RuleRef::Kind kind, const std::string& name, const Origin& origin) {
  const RuleRegistry& registry = loader.registry();
  const bool matcher = kind == RuleRef::Kind::kMatcher;
  const std::string_view what = matcher ? "matcher" : "mailet";
  if (const std::string_view room = registry.future(name); !room.empty())
    return loader.diagnostics().error(
        origin, fmt::format("the {} \"{}\" is not there yet: it comes with {}", what, name, room));
  if (matcher ? registry.action(name) != nullptr : registry.matcher(name) != nullptr)
    return loader.diagnostics().error(origin, fmt::format("\"{}\" is a {}", name, matcher ? "mailet" : "matcher"),
                                      fmt::format("write {}.{}", matcher ? "act" : "match", name));
  const std::vector<std::string_view> known = matcher ? registry.matchers() : registry.actions();
  std::string hint = did_you_mean(name, known);
  if (known.empty()) hint = "is the module \"mailets\" loaded?";
  loader.diagnostics().error(origin, fmt::format("unknown {} \"{}\"", what, name), std::move(hint));
}

int find_rule(lua_State* L) {
  const RuleRef::Kind kind = check_box<RuleTable>(L, 1).kind;
  Loader& loader = loading(L, kind == RuleRef::Kind::kMatcher ? "match" : "act");
  RuleRef rule;
  rule.kind = kind;
  rule.name = check_text(L, 2);
  rule.origin = loader.origin(L, 1, rule.name);
  if (kind == RuleRef::Kind::kMatcher)
    rule.matcher_declaration = loader.registry().matcher(rule.name);
  else
    rule.action_declaration = loader.registry().action(rule.name);
  if (!rule.matcher_declaration && !rule.action_declaration) {
    report_unknown(loader, kind, rule.name, rule.origin);
    rule.broken = true;
  }
  push_box(L, std::move(rule));
  return 1;
}

/// `match.relay_limit(100)`, `act.deliver { folder = "Junk" }`.
int call_rule(lua_State* L) {
  RuleRef rule = check_box<RuleRef>(L, 1);
  Loader& loader = loading(L, rule.name.c_str());
  if (rule.made()) {
    loader.diagnostics().error(rule.origin, fmt::format("{} has its arguments already", rule.name));
    rule.broken = true;
  }
  const int count = lua_gettop(L) - 1;
  std::optional<ScriptValue> arguments = ScriptValue{};
  arguments->origin = rule.origin;
  if (count == 1) {
    arguments = to_script_value(L, 2, loader, rule.origin);
  } else if (count > 1) {
    ScriptValue::List list;
    for (int i = 2; i <= count + 1 && arguments; ++i) {
      auto one = to_script_value(L, i, loader, rule.origin);
      if (one)
        list.push_back(std::move(*one));
      else
        arguments.reset();
    }
    if (arguments) arguments->value = std::move(list);
  }
  if (!arguments) rule.broken = true;
  if (!rule.broken) make_rule(rule, *arguments, loader);
  push_box(L, std::move(rule));
  return 1;
}

/// `a * b`, `a + b`, `-a`: combinations of the standard library.
int combine(lua_State* L, const char* name, int operands) {
  Loader& loader = loading(L, name);
  RuleRef rule;
  rule.name = name;
  rule.origin = loader.origin(L, 1, operands == 1 ? "-" : name == std::string_view("all_of") ? "*" : "+");
  rule.matcher_declaration = loader.registry().matcher(name);
  if (!rule.matcher_declaration) report_unknown(loader, RuleRef::Kind::kMatcher, rule.name, rule.origin);
  ScriptValue::List list;
  for (int i = 1; i <= operands; ++i) {
    auto matcher = to_matcher(L, i, loader, rule.origin);
    if (matcher) list.push_back({std::move(matcher), rule.origin});
  }
  rule.broken = !rule.matcher_declaration || static_cast<int>(list.size()) != operands;
  if (!rule.broken) make_rule(rule, {std::move(list), rule.origin}, loader);
  push_box(L, std::move(rule));
  return 1;
}
int both(lua_State* L) {
  return combine(L, "all_of", 2);
}
int either(lua_State* L) {
  return combine(L, "any_of", 2);
}
int neither(lua_State* L) {
  return combine(L, "none_of", 1);
}

int rule_text(lua_State* L) {
  const RuleRef& rule = check_box<RuleRef>(L, 1);
  push(L, fmt::format("{}.{}", rule.kind == RuleRef::Kind::kMatcher ? "match" : "act", rule.name));
  return 1;
}

// ---- postern.pipeline
// ------------------------------------------------------------------------------------------------

/// Where a rule stands: as its table was written, else where its first matcher or mailet was.
Origin origin_of_rule(lua_State* L, int table, const Origin& written, const Origin& fallback) {
  if (written.source) return written;
  Origin found = fallback;
  bool first = true;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
    if (const RuleRef* rule = test_box<RuleRef>(L, -1);
        rule && rule->origin.source &&
        (first || std::pair(rule->origin.line, rule->origin.column) < std::pair(found.line, found.column))) {
      found = rule->origin;
      first = false;
    }
  return found;
}

Rule read_rule(lua_State* L, int table, std::string default_name, const Origin& origin, Loader& loader) {
  static constexpr std::string_view kKeys[] = {"when", "name", "on_error"};
  Rule rule;
  rule.origin = origin;
  check_keys(L, table, kKeys, "a rule", loader, origin);
  rule.name = field_text(L, table, "name", loader, origin);
  if (rule.name.empty()) rule.name = std::move(default_name);
  rule.on_error = field_on_error(L, table, loader, origin);
  lua_pushliteral(L, "when");
  if (lua_rawget(L, table) != LUA_TNIL) rule.when = to_matcher(L, -1, loader, origin);
  lua_pop(L, 1);
  const auto actions = static_cast<lua_Integer>(lua_rawlen(L, table));
  for (lua_Integer i = 1; i <= actions; ++i) {
    lua_rawgeti(L, table, i);
    if (auto action = to_action(L, -1, loader, origin)) rule.actions.push_back(std::move(action));
    lua_pop(L, 1);
  }
  return rule;
}

bool name_taken(const RuleSet& rules, const std::string& name) {
  for (const auto& [key, pipeline] : rules.pipelines)
    if (std::ranges::find(pipeline.rules, name, &Rule::name) != pipeline.rules.end()) return true;
  return false;
}

void read_pipeline(lua_State* L, const std::string& name, int table, Loader& loader, int level) {
  PipelineRules pipeline;
  pipeline.name = name;
  pipeline.origin = loader.origin(L, level, name);
  if (const auto known = loader.rules().pipelines.find(name); known != loader.rules().pipelines.end())
    return loader.diagnostics().error(pipeline.origin, fmt::format("there is a pipeline \"{}\" already, at {}", name,
                                                                   known->second.origin.to_string()));
  const std::vector<Origin> written = loader.origins_of_rules(pipeline.origin);
  const std::size_t count = lua_rawlen(L, table);
  check_keys(L, table, {}, "a pipeline", loader, pipeline.origin);
  std::set<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    lua_rawgeti(L, table, static_cast<lua_Integer>(i + 1));
    const int rule = lua_gettop(L);
    const Origin place = written.size() == count ? written[i] : Origin{};
    if (!lua_istable(L, rule)) {
      const RuleRef* ref = test_box<RuleRef>(L, rule);
      loader.diagnostics().error(
          place.source ? place
          : ref        ? ref->origin
                       : pipeline.origin,
          fmt::format("rule {} of pipeline \"{}\" is {} instead of a table", i + 1, name, kind_of(L, rule)),
          "write { when = match.x, act.y }");
    } else {
      const Origin origin = origin_of_rule(L, rule, place, pipeline.origin);
      Rule made = read_rule(L, rule, fmt::format("{}#{}", name, i + 1), origin, loader);
      if (!names.insert(made.name).second || name_taken(loader.rules(), made.name))
        loader.diagnostics().error(origin, fmt::format("there is a rule named \"{}\" already", made.name));
      pipeline.rules.push_back(std::move(made));
    }
    lua_settop(L, rule - 1);
  }
  loader.rules().pipelines.emplace(name, std::move(pipeline));
}

std::string check_name(lua_State* L, int index) {
  const std::string_view name = check_text(L, index);
  luaL_argcheck(L, !name.empty() && name.size() <= 100, index, "a name of 1 to 100 octets");
  return std::string(name);
}

int pipeline_rules(lua_State* L) {
  Loader& loader = loading(L, "pipeline");
  const std::string name(raw_text(L, lua_upvalueindex(1)));
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  read_pipeline(L, name, 1, loader, 1);
  return 0;
}

/// `pipeline "root" { ... }` or `pipeline("root", { ... })`.
int pipeline(lua_State* L) {
  Loader& loader = loading(L, "pipeline");
  const std::string name = check_name(L, 1);
  if (lua_istable(L, 2)) {
    lua_settop(L, 2);
    read_pipeline(L, name, 2, loader, 1);
    return 0;
  }
  lua_settop(L, 1);
  lua_pushcclosure(L, bound<pipeline_rules>, 1);
  return 1;
}

// ---- postern.on, postern.waive
// -----------------------------------------------------------------------------------------

struct StageName {
  std::string_view name;
  Stage stage;
  std::string_view waits_for;  ///< empty: it is called
};
constexpr StageName kStages[] = {{"connect", Stage::kConnect, ""},
                                 {"ehlo", Stage::kEhlo, ""},
                                 {"starttls", Stage::kStarttls, ""},
                                 {"auth", Stage::kAuth, ""},
                                 {"mail", Stage::kMail, ""},
                                 {"rcpt", Stage::kRcpt, ""},
                                 {"data", Stage::kData, ""},
                                 {"message", Stage::kMessage, ""},
                                 {"disconnect", Stage::kDisconnect, ""},
                                 {"queued", Stage::kQueued, ""},
                                 {"route", Stage::kRoute, ""},
                                 {"attempt", Stage::kAttempt, ""},
                                 {"delivered", Stage::kDelivered, ""},
                                 {"deferred", Stage::kDeferred, ""},
                                 {"bounced", Stage::kBounced, ""},
                                 {"login", Stage::kLogin, "hooks of mailboxes"},
                                 {"append", Stage::kAppend, "hooks of mailboxes"},
                                 {"expunge", Stage::kExpunge, "hooks of mailboxes"},
                                 {"flags", Stage::kFlags, "hooks of mailboxes"}};
constexpr SessionRole kRoles[] = {SessionRole::kMx, SessionRole::kSubmission, SessionRole::kSubmissions,
                                  SessionRole::kLmtp, SessionRole::kLocal};

std::optional<Stage> check_stage(std::string_view name, Loader& loader, const Origin& origin) {
  std::vector<std::string_view> known;
  for (const StageName& one : kStages) {
    if (one.name == name && one.waits_for.empty()) return one.stage;
    if (one.name == name) {
      loader.diagnostics().error(
          origin, fmt::format("the hook \"{}\" is not called yet: it comes with {}", name, one.waits_for));
      return std::nullopt;
    }
    known.push_back(one.name);
  }
  loader.diagnostics().error(origin, fmt::format("unknown hook \"{}\"", name), did_you_mean(name, known));
  return std::nullopt;
}

void add_role(std::string_view name, std::vector<SessionRole>& roles, Loader& loader, const Origin& origin) {
  std::vector<std::string_view> known;
  for (const SessionRole role : kRoles) {
    if (to_string(role) == name) return roles.push_back(role);
    known.push_back(to_string(role));
  }
  loader.diagnostics().error(origin, fmt::format("unknown role \"{}\"", name), did_you_mean(name, known));
}

/// `role = "mx"` or `role = { "submission", "submissions" }`; none: all.
std::vector<SessionRole> read_roles(lua_State* L, int table, Loader& loader, const Origin& origin) {
  std::vector<SessionRole> roles;
  lua_pushliteral(L, "role");
  lua_rawget(L, table);
  if (lua_type(L, -1) == LUA_TSTRING) {
    add_role(raw_text(L, -1), roles, loader, origin);
  } else if (lua_istable(L, -1)) {
    const auto count = static_cast<lua_Integer>(lua_rawlen(L, -1));
    for (lua_Integer i = 1; i <= count && i <= 10; ++i) {
      lua_rawgeti(L, -1, i);
      add_role(lua_type(L, -1) == LUA_TSTRING ? raw_text(L, -1) : "?", roles, loader, origin);
      lua_pop(L, 1);
    }
  } else if (!lua_isnil(L, -1)) {
    loader.diagnostics().error(origin,
                               fmt::format("`role` must be a string or a list of strings, not {}", kind_of(L, -1)));
  }
  lua_pop(L, 1);
  return roles;
}

/// on(stage, function) or on(stage, { role =, name =, on_error = }, function).
int on(lua_State* L) {
  static constexpr std::string_view kKeys[] = {"role", "name", "on_error"};
  Loader& loader = loading(L, "on");
  const std::string stage_name(check_text(L, 1));
  const int function = lua_isfunction(L, 2) ? 2 : 3;
  luaL_checktype(L, function, LUA_TFUNCTION);
  if (function == 3) luaL_checktype(L, 2, LUA_TTABLE);
  Hook hook;
  hook.origin = loader.origin(L, 1, stage_name);
  std::vector<SessionRole> roles;
  if (function == 3) {
    check_keys(L, 2, kKeys, "a hook", loader, hook.origin);
    hook.name = field_text(L, 2, "name", loader, hook.origin);
    hook.on_error = field_on_error(L, 2, loader, hook.origin);
    roles = read_roles(L, 2, loader, hook.origin);
  }
  if (hook.name.empty())
    hook.name = fmt::format("{}:{}", hook.origin.source ? hook.origin.source->name() : "?", hook.origin.line);
  const std::optional<Stage> stage = check_stage(stage_name, loader, hook.origin);
  if (!stage) return 0;
  if (is_queue_stage(*stage) && !roles.empty())
    loader.diagnostics().error(hook.origin,
                               fmt::format("a hook at {} has no role: no session waits for it", stage_name));
  hook.stage = *stage;
  hook.handler = std::make_shared<LuaHook>(loader.state(), loader.keep(L, function));
  if (roles.empty()) loader.rules().hooks.push_back(hook);
  for (const SessionRole role : roles) {
    hook.role = role;
    loader.rules().hooks.push_back(hook);
  }
  return 0;
}

int waive(lua_State* L) {
  Loader& loader = loading(L, "waive");
  const std::string code(check_text(L, 1));
  const std::string reason(lua_isnoneornil(L, 2) ? std::string_view() : check_text(L, 2));
  const Origin origin = loader.origin(L, 1, code.empty() ? "waive" : code);
  if (code.empty() || trim(reason).empty()) {
    loader.diagnostics().error(origin, "a waiver needs the code of a warning and a reason",
                               "postern.waive(\"lint.no_loop_guard\", \"the next server has one\")");
    return 0;
  }
  loader.rules().waivers.emplace_back(code, reason);
  loader.rules().waiver_origins.push_back(origin);
  return 0;
}

}  // namespace

void open_rules(lua_State* L) {
  constexpr luaL_Reg kRule[] = {{"__call", bound<call_rule>},     {"__mul", bound<both>},
                                {"__add", bound<either>},         {"__unm", bound<neither>},
                                {"__tostring", bound<rule_text>}, {nullptr, nullptr}};
  constexpr luaL_Reg kTable[] = {{"__index", bound<find_rule>}, {nullptr, nullptr}};
  constexpr luaL_Reg kFunctions[] = {
      {"pipeline", bound<pipeline>}, {"on", bound<on>}, {"waive", bound<waive>}, {nullptr, nullptr}};
  define_box<RuleRef>(L, kRule);
  define_box<RuleTable>(L, kTable);
  push_postern(L);
  luaL_setfuncs(L, kFunctions, 0);
  push_box(L, RuleTable{RuleRef::Kind::kMatcher});
  lua_setfield(L, -2, "match");
  push_box(L, RuleTable{RuleRef::Kind::kAction});
  lua_setfield(L, -2, "act");
  lua_pop(L, 1);
}

}  // namespace postern::lua
