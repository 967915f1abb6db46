// The string library: pattern functions, rep and format are ours and count their steps; the rest is linear and Lua's
// own.
#include <algorithm>
#include <cstring>

#include "bind.h"
#include "libraries.h"
#include "pattern.h"
#include "state.h"

namespace postern::lua {

int format_string(lua_State* L);  // format.cc

namespace {

constexpr std::int64_t kPatternSteps = 6;  // of any search

/// Steps of one pattern function: taken off the call's when it ends.
class Budget {
 public:
  explicit Budget(lua_State* L) : L_(L), given_(ScriptState::steps_left(L)), left_(given_) {}
  std::int64_t& left() { return left_; }
  /// Charges what was used; raises when it was too much, or the pattern is wrong.
  void settle(const Pattern& pattern) {
    const std::int64_t used = given_ - left_;
    given_ = left_;
    ScriptState::charge(L_, pattern.fault() == PatternFault::kSteps ? LUA_MAXINTEGER : kPatternSteps + used / 4);
    if (pattern.fault() == PatternFault::kDepth) luaL_error(L_, "pattern too complex");
    if (pattern.fault() == PatternFault::kMalformed) luaL_error(L_, "%s", pattern.what());
  }

 private:
  lua_State* L_;
  std::int64_t given_;
  std::int64_t left_;
};

/// A position as scripts give it (1 is the first, -1 the last) as an offset from 0.
std::size_t offset_of(lua_Integer position, std::size_t size) {
  if (position > 0) return static_cast<std::size_t>(position - 1);
  if (position == 0 || position < -static_cast<lua_Integer>(size)) return 0;
  return size - static_cast<std::size_t>(-position);
}

void push_capture(lua_State* L, const Pattern& pattern, std::string_view subject, std::size_t index) {
  const Pattern::Capture& capture = pattern.capture(index);
  if (capture.length == Pattern::Capture::kPosition)
    lua_pushinteger(L, static_cast<lua_Integer>(capture.begin + 1));
  else
    push(L, subject.substr(capture.begin, capture.length));
}

/// The captures, or the whole match when there are none.
int push_captures(lua_State* L, const Pattern& pattern, std::string_view subject, std::size_t begin, bool whole) {
  luaL_checkstack(L, static_cast<int>(pattern.captures()) + 1, "too many captures");
  if (pattern.captures() == 0) {
    if (!whole) return 0;
    push(L, subject.substr(begin, pattern.end() - begin));
    return 1;
  }
  for (std::size_t i = 0; i < pattern.captures(); ++i) push_capture(L, pattern, subject, i);
  return static_cast<int>(pattern.captures());
}

int find_or_match(lua_State* L, bool find) {
  const std::string_view subject = check_text(L, 1);
  const std::string_view wanted = check_text(L, 2);
  const std::size_t start = offset_of(luaL_optinteger(L, 3, 1), subject.size());
  if (start > subject.size()) return lua_pushnil(L), 1;
  if (find && (lua_toboolean(L, 4) || wanted.find_first_of("^$*+?.([%-") == wanted.npos)) {
    ScriptState::charge(L, static_cast<std::int64_t>((subject.size() - start) / 32 + 1));
    // Linear in both: string_view::find would compare a long text of which only the end differs at each place.
    const void* place = ::memmem(subject.data() + start, subject.size() - start, wanted.data(), wanted.size());
    if (!place) return lua_pushnil(L), 1;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(place) - subject.data());
    lua_pushinteger(L, static_cast<lua_Integer>(at + 1));
    lua_pushinteger(L, static_cast<lua_Integer>(at + wanted.size()));
    return 2;
  }
  Budget budget(L);
  Pattern pattern(wanted, subject, budget.left());
  std::size_t begin = 0;
  const bool found = pattern.find(start, begin);
  budget.settle(pattern);
  if (!found) return lua_pushnil(L), 1;
  if (!find) return push_captures(L, pattern, subject, begin, true);
  lua_pushinteger(L, static_cast<lua_Integer>(begin + 1));
  lua_pushinteger(L, static_cast<lua_Integer>(pattern.end()));
  return 2 + push_captures(L, pattern, subject, begin, false);
}

int find(lua_State* L) {
  return find_or_match(L, true);
}
int match(lua_State* L) {
  return find_or_match(L, false);
}

/// Upvalues: subject, pattern, where to go on, where the last match ended (so that an empty one does not repeat it).
int gmatch_step(lua_State* L) {
  const std::string_view subject = raw_text(L, lua_upvalueindex(1));
  const std::string_view wanted = raw_text(L, lua_upvalueindex(2));
  const lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
  Budget budget(L);
  Pattern pattern(wanted, subject, budget.left());
  for (auto at = static_cast<std::size_t>(lua_tointeger(L, lua_upvalueindex(3))); at <= subject.size(); ++at) {
    const bool found = pattern.match_at(at) && static_cast<lua_Integer>(pattern.end()) != last;
    if (pattern.fault() != PatternFault::kNone) break;
    if (!found) continue;
    budget.settle(pattern);
    lua_pushinteger(L, static_cast<lua_Integer>(pattern.end()));
    lua_copy(L, -1, lua_upvalueindex(3));
    lua_replace(L, lua_upvalueindex(4));
    return push_captures(L, pattern, subject, at, true);
  }
  budget.settle(pattern);
  return 0;
}

int gmatch(lua_State* L) {
  const std::string_view subject = check_text(L, 1);
  check_text(L, 2);
  const std::size_t start = offset_of(luaL_optinteger(L, 3, 1), subject.size());
  lua_settop(L, 2);
  lua_pushinteger(L, static_cast<lua_Integer>(std::min(start, subject.size() + 1)));
  lua_pushinteger(L, -1);
  lua_pushcclosure(L, bound<gmatch_step>, 4);
  return 1;
}

/// One replacement of gsub, appended to `out`. `replacement` is at index 3.
void replace(lua_State* L, luaL_Buffer* out, const Pattern& pattern, std::string_view subject, std::size_t begin) {
  const std::string_view whole = subject.substr(begin, pattern.end() - begin);
  switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
      lua_pushvalue(L, 3);
      lua_call(L, push_captures(L, pattern, subject, begin, true), 1);
      break;
    case LUA_TTABLE:
      if (pattern.captures() == 0)
        push(L, whole);
      else
        push_capture(L, pattern, subject, 0);
      lua_gettable(L, 3);
      break;
    default: {
      const std::string_view text = raw_text(L, 3);
      for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
          luaL_addchar(out, text[i]);
          continue;
        }
        const char what = ++i < text.size() ? text[i] : '\0';
        const auto index = static_cast<std::size_t>(what - '1');
        if (what == '%')
          luaL_addchar(out, '%');
        else if (what == '0' || (what == '1' && pattern.captures() == 0))
          luaL_addlstring(out, whole.data(), whole.size());
        else if (what >= '1' && what <= '9' && index < pattern.captures()) {
          push_capture(L, pattern, subject, index);
          luaL_addvalue(out);
        } else {
          luaL_error(L, "invalid use of '%%' in replacement string");
        }
      }
      return;
    }
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(out, whole.data(), whole.size());
  } else if (lua_isstring(L, -1)) {
    luaL_addvalue(out);
  } else {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
}

