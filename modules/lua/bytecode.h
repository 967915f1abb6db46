// Which variables of an outer function does a function assign? Lua has no question for that, so its precompiled form
// (lua_dump, the format of Lua 5.4) is read. A form that cannot be read is an assignment of "?": nothing passes by
// mistake.
//
// Thread: where scripts are loaded.
#pragma once

#include <lua.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace postern::lua {

struct Assignment {
  std::string name;  ///< of the variable
  std::uint32_t line = 0;
};

/// Assignments by the Lua function at `index`, and by functions inside it, to variables that live outside of it.
std::vector<Assignment> assigned_upvalues(lua_State* L, int index);

}  // namespace postern::lua
