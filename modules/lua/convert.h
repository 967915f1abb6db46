// From Lua values to what matchers and mailets take, and to the parts of rules. Used while scripts are loaded; problems
// are reported to the loader, and nothing is returned then.
#pragma once

#include <lua.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "loader.h"
#include "rules.h"

namespace postern::lua {

/// The value at `index` as an argument. Reports what no argument may be.
std::optional<ScriptValue> to_script_value(lua_State* L, int index, Loader& loader, const Origin& origin);

/// Makes a rule with these arguments; reports what is wrong with them and leaves it broken then.
void make_rule(RuleRef& rule, const ScriptValue& arguments, Loader& loader);

/// A matcher from a rule, or from a function. Nothing when it is neither (reported) or broken (reported before).
std::shared_ptr<Matcher> to_matcher(lua_State* L, int index, Loader& loader, const Origin& origin);
/// An action from a rule, a function or a verdict.
std::shared_ptr<Action> to_action(lua_State* L, int index, Loader& loader, const Origin& origin);

/// The string under `key` of the table at `table`; empty when there is none; reports what is no string.
std::string field_text(lua_State* L, int table, const char* key, Loader& loader, const Origin& origin);
/// `on_error` of a rule or hook.
OnError field_on_error(lua_State* L, int table, Loader& loader, const Origin& origin);
/// Reports keys of the table at `table` that are none of `known`; numbers are left alone.
void check_keys(lua_State* L, int table, std::span<const std::string_view> known, std::string_view what, Loader& loader,
                const Origin& origin);

/// "a table", "a string" and so on.
std::string kind_of(lua_State* L, int index);

}  // namespace postern::lua
