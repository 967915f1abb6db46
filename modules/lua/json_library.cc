// postern.json: decode, encode, null and array.
//
//   local value, err = postern.json.decode(text)          nil and why, when the text is no JSON
//   local text = postern.json.encode { ok = true, list = postern.json.array {} }
//
// Both are bounded by kMaxJsonText and kMaxJsonDepth. Arrays and objects are tables; an array that was decoded, or made
// by json.array(), says so, and is written as an array when it is empty as well. null is postern.json.null, which is
// true as a condition and equal to itself alone. Keys are written in sorted order. RFC: 8259.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bind.h"
#include "libraries.h"
#include "objects.h"
#include "text_library.h"

namespace postern::lua {
namespace {

struct JsonNull {
  static constexpr const char* kName = "json.null";
};
constexpr char kNullKey = 0;   // registry: the one JsonNull
constexpr char kArrayKey = 0;  // registry: the metatable of arrays
constexpr const char* kArrayMark = "__json_array";

void push_null(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kNullKey);
}

/// Makes the table at the top an array. After load the metatable may have been frozen with tables that scripts keep.
void mark_array(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kArrayKey);
  if (push_frozen_metatable(L, -1)) lua_remove(L, -2);
  lua_setmetatable(L, -2);
}

// ---- decode ----

/// Builds Lua values on the stack while the text is read, so that there is never a second copy of all of it. What Lua
/// raises passes through the parser, which holds nothing that would mind.
class Builder {
 public:
  explicit Builder(lua_State* L) : L_(L) {}

  bool null() { return push_null(L_), done(); }
  bool boolean(bool yes) { return lua_pushboolean(L_, yes), done(); }
  bool number_integer(std::int64_t number) { return lua_pushinteger(L_, number), done(); }
  bool number_unsigned(std::uint64_t number) {
    if (number <= static_cast<std::uint64_t>(LUA_MAXINTEGER)) return number_integer(static_cast<std::int64_t>(number));
    return lua_pushnumber(L_, static_cast<lua_Number>(number)), done();
  }
  bool number_float(double number, const std::string&) { return lua_pushnumber(L_, number), done(); }
  bool string(std::string& text) { return push(L_, text), done(); }
  bool binary(nlohmann::json::binary_t&) { return false; }  // not in a text
  bool start_object(std::size_t) { return start(false); }
  bool key(std::string& name) { return push(L_, name), true; }
  bool end_object() { return end(); }
  bool start_array(std::size_t) { return start(true); }
  bool end_array() { return end(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    error_ = fmt::format("not JSON (at octet {})", position);
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  struct Level {
    bool array = false;
    lua_Integer count = 0;
  };

  bool start(bool array) {
    if (levels_.size() >= kMaxJsonDepth) {
      error_ = fmt::format("nested deeper than {}", kMaxJsonDepth);
      return false;
    }
    luaL_checkstack(L_, 6, nullptr);
    lua_newtable(L_);
    if (array) mark_array(L_);
    levels_.push_back({array, 0});
    return true;
  }
  bool end() {
    levels_.pop_back();
    return done();
  }
  /// Puts the value at the top where it belongs; the outermost stays.
  bool done() {
    ScriptState::charge(L_, 2);
    if (levels_.empty()) return true;
    if (levels_.back().array)
      lua_rawseti(L_, -2, ++levels_.back().count);
    else
      lua_rawset(L_, -3);
    return true;
  }

  lua_State* L_;
  std::vector<Level> levels_;
  std::string error_;
};

int refuse(lua_State* L, int top, std::string_view why) {
  lua_settop(L, top);
  lua_pushnil(L);
  push(L, why);
  return 2;
}

/// decode(text): the value, or nil and why there is none.
int decode(lua_State* L) {
  luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "string");
  const std::string_view text = raw_text(L, 1);
  lua_settop(L, 1);
  if (text.size() > kMaxJsonText) return refuse(L, 1, fmt::format("more than {} MiB of JSON", kMaxJsonText >> 20));
  ScriptState::charge(L, static_cast<std::int64_t>(text.size()) / 16 + 20);
  luaL_checkstack(L, 6, nullptr);
  Builder builder(L);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return refuse(L, 1, builder.error());
  return 1;
}

// ---- encode ----

/// Writes Lua values as JSON. Recursive, not deeper than kMaxJsonDepth, which also ends tables that hold themselves.
class Writer {
 public:
  explicit Writer(lua_State* L) : L_(L) {}

  void value(int index, std::size_t depth) {
    ScriptState::charge(L_, 2);
    switch (lua_type(L_, index)) {
      case LUA_TNIL:
        return put("null");
      case LUA_TBOOLEAN:
        return put(lua_toboolean(L_, index) ? "true" : "false");
      case LUA_TNUMBER:
        return number(index);
      case LUA_TSTRING:
        return text(raw_text(L_, index));
      case LUA_TTABLE:
        return table(lua_absindex(L_, index), depth + 1);
      default:
        break;
    }
    luaL_checkstack(L_, 4, nullptr);
    if (test_box<JsonNull>(L_, index)) return put("null");
    if (const IpBox* ip = test_box<IpBox>(L_, index)) return text(ip->ip.to_string());
    luaL_error(L_, "a %s has no form in JSON", luaL_typename(L_, index));
  }

