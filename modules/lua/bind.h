// C++ objects and functions in Lua.
//
// Lua here is built as C++: its errors are exceptions of its own (pointers, never a std::exception), so destructors run
// when they pass through a binding. What C++ throws must not pass through Lua, whose pcall would swallow it: bound<fn>
// turns it into a Lua error at the edge.
//
// An object in Lua is a userdata that holds a T by value; T::kName is what error messages call it. Scripts can neither
// see nor change its metatable.
#pragma once

#include <lua.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace postern::lua {

/// A binding whose C++ exceptions become Lua errors.
template <lua_CFunction Fn>
int bound(lua_State* L) {
  char text[256];
  try {
    return Fn(L);
  } catch (const std::bad_alloc&) {
    std::snprintf(text, sizeof text, "not enough memory");
  } catch (const std::exception& error) {
    std::snprintf(text, sizeof text, "%s", error.what());
  }
  return luaL_error(L, "%s", text);
}

/// The same for what goes on after a wait.
template <lua_KFunction Fn>
int bound_continuation(lua_State* L, int status, lua_KContext context) {
  char text[256];
  try {
    return Fn(L, status, context);
  } catch (const std::bad_alloc&) {
    std::snprintf(text, sizeof text, "not enough memory");
  } catch (const std::exception& error) {
    std::snprintf(text, sizeof text, "%s", error.what());
  }
  return luaL_error(L, "%s", text);
}

inline void push(lua_State* L, std::string_view text) {
  lua_pushlstring(L, text.data(), text.size());
}

/// The string at `index`; numbers are converted, as Lua does.
inline std::string_view check_text(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = luaL_checklstring(L, index, &size);
  return {text, size};
}
/// The string at `index` without converting anything; it must be a string.
inline std::string_view raw_text(lua_State* L, int index) {
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

/// An address that stands for T in the registry of each state.
template <class T>
const void* box_key() {
  static constexpr char kTag = 0;
  return &kTag;
}

template <class T>
int destroy_box(lua_State* L) {
  static_cast<T*>(lua_touserdata(L, 1))->~T();
  return 0;
}

/// Makes T known to a state. `methods` are metamethods; leaves nothing on the stack.
template <class T>
void define_box(lua_State* L, const luaL_Reg* methods) {
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushstring(L, T::kName);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  if constexpr (!std::is_trivially_destructible_v<T>) {
    lua_pushcfunction(L, destroy_box<T>);
    lua_setfield(L, -2, "__gc");
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, box_key<T>());
}

template <class T>
T& push_box(lua_State* L, T value) {
  luaL_checkstack(L, 3, nullptr);
  void* place = lua_newuserdatauv(L, sizeof(T), 0);
  T* object = new (place) T(std::move(value));
  lua_rawgetp(L, LUA_REGISTRYINDEX, box_key<T>());
  lua_setmetatable(L, -2);
  return *object;
}

/// The T at `index`, or nothing. Allocates nothing; needs two free slots of the stack.
template <class T>
T* test_box(lua_State* L, int index) {
  void* place = lua_touserdata(L, index);
  if (!place || !lua_getmetatable(L, index)) return nullptr;
  lua_rawgetp(L, LUA_REGISTRYINDEX, box_key<T>());
  const bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? static_cast<T*>(place) : nullptr;
}
template <class T>
T& check_box(lua_State* L, int index) {
  if (T* object = test_box<T>(L, index)) return *object;
  luaL_typeerror(L, index, T::kName);
  std::unreachable();
}

}  // namespace postern::lua
