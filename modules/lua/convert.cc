#include "convert.h"

#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "calls.h"
#include "libraries.h"
#include "objects.h"

namespace postern::lua {
namespace {

class Converter {
 public:
  Converter(lua_State* L, Loader& loader, const Origin& origin) : L_(L), loader_(loader), origin_(origin) {}

  std::optional<ScriptValue> value(int index, int depth) {
    index = lua_absindex(L_, index);
    luaL_checkstack(L_, 6, nullptr);
    if (++count_ > kMaxArguments || depth > kMaxArgumentDepth)
      return complain("too many or too deeply nested arguments");
    ScriptValue out;
    out.origin = origin_;
    switch (lua_type(L_, index)) {
      case LUA_TNIL:
        return out;
      case LUA_TBOOLEAN:
        out.value = lua_toboolean(L_, index) != 0;
        return out;
      case LUA_TNUMBER:
        if (lua_isinteger(L_, index))
          out.value = static_cast<std::int64_t>(lua_tointeger(L_, index));
        else
          out.value = static_cast<double>(lua_tonumber(L_, index));
        return out;
      case LUA_TSTRING:
        out.value = std::string(raw_text(L_, index));
        return out;
      case LUA_TTABLE:
        return table(index, depth);
      default:
        break;
    }
    if (const auto* ip = test_box<IpBox>(L_, index)) {
      out.value = ip->ip.to_string();
      return out;
    }
    const RuleRef* rule = test_box<RuleRef>(L_, index);
    if (!lua_isfunction(L_, index) && !rule)
      return complain(fmt::format("{} cannot be an argument", kind_of(L_, index)));
    if (rule && rule->kind == RuleRef::Kind::kAction)
      return complain(fmt::format("the mailet \"{}\" cannot be an argument", rule->name));
    std::shared_ptr<Matcher> matcher = to_matcher(L_, index, loader_, origin_);
    if (!matcher) return std::nullopt;
    out.value = std::move(matcher);
    return out;
  }

 private:
  std::optional<ScriptValue> complain(std::string what) {
    loader_.diagnostics().error(origin_, std::move(what));
    return std::nullopt;
  }

  std::optional<ScriptValue> table(int index, int depth) {
    const std::size_t length = lua_rawlen(L_, index);
    std::size_t fields = 0;
    for (lua_pushnil(L_); lua_next(L_, index); lua_pop(L_, 1)) ++fields;
    ScriptValue out;
    out.origin = origin_;
    if (fields == length) {
      ScriptValue::List list;
      for (std::size_t i = 1; i <= length; ++i) {
        lua_rawgeti(L_, index, static_cast<lua_Integer>(i));
        auto one = value(-1, depth + 1);
        lua_pop(L_, 1);
        if (!one) return std::nullopt;
        list.push_back(std::move(*one));
      }
      out.value = std::move(list);
      return out;
    }
    ScriptValue::Map map;
    for (lua_pushnil(L_); lua_next(L_, index); lua_pop(L_, 1)) {
      std::string key;
      if (lua_type(L_, -2) == LUA_TSTRING)
        key = raw_text(L_, -2);
      else if (lua_isinteger(L_, -2))
        key = std::to_string(lua_tointeger(L_, -2));
      else
        return complain(fmt::format("{} cannot be the key of an argument", kind_of(L_, -2)));
      auto one = value(-1, depth + 1);
      if (!one) return std::nullopt;
      map.emplace(std::move(key), std::move(*one));
    }
    out.value = std::move(map);
    return out;
  }

  lua_State* L_;
  Loader& loader_;
  const Origin& origin_;
  std::size_t count_ = 0;
};

template <class Made>
void make_from(RuleRef& rule, const RuleDeclaration<Made>& declaration, std::shared_ptr<Made>& made,
               const ScriptValue& arguments, Loader& loader) {
  Result<std::shared_ptr<Made>> result = declaration.make(arguments);
  if (result) {
    made = std::move(*result);
    return;
  }
  rule.broken = true;
  loader.diagnostics().error(
      rule.origin, fmt::format("{}: {}", rule.name, result.error().detail),
      declaration.example.empty() ? std::string() : fmt::format("for instance {}", declaration.example));
}

/// Makes a rule that stands without parentheses: `match.recipient_is_local`.
void make_plain(RuleRef& rule, Loader& loader) {
  if (rule.made() || rule.broken) return;
  ScriptValue none;
  none.origin = rule.origin;
  make_rule(rule, none, loader);
}

}  // namespace

std::string kind_of(lua_State* L, int index) {
  if (const RuleRef* rule = test_box<RuleRef>(L, index))
    return fmt::format("the {} \"{}\"", rule->kind == RuleRef::Kind::kMatcher ? "matcher" : "mailet", rule->name);
  if (test_box<VerdictBox>(L, index)) return "a verdict";
  switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL:
      return "nothing";
    default:
      return fmt::format("a {}", luaL_typename(L, index));
  }
}

