#include "spec_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "postern/text.h"

namespace postern::lua {

SpecWorld& world_of(lua_State* L) {
  check_box<SpecWorldBox>(L, 1);
  SpecWorld* world = SpecFile::of(L).world;
  if (!world) luaL_error(L, "the world belongs to a case that is over");
  return *world;
}

void bad_value(lua_State* L, std::string_view what, std::string_view value, std::span<const std::string_view> known) {
  std::string text = fmt::format("there is no {} \"{}\"", what, value);
  if (const std::string hint = did_you_mean(value, known); !hint.empty()) text += "; " + hint;
  luaL_error(L, "%s", text.c_str());
  std::unreachable();
}

void check_known_keys(lua_State* L, int table, std::span<const std::string_view> known, std::string_view what) {
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const std::string_view key = lua_type(L, -2) == LUA_TSTRING ? raw_text(L, -2) : std::string_view("1");
    if (std::ranges::find(known, key) == known.end()) bad_value(L, fmt::format("field of {}", what), key, known);
  }
}

std::string text_field(lua_State* L, int table, const char* key, std::string fallback) {
  lua_getfield(L, table, key);
  if (!lua_isnil(L, -1)) {
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "%s must be a string", key);
    fallback = raw_text(L, -1);
  }
  lua_pop(L, 1);
  return fallback;
}

std::int64_t number_field(lua_State* L, int table, const char* key, std::int64_t least, std::int64_t most,
                          std::int64_t fallback) {
  lua_getfield(L, table, key);
  if (!lua_isnil(L, -1)) {
    int is_whole = 0;
    fallback = lua_tointegerx(L, -1, &is_whole);
    if (!is_whole || fallback < least || fallback > most)
      luaL_error(L, "%s must be a whole number from %I to %I", key, static_cast<LUAI_UACINT>(least),
                 static_cast<LUAI_UACINT>(most));
  }
  lua_pop(L, 1);
  return fallback;
}

void read_recipients(lua_State* L, int table, std::vector<std::string>& recipients) {
  lua_getfield(L, table, "to");
  if (lua_type(L, -1) == LUA_TSTRING) {
    recipients.emplace_back(raw_text(L, -1));
  } else if (lua_istable(L, -1)) {
    for (lua_Integer i = 1; i <= static_cast<lua_Integer>(lua_rawlen(L, -1)); ++i) {
      lua_rawgeti(L, -1, i);
      if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "to must be an address or a list of addresses");
      recipients.emplace_back(raw_text(L, -1));
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  if (recipients.empty()) luaL_error(L, "`to` is missing: an address or a list of addresses");
}

std::string optional_text(lua_State* L, int index) {
  return lua_isnoneornil(L, index) ? std::string() : std::string(check_text(L, index));
}

bool fits_reply(const Reply& reply, lua_Integer code, std::string_view enhanced, std::string_view text) {
  return (code == 0 || reply.code == code) && (enhanced.empty() || reply.enhanced == enhanced) &&
         reply.text.find(text) != std::string::npos;
}

std::string wanted_reply(lua_Integer code, std::string_view enhanced, std::string_view text) {
  std::string out;
  if (code) out += fmt::format(" with {}", code);
  if (!enhanced.empty()) out += fmt::format(" {}", enhanced);
  if (!text.empty()) out += fmt::format(" \"{}\"", text);
  return out;
}

void fail_expectation(lua_State* L, std::string_view story, std::string_view whom, std::string_view expected,
                      std::string_view what) {
  luaL_where(L, 1);
  const std::string_view rest = story.size() > kMaxSpecStory ? "\n  ... the rest is not shown\n" : "";
  push(L, fmt::format("{}: expected {}, but it {}\n{}{}", whom, expected, what, story.substr(0, kMaxSpecStory), rest));
  lua_concat(L, 2);
  lua_error(L);
  std::unreachable();
}

}  // namespace postern::lua
