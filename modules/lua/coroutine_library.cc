// Coroutines of scripts, and postern.all.
//
// A script's coroutine runs inside the fiber of its call. When it asks the world, it yields like any other; whoever
// resumed it must then yield as well, up to the fiber, and pass the answer down again. A yield is a question when the
// fiber's list of requests has grown by it. The count of instructions is carried over at each resume.
#include "bind.h"
#include "libraries.h"
#include "state.h"

namespace postern::lua {
namespace {

constexpr std::int64_t kMakeSteps = 60;    // of making one, and of its collection
constexpr std::int64_t kSwitchSteps = 50;  // of entering a coroutine
constexpr std::int64_t kErrorSteps = 300;  // an error is an exception of C++, which takes microseconds

enum class Way : lua_KContext { kResume, kWrap };

lua_State* check_coroutine(lua_State* L, int index) {
  lua_State* coroutine = lua_tothread(L, index);
  if (!coroutine) luaL_typeerror(L, index, "coroutine");
  return coroutine;
}

enum class Ended : std::uint8_t { kReturned, kYielded, kAsked, kFailed };

/// Runs `coroutine` until it ends, yields, or asks. `results` are on its stack then.
Ended advance(lua_State* L, lua_State* coroutine, int arguments, int& results) {
  ScriptState::charge(L, ScriptState::kCoroutineSlice + kSwitchSteps);
  Fiber& fiber = *ScriptState::of(L).current();
  const std::size_t before = fiber.requests.size();
  fiber.running = coroutine;
  ScriptState::watch(coroutine, ScriptState::kCoroutineSlice);
  const int status = lua_resume(coroutine, L, arguments, &results);
  fiber.running = L;
  ScriptState::raise_if_doomed(L);
  ScriptState::tighten(L);
  if (status == LUA_OK) return Ended::kReturned;
  if (status != LUA_YIELD) return Ended::kFailed;
  return fiber.requests.size() > before ? Ended::kAsked : Ended::kYielded;
}

int step(lua_State* L, lua_State* coroutine, int arguments, Way way);

/// The coroutine stands at index 1.
int go_on(lua_State* L, int, lua_KContext way) {
  return step(L, lua_tothread(L, 1), 0, static_cast<Way>(way));
}

int step(lua_State* L, lua_State* coroutine, int arguments, Way way) {
  int results = 0;
  switch (advance(L, coroutine, arguments, results)) {
    case Ended::kAsked:
      return lua_yieldk(L, 0, static_cast<lua_KContext>(way), go_on);
    case Ended::kFailed:
      ScriptState::charge(L, kErrorSteps);
      if (way == Way::kResume) lua_pushboolean(L, 0);
      lua_xmove(coroutine, L, 1);
      return way == Way::kResume ? 2 : lua_error(L);
    case Ended::kReturned:
    case Ended::kYielded:
      break;
  }
  luaL_checkstack(L, results + 1, "too many results");
  if (way == Way::kResume) lua_pushboolean(L, 1);
  lua_xmove(coroutine, L, results);
  return results + (way == Way::kResume ? 1 : 0);
}

/// Arguments stand above the coroutine at index 1.
int enter(lua_State* L, Way way) {
  lua_State* coroutine = check_coroutine(L, 1);
  const int arguments = lua_gettop(L) - 1;
  const bool dead =
      lua_status(coroutine) != LUA_YIELD && (lua_status(coroutine) != LUA_OK || lua_gettop(coroutine) == 0);
  if (dead || coroutine == L || !lua_checkstack(coroutine, arguments)) {
    const char* why = dead ? "cannot resume dead coroutine" : "cannot resume this coroutine now";
    if (way == Way::kWrap) return luaL_error(L, why);
    lua_pushboolean(L, 0);
    lua_pushstring(L, why);
    return 2;
  }
  lua_xmove(L, coroutine, arguments);
  return step(L, coroutine, arguments, way);
}

int create(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  ScriptState::charge(L, kMakeSteps);
  lua_State* coroutine = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, coroutine, 1);
  return 1;
}

int resume(lua_State* L) {
  return enter(L, Way::kResume);
}

int resume_wrapped(lua_State* L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return enter(L, Way::kWrap);
}

int wrap(lua_State* L) {
  create(L);
  lua_pushcclosure(L, bound<resume_wrapped>, 1);
  return 1;
}

int yield(lua_State* L) {
  const Fiber* fiber = ScriptState::of(L).current();
  if (!fiber || L == fiber->thread) return luaL_error(L, "attempt to yield from outside a coroutine");
  return lua_yield(L, lua_gettop(L));
}

int status(lua_State* L) {
  lua_State* coroutine = check_coroutine(L, 1);
  lua_Debug info;
  const char* word = "dead";
  if (coroutine == L)
    word = "running";
  else if (lua_status(coroutine) == LUA_YIELD)
    word = "suspended";
  else if (lua_status(coroutine) == LUA_OK && lua_getstack(coroutine, 0, &info))
    word = "normal";
  else if (lua_status(coroutine) == LUA_OK && lua_gettop(coroutine) > 0)
    word = "suspended";
  lua_pushstring(L, word);
  return 1;
}

int is_yieldable(lua_State* L) {
  const Fiber* fiber = ScriptState::of(L).current();
  lua_pushboolean(L, fiber && L != fiber->thread && lua_isyieldable(L));
  return 1;
}

// ---- postern.all
// -----------------------------------------------------------------------------------------------------

// Stack: 1 functions by key, 2 their keys, 3 coroutines by number (false: ended), 4 first results, 5 second results.
int run_all(lua_State* L, int, lua_KContext) {
  bool waiting = false;
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, 2));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_settop(L, 5);
    if (lua_rawgeti(L, 3, i) != LUA_TTHREAD) continue;
    lua_State* coroutine = lua_tothread(L, -1);
    int results = 0;
    switch (advance(L, coroutine, 0, results)) {
      case Ended::kAsked:
        waiting = true;
        continue;
      case Ended::kYielded:
        return luaL_error(L, "a function of postern.all must not yield");
      case Ended::kFailed:
        lua_xmove(coroutine, L, 1);
        return lua_error(L);
      case Ended::kReturned:
        break;
    }
    luaL_checkstack(L, results + 4, "too many results");
    lua_settop(coroutine, lua_gettop(coroutine) - results + std::min(results, 2));
    lua_xmove(coroutine, L, std::min(results, 2));
    lua_settop(L, 8);  // 6 coroutine, 7 first result, 8 second result
    for (int result = 1; result <= 2; ++result) {
      lua_rawgeti(L, 2, i);
      lua_pushvalue(L, 6 + result);
      lua_rawset(L, 3 + result);
    }
    lua_pushboolean(L, 0);
    lua_rawseti(L, 3, i);
  }
  lua_settop(L, 5);
  if (waiting) return lua_yieldk(L, 0, 0, run_all);
  return 2;
}