int gsub(lua_State* L) {
  const std::string_view subject = check_text(L, 1);
  const std::string_view wanted = check_text(L, 2);
  const int kind = lua_type(L, 3);
  luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3,
                   "string/function/table");
  if (kind == LUA_TNUMBER) check_text(L, 3);
  const lua_Integer limit = luaL_optinteger(L, 4, static_cast<lua_Integer>(subject.size() + 1));
  lua_settop(L, 4);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  lua_Integer count = 0;
  std::size_t at = 0;
  std::size_t last = ~std::size_t{0};
  while (count < limit) {
    Budget budget(L);
    Pattern pattern(wanted, subject, budget.left());
    std::size_t begin = at;
    const bool found = pattern.find(at, begin);
    budget.settle(pattern);
    if (!found) break;
    luaL_addlstring(&out, subject.data() + at, begin - at);
    at = begin;
    if (pattern.end() != last) {
      ++count;
      replace(L, &out, pattern, subject, begin);
      at = last = pattern.end();
    } else if (at < subject.size()) {  // an empty match where the last one ended
      luaL_addchar(&out, subject[at]);
      ++at;
    } else {
      break;
    }
    if (pattern.anchored()) break;
  }
  if (at < subject.size()) luaL_addlstring(&out, subject.data() + at, subject.size() - at);
  luaL_pushresult(&out);
  lua_pushinteger(L, count);
  return 2;
}

int rep(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  const lua_Integer count = luaL_checkinteger(L, 2);
  const std::string_view separator = lua_isnoneornil(L, 3) ? std::string_view() : check_text(L, 3);
  const std::size_t unit = text.size() + separator.size();
  if (count <= 0 || unit == 0) return lua_pushliteral(L, ""), 1;
  constexpr std::size_t kMaxSize = std::size_t{1} << 40;
  if (static_cast<std::size_t>(count) > kMaxSize / unit) return luaL_error(L, "resulting string too large");
  const std::size_t size = static_cast<std::size_t>(count) * unit - separator.size();
  luaL_Buffer out;
  char* to = luaL_buffinitsize(L, &out, size);  // what is too much for the call's memory ends here
  ScriptState::charge(L, static_cast<std::int64_t>(size / 256));
  // What is there is doubled until it is all: short texts are not copied one by one.
  std::size_t done = std::min(unit, size);
  std::ranges::copy(separator.substr(0, done - text.size()), std::ranges::copy(text, to).out);
  for (; done < size; done += std::min(done, size - done)) std::copy_n(to, std::min(done, size - done), to + done);
  luaL_pushresultsize(&out, size);
  return 1;
}

}  // namespace

void open_strings(lua_State* L) {
  constexpr luaL_Reg kOurs[] = {{"find", bound<find>}, {"match", bound<match>}, {"gmatch", gmatch},
                                {"gsub", bound<gsub>}, {"rep", bound<rep>},     {"format", bound<format_string>},
                                {nullptr, nullptr}};
  luaL_requiref(L, "string", luaopen_string, 0);  // also gives strings their metatable
  lua_newtable(L);
  for (const char* name : {"byte", "char", "len", "lower", "reverse", "sub", "upper"}) {
    lua_getfield(L, -2, name);
    lua_setfield(L, -2, name);
  }
  luaL_setfuncs(L, kOurs, 0);
  lua_pushliteral(L, "");
  lua_getmetatable(L, -1);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
  lua_setglobal(L, "string");
  lua_pop(L, 1);
}

}  // namespace postern::lua
