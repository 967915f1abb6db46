// What the calls of a spec have in common: reading what they are given, and telling what does not hold.
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

/// An argument, empty for none.
std::string optional_text(lua_State* L, int index);
/// Whether a reply is the wanted one: 0 and empty texts stand for any, and `text` for a part.
bool fits_reply(const Reply& reply, lua_Integer code, std::string_view enhanced, std::string_view text);
/// " with 550 5.7.1 \"listed\"", as far as it is wanted.
std::string wanted_reply(lua_Integer code, std::string_view enhanced, std::string_view text);
/// Raises with what was expected, what was seen, and the steps of the trail, kMaxSpecStory of them.
[[noreturn]] void fail_expectation(lua_State* L, std::string_view story, std::string_view whom,
                                   std::string_view expected, std::string_view what);

}  // namespace postern::lua
