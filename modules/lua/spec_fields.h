// What the calls of a spec have in common: reading the tables that they are given.
//
// Thread: that of the spec. Errors: raised in Lua, with the nearest word; what C++ holds meanwhile is destroyed, since
// Lua's errors are exceptions here.
#pragma once

#include <lua.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec.h"

namespace postern::lua {

/// The handle of the world, `t`; it holds nothing.
struct SpecWorldBox {
  static constexpr const char* kName = "spec's world";
};

/// Of the case that runs; the first argument must be its handle.
SpecWorld& world_of(lua_State* L);
[[noreturn]] void bad_value(lua_State* L, std::string_view what, std::string_view value,
                            std::span<const std::string_view> known);
void check_known_keys(lua_State* L, int table, std::span<const std::string_view> known, std::string_view what);
std::string text_field(lua_State* L, int table, const char* key, std::string fallback = {});
std::int64_t number_field(lua_State* L, int table, const char* key, std::int64_t least, std::int64_t most,
                          std::int64_t fallback);
/// `to`: an address or a list of addresses; at least one.
void read_recipients(lua_State* L, int table, std::vector<std::string>& recipients);

}  // namespace postern::lua
