// After load, what scripts keep cannot change: state between messages lives elsewhere, so that a replay of the same
// mail gives the same answers (pipeline.md).
//
// All tables that hooks, matchers, actions and globals reach are frozen in place: their values move to a table that
// scripts cannot get at, and reading goes there. Functions that assign variables of an outer function, or keep
// iterators or coroutines, are refused.
//
// Thread: where scripts are loaded.
#pragma once

#include <lua.hpp>

#include <functional>
#include <string>
#include <vector>

namespace postern::lua {

/// Something that scripts keep and must not.
struct KeptFault {
  std::string source;  ///< chunk name without '@'
  std::uint32_t line = 0;
  std::string word;  ///< what to look for on the line; may be empty
  std::string text;
};

/// Freezes the globals and all that the functions at `roots` (references in the registry) reach. Call it protected.
/// With faults nothing is frozen.
std::vector<KeptFault> freeze(lua_State* L, const std::vector<int>& roots);

/// Raises "this table was frozen when the scripts were loaded".
int refuse_write(lua_State* L);

}  // namespace postern::lua
