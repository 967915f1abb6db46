// The table library, with counted steps: the watch over instructions does not see into C functions.
#include "bind.h"
#include "libraries.h"
#include "state.h"

namespace postern::lua {
namespace {

/// The length of the table at 1, which is about to be changed or read.
lua_Integer table_length(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  return luaL_len(L, 1);
}

int insert(lua_State* L) {
  const lua_Integer end = table_length(L) + 1;
  lua_Integer at = end;
  switch (lua_gettop(L)) {
    case 2:
      break;
    case 3:
      at = luaL_checkinteger(L, 2);
      luaL_argcheck(L, at >= 1 && at <= end, 2, "position out of bounds");
      ScriptState::charge(L, end - at);
      for (lua_Integer i = end; i > at; --i) {
        lua_geti(L, 1, i - 1);
        lua_seti(L, 1, i);
      }
      break;
    default:
      return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, at);
  return 0;
}

int remove(lua_State* L) {
  const lua_Integer size = table_length(L);
  lua_Integer at = luaL_optinteger(L, 2, size);
  if (!lua_isnoneornil(L, 2))
    luaL_argcheck(L, size + 1 == at || (at >= 1 && at <= size) || (size == 0 && at == 0), 2, "position out of bounds");
  lua_geti(L, 1, at);
  if (size == 0 && lua_isnil(L, -1)) return 1;
  ScriptState::charge(L, size > at ? size - at : 0);
  for (; at < size; ++at) {
    lua_geti(L, 1, at + 1);
    lua_seti(L, 1, at);
  }
  lua_pushnil(L);
  lua_seti(L, 1, at);
  return 1;
}

int concat(lua_State* L) {
  const lua_Integer size = table_length(L);
  const std::string_view separator = lua_isnoneornil(L, 2) ? std::string_view() : check_text(L, 2);
  const lua_Integer first = luaL_optinteger(L, 3, 1);
  const lua_Integer last = luaL_optinteger(L, 4, size);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (lua_Integer i = first; i <= last; ++i) {
    ScriptState::charge(L, 1);
    lua_geti(L, 1, i);
    if (!lua_isstring(L, -1))
      return luaL_error(L, "invalid value (at index %I) in table for 'concat'", static_cast<LUAI_UACINT>(i));
    luaL_addvalue(&out);
    if (i != last) luaL_addlstring(&out, separator.data(), separator.size());
    if (i == LUA_MAXINTEGER) break;
  }
  luaL_pushresult(&out);
  return 1;
}

/// How many there are from `first` to `last`, charged before they are touched.
lua_Integer charged_span(lua_State* L, lua_Integer first, lua_Integer last) {
  if (first > last) return 0;
  const auto span = static_cast<lua_Unsigned>(last) - static_cast<lua_Unsigned>(first);
  if (span >= static_cast<lua_Unsigned>(ScriptState::steps_left(L))) ScriptState::charge(L, LUA_MAXINTEGER);
  ScriptState::charge(L, static_cast<lua_Integer>(span) + 1);
  return static_cast<lua_Integer>(span) + 1;
}

int move(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const lua_Integer first = luaL_checkinteger(L, 2);
  const lua_Integer last = luaL_checkinteger(L, 3);
  const lua_Integer to = luaL_checkinteger(L, 4);
  const int target = lua_isnoneornil(L, 5) ? 1 : 5;
  luaL_checktype(L, target, LUA_TTABLE);
  const lua_Integer count = charged_span(L, first, last);
  luaL_argcheck(L, count == 0 || to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
  const bool forward = to > last || to <= first || target != 1;
  for (lua_Integer i = 0; i < count; ++i) {
    const lua_Integer at = forward ? i : count - 1 - i;
    lua_geti(L, 1, first + at);
    lua_seti(L, target, to + at);
  }
  lua_pushvalue(L, target);
  return 1;
}

int unpack(lua_State* L) {
  const lua_Integer first = luaL_optinteger(L, 2, 1);
  const lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
  const lua_Integer count = charged_span(L, first, last);
  constexpr lua_Integer kMaxResults = 100'000;
  if (count > kMaxResults || !lua_checkstack(L, static_cast<int>(count)))
    return luaL_error(L, "too many results to unpack");
  for (lua_Integer i = 0; i < count; ++i) lua_geti(L, 1, first + i);
  return static_cast<int>(count);
}

int pack(lua_State* L) {
  const int count = lua_gettop(L);
  ScriptState::charge(L, count);
  lua_createtable(L, count, 1);
  lua_insert(L, 1);
  for (int i = count; i >= 1; --i) lua_seti(L, 1, i);
  lua_pushinteger(L, count);
  lua_setfield(L, 1, "n");
  return 1;
}

/// Whether the value at the top comes before the one below it; takes both off. Strings and numbers, or by the function
/// at 2. A merge sort asks only this, so that equal ones stay in order.
bool second_is_first(lua_State* L) {
  ScriptState::charge(L, 2);
  if (lua_isnil(L, 2)) {
    const bool less = lua_compare(L, -1, -2, LUA_OPLT);
    lua_pop(L, 2);
    return less;
  }
  lua_pushvalue(L, 2);
  lua_insert(L, -3);
  lua_insert(L, -2);
  lua_call(L, 2, 1);
  const bool less = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return less;
}

/// Merges [begin, middle) and [middle, end) of table `from` into table `to`; both are plain temporary tables.
void merge(lua_State* L, int from, int to, lua_Integer begin, lua_Integer middle, lua_Integer end) {
  lua_Integer left = begin, right = middle;
  for (lua_Integer at = begin; at < end; ++at) {
    bool take_right = left >= middle;
    if (!take_right && right < end) {
      lua_rawgeti(L, from, left);
      lua_rawgeti(L, from, right);
      take_right = second_is_first(L);
    }
    lua_rawgeti(L, from, take_right ? right++ : left++);
    lua_rawseti(L, to, at);
  }
}

int sort(lua_State* L) {
  const lua_Integer size = table_length(L);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  luaL_checkstack(L, 10, nullptr);
  charged_span(L, 1, size);
  lua_newtable(L);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= size; ++i) {
    lua_geti(L, 1, i);
    lua_rawseti(L, 3, i);
  }
  int from = 3, to = 4;
  for (lua_Integer width = 1; width < size; width *= 2) {
    for (lua_Integer begin = 1; begin <= size; begin += 2 * width)
      merge(L, from, to, begin, std::min(begin + width, size + 1), std::min(begin + 2 * width, size + 1));
    std::swap(from, to);
  }
  for (lua_Integer i = 1; i <= size; ++i) {
    lua_rawgeti(L, from, i);
    lua_seti(L, 1, i);
  }
  return 0;
}

}  // namespace

void open_tables(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"insert", insert}, {"remove", remove}, {"concat", bound<concat>},
                                     {"move", move},     {"unpack", unpack}, {"pack", pack},
                                     {"sort", sort},     {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setglobal(L, "table");
}

}  // namespace postern::lua