/// postern.all { key = function, ... }: runs them at once, gives their first results and their errors by key.
int all(lua_State* L) {
  ScriptState::in_call(L, "postern.all");
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!lua_isyieldable(L))
    return luaL_error(L, "postern.all cannot wait inside a function that sort, gsub or a metamethod calls");
  lua_settop(L, 1);
  if (push_frozen_store(L, 1)) lua_replace(L, 1);
  push_sorted_keys(L, 1);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, 2));
  if (count > static_cast<lua_Integer>(kMaxTogether))
    return luaL_error(L, "more than %d functions at once", static_cast<int>(kMaxTogether));
  lua_newtable(L);
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, 2, i);
    if (lua_rawget(L, 1) != LUA_TFUNCTION)
      return luaL_error(L, "postern.all takes a table of functions, not of %s", luaL_typename(L, -1));
    lua_State* coroutine = lua_newthread(L);
    lua_insert(L, -2);
    lua_xmove(L, coroutine, 1);
    lua_rawseti(L, 3, i);
  }
  lua_newtable(L);
  lua_newtable(L);
  return run_all(L, LUA_OK, 0);
}

}  // namespace

void open_coroutines(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"create", create}, {"resume", bound<resume>}, {"wrap", wrap},
                                     {"yield", yield},   {"status", status},        {"isyieldable", is_yieldable},
                                     {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setglobal(L, "coroutine");
  push_postern(L);
  lua_pushcfunction(L, bound<all>);
  lua_setfield(L, -2, "all");
  lua_pop(L, 1);
}

}  // namespace postern::lua