  const std::string& out() const { return out_; }

 private:
  void put(std::string_view piece) {
    if (piece.size() > kMaxJsonText - out_.size())
      luaL_error(L_, "more than %d MiB of JSON", static_cast<int>(kMaxJsonText >> 20));
    out_ += piece;
  }

  void number(int index) {
    char digits[32];
    std::to_chars_result end{};
    if (lua_isinteger(L_, index)) {
      end = std::to_chars(digits, std::end(digits), lua_tointeger(L_, index));
    } else {
      const lua_Number number = lua_tonumber(L_, index);
      if (!std::isfinite(number)) luaL_error(L_, "JSON has neither infinity nor NaN");
      end = std::to_chars(digits, std::end(digits), number);
    }
    put({digits, static_cast<std::size_t>(end.ptr - digits)});
  }

  /// What is not UTF-8 becomes U+FFFD: a mail's octets must not be able to fail the rule that reports them.
  void text(std::string_view from) {
    ScriptState::charge(L_, static_cast<std::int64_t>(from.size()) / 32);
    if (from.size() > kMaxJsonText) return put(from);  // says so
    put(nlohmann::json(from).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  void table(int index, std::size_t depth) {
    if (depth > kMaxJsonDepth)
      luaL_error(L_, "a table nested deeper than %d, or inside itself, has no form in JSON",
                 static_cast<int>(kMaxJsonDepth));
    luaL_checkstack(L_, 8, nullptr);
    const int top = lua_gettop(L_);
    const bool marked = luaL_getmetafield(L_, index, kArrayMark) != LUA_TNIL;
    lua_settop(L_, top);
    const bool frozen = push_frozen_store(L_, index);
    if (!frozen) lua_pushvalue(L_, index);
    const int store = lua_gettop(L_);
    if (marked || is_list(store))
      list(store, depth);
    else
      object(index, store, frozen, depth);
    lua_settop(L_, top);
  }

  /// Whether the keys are 1 to n; an empty table is none.
  bool is_list(int store) {
    const std::size_t length = lua_rawlen(L_, store);
    if (length == 0) return false;
    std::size_t keys = 0;
    for (lua_pushnil(L_); lua_next(L_, store); lua_pop(L_, 1)) ++keys;
    ScriptState::charge(L_, static_cast<std::int64_t>(keys));
    return keys == length;
  }

  void list(int store, std::size_t depth) {
    const auto length = static_cast<lua_Integer>(lua_rawlen(L_, store));
    put("[");
    for (lua_Integer i = 1; i <= length; ++i) {
      if (i > 1) put(",");
      lua_rawgeti(L_, store, i);
      value(-1, depth);
      lua_pop(L_, 1);
    }
    put("]");
  }

  void object(int index, int store, bool frozen, std::size_t depth) {
    if (!frozen || !push_frozen_keys(L_, index) || !lua_istable(L_, -1)) {
      lua_settop(L_, store);
      push_sorted_keys(L_, store);
    }
    const int keys = lua_gettop(L_);
    const auto count = static_cast<lua_Integer>(lua_rawlen(L_, keys));
    put("{");
    for (lua_Integer i = 1; i <= count; ++i) {
      if (lua_rawgeti(L_, keys, i) != LUA_TSTRING)
        luaL_error(L_, "keys of a JSON object are strings; this table is neither an object nor a list");
      if (i > 1) put(",");
      text(raw_text(L_, -1));
      put(":");
      lua_rawget(L_, store);
      value(-1, depth);
      lua_pop(L_, 1);
    }
    put("}");
  }

  lua_State* L_;
  std::string out_;
};

/// encode(value)
int encode(lua_State* L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  Writer writer(L);
  writer.value(1, 0);
  push(L, writer.out());
  return 1;
}

/// array([table]): the table, marked as an array.
int array(lua_State* L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getmetatable(L, 1)) {
    if (luaL_getmetafield(L, 1, kArrayMark) != LUA_TNIL) return lua_settop(L, 1), 1;
    return luaL_error(L, "a table that is frozen or has a metatable cannot become an array");
  }
  mark_array(L);
  return 1;
}

int null_text(lua_State* L) {
  return lua_pushliteral(L, "null"), 1;
}

}  // namespace

void open_json(lua_State* L) {
  constexpr luaL_Reg kNull[] = {{"__tostring", null_text}, {nullptr, nullptr}};
  constexpr luaL_Reg kFunctions[] = {
      {"decode", bound<decode>}, {"encode", bound<encode>}, {"array", array}, {nullptr, nullptr}};
  define_box<JsonNull>(L, kNull);
  lua_newtable(L);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, kArrayMark);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");  // it is shared by all arrays, so no script may have it
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kArrayKey);
  push_postern(L);
  lua_newtable(L);
  luaL_setfuncs(L, kFunctions, 0);
  push_box(L, JsonNull{});
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kNullKey);
  lua_setfield(L, -2, "null");
  lua_setfield(L, -2, "json");
  lua_pop(L, 1);
}

}  // namespace postern::lua
