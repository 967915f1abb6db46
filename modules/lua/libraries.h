// What scripts find in their world, by theme. Each open_x() adds to the globals or to the table `postern`.
//
// All of it is deterministic: no addresses, no clock, no order of hashing. What could run long counts its steps.
// No function here has upvalues, so that the checks at load can tell the library from iterators that scripts keep.
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <string>
#include <string_view>

namespace postern::lua {

inline constexpr std::size_t kMaxTogether = 32;  ///< questions that one call may have on their way at once

void open_libraries(lua_State* L);

void open_base(lua_State* L);         // base_library.cc
void open_coroutines(lua_State* L);   // coroutine_library.cc: also postern.all
void open_strings(lua_State* L);      // string_library.cc
void open_tables(lua_State* L);       // table_library.cc
void open_effects(lua_State* L);      // effects_library.cc: dns, log, clock, random, counter, math.random, os.time
void open_verdicts(lua_State* L);     // verdicts.cc
void open_objects(lua_State* L);      // objects.cc, addresses.cc: what hooks are handed
void open_rules(lua_State* L);        // rules_library.cc: match, act, pipeline, on, waive
void open_text_guards(lua_State* L);  // text_guards.cc: what of Lua's own takes as long as a text is
void open_text(lua_State* L);         // text_library.h: re, ipset, domainset, map, json, base64, hex, hash, time

/// Pushes the table `postern`.
void push_postern(lua_State* L);

/// A table of functions as field `name` of the table at the top.
void set_table(lua_State* L, const char* name, const luaL_Reg* functions);

/// Pushes a value as text, as `tostring` gives it: __tostring is asked, and addresses are never shown.
std::string_view push_text(lua_State* L, int index);

/// Pushes the keys of the table at `index`, sorted: numbers, then strings, then booleans. Others are an error.
void push_sorted_keys(lua_State* L, int index);

/// Of a table that was frozen after load: pushes the table that holds its values. False, and nothing, for others.
bool push_frozen_store(lua_State* L, int index);
/// The same for its sorted keys.
bool push_frozen_keys(lua_State* L, int index);
/// The same for the metatable that stands for it where a script uses it as one.
bool push_frozen_metatable(lua_State* L, int index);

/// Length and fields of a table, with regard to frozen ones; steps are charged by the caller.
lua_Integer length_of(lua_State* L, int index);

}  // namespace postern::lua