std::optional<ScriptValue> to_script_value(lua_State* L, int index, Loader& loader, const Origin& origin) {
  const int top = lua_gettop(L);
  auto value = Converter(L, loader, origin).value(index, 0);
  lua_settop(L, top);
  return value;
}

void make_rule(RuleRef& rule, const ScriptValue& arguments, Loader& loader) {
  if (rule.matcher_declaration)
    make_from(rule, *rule.matcher_declaration, rule.matcher, arguments, loader);
  else if (rule.action_declaration)
    make_from(rule, *rule.action_declaration, rule.action, arguments, loader);
  else
    rule.broken = true;
}

std::shared_ptr<Matcher> to_matcher(lua_State* L, int index, Loader& loader, const Origin& origin) {
  if (lua_isfunction(L, index)) return std::make_shared<LuaMatcher>(loader.state(), loader.keep(L, index));
  RuleRef* rule = test_box<RuleRef>(L, index);
  if (!rule || rule->kind != RuleRef::Kind::kMatcher) {
    loader.diagnostics().error(rule ? rule->origin : origin,
                               fmt::format("{} stands where a matcher or a function must", kind_of(L, index)));
    return nullptr;
  }
  make_plain(*rule, loader);
  return rule->matcher;
}

std::shared_ptr<Action> to_action(lua_State* L, int index, Loader& loader, const Origin& origin) {
  if (lua_isfunction(L, index)) return std::make_shared<LuaAction>(loader.state(), loader.keep(L, index));
  if (const auto* box = test_box<VerdictBox>(L, index)) {
    if (box->verdict.kind != Verdict::Kind::kAccept && box->verdict.kind != Verdict::Kind::kDisconnect)
      return std::make_shared<VerdictAction>(box->verdict);
    loader.diagnostics().error(origin, "accept and disconnect belong into hooks: a rule delivers, relays or refuses");
    return nullptr;
  }
  RuleRef* rule = test_box<RuleRef>(L, index);
  if (!rule || rule->kind != RuleRef::Kind::kAction) {
    loader.diagnostics().error(rule ? rule->origin : origin,
                               fmt::format("{} stands where an action must", kind_of(L, index)),
                               rule ? "a matcher goes under the key `when`" : "");
    return nullptr;
  }
  make_plain(*rule, loader);
  return rule->action;
}

std::string field_text(lua_State* L, int table, const char* key, Loader& loader, const Origin& origin) {
  lua_pushstring(L, key);
  lua_rawget(L, table);
  std::string text;
  if (lua_type(L, -1) == LUA_TSTRING)
    text = raw_text(L, -1);
  else if (!lua_isnil(L, -1))
    loader.diagnostics().error(origin, fmt::format("`{}` must be a string, not {}", key, kind_of(L, -1)));
  lua_pop(L, 1);
  return text;
}

OnError field_on_error(lua_State* L, int table, Loader& loader, const Origin& origin) {
  static constexpr std::string_view kWords[] = {"defer", "skip", "quarantine", "reject"};
  const std::string word = field_text(L, table, "on_error", loader, origin);
  for (std::size_t i = 0; i < std::size(kWords); ++i)
    if (word == kWords[i]) return static_cast<OnError>(i);
  if (!word.empty())
    loader.diagnostics().error(
        origin, fmt::format("on_error is \"defer\", \"skip\", \"quarantine\" or \"reject\", not \"{}\"", word),
        did_you_mean(word, kWords));
  return OnError::kDefer;
}

void check_keys(lua_State* L, int table, std::span<const std::string_view> known, std::string_view what, Loader& loader,
                const Origin& origin) {
  push_sorted_keys(L, table);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, -1));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, -1, i);
    if (lua_type(L, -1) == LUA_TSTRING) {
      const std::string_view key = raw_text(L, -1);
      if (std::ranges::find(known, key) == known.end())
        loader.diagnostics().error(origin, fmt::format("{} has no key \"{}\"", what, key), did_you_mean(key, known));
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

}  // namespace postern::lua
