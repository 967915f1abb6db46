// The basic functions, without those that load code or show addresses, and with those that know frozen tables.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bind.h"
#include "freeze.h"
#include "libraries.h"
#include "loader.h"
#include "state.h"

namespace postern::lua {
namespace {

/// A key as it is sorted: numbers, then strings, then booleans.
struct Key {
  int rank = 0;
  bool integral = false;
  lua_Integer integer = 0;
  lua_Number number = 0;
  std::string_view text;

  bool operator<(const Key& other) const {
    if (rank != other.rank) return rank < other.rank;
    if (rank == 1) return text < other.text;
    if (integral && other.integral) return integer < other.integer;
    return number < other.number;
  }
};

Key key_at(lua_State* L, int index) {
  Key key;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER:
      key.integral = lua_isinteger(L, index);
      key.integer = key.integral ? lua_tointeger(L, index) : 0;
      key.number = lua_tonumber(L, index);
      return key;
    case LUA_TSTRING:
      key.rank = 1;
      key.text = raw_text(L, index);
      return key;
    case LUA_TBOOLEAN:
      key.rank = 2;
      key.integral = true;
      key.integer = lua_toboolean(L, index);
      return key;
    default:
      luaL_error(L, "keys must be strings, numbers or booleans to be visited in order, not %s",
                 luaL_typename(L, index));
      std::unreachable();
  }
}

void push_key(lua_State* L, const Key& key) {
  if (key.rank == 1)
    push(L, key.text);
  else if (key.rank == 2)
    lua_pushboolean(L, key.integer != 0);
  else if (key.integral)
    lua_pushinteger(L, key.integer);
  else
    lua_pushnumber(L, key.number);
}

int pairs_step(lua_State* L) {
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
  for (;;) {
    ScriptState::charge(L, 1);
    if (lua_rawgeti(L, lua_upvalueindex(2), ++at) == LUA_TNIL) return 1;
    lua_pushvalue(L, -1);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) break;  // nil: taken out meanwhile
    lua_pop(L, 2);
  }
  lua_pushinteger(L, at);
  lua_replace(L, lua_upvalueindex(3));
  return 2;
}

int after_pairs(lua_State*, int, lua_KContext) {
  return 3;
}

int pairs(lua_State* L) {
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 3, 0, after_pairs);
    return 3;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  if (push_frozen_store(L, 1)) {
    push_frozen_keys(L, 1);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      push_sorted_keys(L, -1);  // says which key cannot be sorted
    }
  } else {
    lua_pushvalue(L, 1);
    push_sorted_keys(L, 1);
  }
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, pairs_step, 3);
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

/// The key after the given one in sorted order; looks at all of them each time.
int next(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (!push_frozen_store(L, 1)) lua_pushvalue(L, 1);
  const bool first = lua_isnil(L, 2);
  const Key after = first ? Key{} : key_at(L, 2);
  Key best;
  bool found = false;
  std::int64_t steps = 0;
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1), ++steps) {
    const Key key = key_at(L, 4);
    if (!first && !(after < key)) continue;
    if (found && !(key < best)) continue;
    best = key;
    found = true;
  }
  ScriptState::charge(L, steps);
  if (!found) {
    lua_pushnil(L);
    return 1;
  }
  push_key(L, best);
  lua_pushvalue(L, -1);
  lua_rawget(L, 3);
  return 2;
}

int raw_get(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (!push_frozen_store(L, 1)) lua_pushvalue(L, 1);
  lua_insert(L, 2);
  lua_rawget(L, 2);
  return 1;
}

int raw_set(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 3);
  if (push_frozen_store(L, 1)) return refuse_write(L);
  lua_settop(L, 3);
  lua_rawset(L, 1);
  return 1;
}

int raw_len(lua_State* L) {
  luaL_argexpected(L, lua_istable(L, 1) || lua_isstring(L, 1), 1, "table or string");
  if (lua_istable(L, 1) && push_frozen_store(L, 1)) lua_replace(L, 1);
  lua_pushinteger(L, static_cast<lua_Integer>(lua_rawlen(L, 1)));
  return 1;
}

