// Functions of Lua's own libraries that take as long as a text is: its octets are charged before they begin.
//
// They are called in the frame of the guard, so that their errors stand where the script called them.
#include <algorithm>

#include "bind.h"
#include "libraries.h"
#include "state.h"

namespace postern::lua {
namespace {

constexpr std::int64_t kOctetsPerStep = 6;

struct Guarded {
  const char* library;  ///< a global table; nothing: the metatable of strings
  const char* name;
};
constexpr Guarded kGuarded[] = {{"utf8", "len"},    {"utf8", "codepoint"}, {"utf8", "offset"},  {"_G", "tonumber"},
                                {nullptr, "__add"}, {nullptr, "__sub"},    {nullptr, "__mul"},  {nullptr, "__div"},
                                {nullptr, "__mod"}, {nullptr, "__pow"},    {nullptr, "__idiv"}, {nullptr, "__unm"}};
static_assert(std::size(kGuarded) == ScriptState::kGuardedFunctions);

template <std::size_t Which>
int guarded(lua_State* L) {
  std::int64_t octets = 0;
  for (const int index : {1, 2})
    if (lua_type(L, index) == LUA_TSTRING) octets += static_cast<std::int64_t>(lua_rawlen(L, index));
  if (octets > kOctetsPerStep) ScriptState::charge(L, octets / kOctetsPerStep);
  return ScriptState::of(L).guarded_function(Which)(L);
}

template <std::size_t Which>
void guard(lua_State* L) {
  const Guarded& one = kGuarded[Which];
  if (one.library) {
    lua_getglobal(L, one.library);
  } else {
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
  }
  lua_getfield(L, -1, one.name);
  ScriptState::of(L).guarded_function(Which) = lua_tocfunction(L, -1);
  lua_pushcfunction(L, guarded<Which>);
  lua_setfield(L, -3, one.name);
  lua_settop(L, 0);
}

template <std::size_t... Which>
void guard_all(lua_State* L, std::index_sequence<Which...>) {
  (guard<Which>(L), ...);
}

}  // namespace

void open_text_guards(lua_State* L) {
  guard_all(L, std::make_index_sequence<std::size(kGuarded)>());
}

}  // namespace postern::lua