int set_metatable(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
  lua_settop(L, 2);
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
  if (lua_istable(L, 2)) {
    if (push_frozen_metatable(L, 2)) lua_replace(L, 2);
    for (const char* name : {"__gc", "__close", "__mode"}) {
      lua_pushstring(L, name);
      if (lua_rawget(L, 2) != LUA_TNIL)
        return luaL_error(L, "scripts have no %s: what it does would depend on the collector", name);
      lua_pop(L, 1);
    }
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

int to_string(lua_State* L) {
  luaL_checkany(L, 1);
  push_text(L, 1);
  return 1;
}

int print(lua_State* L) {
  Fiber& fiber = ScriptState::in_call(L, "print");
  constexpr std::size_t kMaxLine = 4096;  // octets, as those of postern.log
  std::string line;
  const int count = lua_gettop(L);
  for (int i = 1; i <= count && line.size() < kMaxLine; ++i) {
    line.append(i > 1 ? "\t" : "").append(push_text(L, i).substr(0, kMaxLine));
    lua_pop(L, 1);
  }
  line.resize(std::min(line.size(), kMaxLine));
  ScriptState::charge(L, static_cast<std::int64_t>(line.size()) / 16 + 10);
  fiber.call.effects->log("info", line);
  return 0;
}

// An error is an exception of C++, which takes microseconds.
constexpr std::int64_t kErrorSteps = 300;
constexpr std::int64_t kProtectedSteps = 90;

/// The message handler of xpcall. A call that is to end asks it nothing: the watch that ends the call does not look
/// while it raises, so that a handler could run for ever there.
int handle_message(lua_State* L) {
  const Fiber* fiber = ScriptState::of(L).current();
  if (fiber && fiber->doom != Doom::kNone) return 1;
  ScriptState::charge(L, kErrorSteps);  // it may fail itself, and is called for that again
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/// Results of the called function stand above index 2, behind the `true` that was put there.
int after_protected(lua_State* L, int status, lua_KContext) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 2;
  ScriptState::charge(L, kErrorSteps);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

int protected_call(lua_State* L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  ScriptState::charge(L, kProtectedSteps);
  const int arguments = lua_gettop(L) - 2;
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handle_message, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_insert(L, 3);
  lua_pushvalue(L, 1);
  lua_insert(L, 4);
  return after_protected(L, lua_pcallk(L, arguments, LUA_MULTRET, 2, 0, after_protected), 0);
}

/// Results of the called function stand above index 1, where the `true` was put.
int after_plain(lua_State* L, int status, lua_KContext) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
  ScriptState::charge(L, kErrorSteps);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

/// pcall
int plain_call(lua_State* L) {
  luaL_checkany(L, 1);
  ScriptState::charge(L, kProtectedSteps);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  return after_plain(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, after_plain), 0);
}

int ipairs_step(lua_State* L) {
  ScriptState::charge(L, 4);
  const lua_Integer at = luaL_checkinteger(L, 2);
  lua_pushinteger(L, static_cast<lua_Integer>(static_cast<lua_Unsigned>(at) + 1));
  return lua_geti(L, 1, lua_tointeger(L, -1)) == LUA_TNIL ? 1 : 2;
}

int ipairs(lua_State* L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  lua_pushcfunction(L, ipairs_step);
  lua_insert(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

constexpr luaL_Reg kBase[] = {{"pairs", bound<pairs>},    {"next", bound<next>},   {"rawget", raw_get},
                              {"rawset", raw_set},        {"rawlen", raw_len},     {"setmetatable", set_metatable},
                              {"tostring", to_string},    {"print", bound<print>}, {"require", bound<require_script>},
                              {"xpcall", protected_call}, {"pcall", plain_call},   {"ipairs", ipairs},
                              {nullptr, nullptr}};

/// Keeps only `names` of the table at the top.
void keep_only(lua_State* L, std::initializer_list<const char*> names) {
  lua_newtable(L);
  for (const char* name : names) {
    lua_getfield(L, -2, name);
    lua_setfield(L, -2, name);
  }
  lua_remove(L, -2);
}

}  // namespace

void push_sorted_keys(lua_State* L, int index) {
  index = lua_absindex(L, index);
  std::vector<Key> keys;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) keys.push_back(key_at(L, -2));
  const auto count = static_cast<std::int64_t>(keys.size());
  ScriptState::charge(L, count * (1 + static_cast<std::int64_t>(std::log2(static_cast<double>(count) + 1)) / 4));
  std::ranges::sort(keys, std::less<>());
  lua_createtable(L, static_cast<int>(keys.size()), 0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    push_key(L, keys[i]);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
}

std::string_view push_text(lua_State* L, int index) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 4, nullptr);
  if (luaL_callmeta(L, index, "__tostring")) {
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "'__tostring' must return a string");
  } else {
    switch (lua_type(L, index)) {
      case LUA_TNIL:
      case LUA_TBOOLEAN:
      case LUA_TNUMBER:
      case LUA_TSTRING:
        luaL_tolstring(L, index, nullptr);
        break;
      default:
        if (const int kind = luaL_getmetafield(L, index, "__name"); kind == LUA_TSTRING)
          break;
        else if (kind != LUA_TNIL)
          lua_pop(L, 1);
        lua_pushstring(L, luaL_typename(L, index));
    }
  }
  return raw_text(L, -1);
}

void open_base(lua_State* L) {
  luaL_requiref(L, "_G", luaopen_base, 0);
  keep_only(L, {"assert", "error", "getmetatable", "rawequal", "select", "tonumber", "type", "_VERSION"});
  luaL_setfuncs(L, kBase, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  luaL_requiref(L, "math", luaopen_math, 0);
  lua_pushnil(L);
  lua_setfield(L, -2, "randomseed");
  lua_pushnil(L);
  lua_setfield(L, -2, "random");  // effects_library.cc has it
  lua_setglobal(L, "math");
  luaL_requiref(L, "utf8", luaopen_utf8, 0);
  lua_setglobal(L, "utf8");
}

void set_table(lua_State* L, const char* name, const luaL_Reg* functions) {
  lua_newtable(L);
  luaL_setfuncs(L, functions, 0);
  lua_setfield(L, -2, name);
}

void open_libraries(lua_State* L) {
  open_base(L);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, reinterpret_cast<const void*>(&push_postern));
  open_coroutines(L);
  open_strings(L);
  open_tables(L);
  open_verdicts(L);
  open_objects(L);
  open_effects(L);
  open_rules(L);
  open_text(L);
  open_text_guards(L);
  lua_settop(L, 0);
}

void push_postern(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, reinterpret_cast<const void*>(&push_postern));
}

lua_Integer length_of(lua_State* L, int index) {
  return luaL_len(L, index);
}

}  // namespace postern::lua
