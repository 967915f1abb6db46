// string.format: Lua's, without %p and without addresses of objects.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "bind.h"
#include "libraries.h"
#include "state.h"

namespace postern::lua {

int format_string(lua_State* L);

namespace {

constexpr std::size_t kMaxSpecification = 20;  // "%-+ #0" and two numbers of two digits

/// The specification that begins at `at` (behind '%'), checked; `at` moves to its letter.
std::string_view specification(lua_State* L, std::string_view format, std::size_t& at) {
  const std::size_t begin = at;
  while (at < format.size() && std::strchr("-+ #0", format[at]) && format[at] != '\0' && at - begin < 5) ++at;
  for (const bool precision : {false, true}) {
    if (precision) {
      if (at >= format.size() || format[at] != '.') break;
      ++at;
    }
    for (int digits = 0; digits < 2 && at < format.size() && format[at] >= '0' && format[at] <= '9'; ++digits) ++at;
  }
  if (at >= format.size() || (format[at] >= '0' && format[at] <= '9'))
    luaL_error(L, "invalid conversion in format string");
  return format.substr(begin, at - begin);
}

/// A string as Lua source.
void add_quoted(luaL_Buffer* out, std::string_view text) {
  luaL_addchar(out, '"');
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\' || c == '\n') {
      luaL_addchar(out, '\\');
      luaL_addchar(out, static_cast<char>(c));
    } else if (c < 0x20 || c == 0x7f) {
      char escaped[8];
      const bool digit = i + 1 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '9';
      std::snprintf(escaped, sizeof escaped, digit ? "\\%03d" : "\\%d", c);
      luaL_addstring(out, escaped);
    } else {
      luaL_addchar(out, static_cast<char>(c));
    }
  }
  luaL_addchar(out, '"');
}

template <class T>
void add_number(luaL_Buffer* out, std::string_view flags, const char* length, char letter, T value) {
  char pattern[kMaxSpecification + 8];
  std::snprintf(pattern, sizeof pattern, "%%%.*s%s%c", static_cast<int>(flags.size()), flags.data(), length, letter);
  char text[512];  // %99.99f of the largest double has 308 + 1 + 99 characters
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
  const int size = std::snprintf(text, sizeof text, pattern, value);
#pragma clang diagnostic pop
  if (size > 0) luaL_addlstring(out, text, std::min(static_cast<std::size_t>(size), sizeof text - 1));
}

/// The number of at most two digits at the start of `text`, which is taken off.
std::size_t take_number(std::string_view& text) {
  std::size_t number = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1))
    number = number * 10 + static_cast<std::size_t>(text.front() - '0');
  return number;
}

void add_text(lua_State* L, luaL_Buffer* out, std::string_view flags, int argument) {
  push_text(L, argument);
  if (flags.empty()) return luaL_addvalue(out);
  const std::string text(raw_text(L, -1));
  lua_pop(L, 1);
  const bool left = flags.starts_with('-');
  if (left) flags.remove_prefix(1);
  if (flags.find_first_of("-+ #") != flags.npos || flags.starts_with('0'))
    luaL_error(L, "invalid conversion in format string");
  const std::size_t width = take_number(flags);
  std::size_t precision = text.size();
  if (flags.starts_with('.')) {
    flags.remove_prefix(1);
    precision = take_number(flags);
  }
  const std::string_view shown = std::string_view(text).substr(0, precision);
  const std::string padding(width > shown.size() ? width - shown.size() : 0, ' ');
  if (!left) luaL_addlstring(out, padding.data(), padding.size());
  luaL_addlstring(out, shown.data(), shown.size());
  if (left) luaL_addlstring(out, padding.data(), padding.size());
}

void add_literal(lua_State* L, luaL_Buffer* out, int argument) {
  switch (lua_type(L, argument)) {
    case LUA_TSTRING:
      return add_quoted(out, raw_text(L, argument));
    case LUA_TNUMBER:
    case LUA_TNIL:
    case LUA_TBOOLEAN:
      luaL_tolstring(L, argument, nullptr);
      return luaL_addvalue(out);
    default:
      luaL_argerror(L, argument, "value has no literal form");
  }
}

}  // namespace

int format_string(lua_State* L) {
  const std::string_view format = check_text(L, 1);
  const int top = lua_gettop(L);
  ScriptState::charge(L, static_cast<std::int64_t>(format.size() / 16) + 1);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  int argument = 1;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      luaL_addchar(&out, format[at]);
      continue;
    }
    if (++at < format.size() && format[at] == '%') {
      luaL_addchar(&out, '%');
      continue;
    }
    const std::string_view flags = specification(L, format, at);
    if (++argument > top) return luaL_argerror(L, argument, "no value");
    switch (const char letter = format[at]) {
      case 'c':
        luaL_addchar(&out, static_cast<char>(luaL_checkinteger(L, argument)));
        break;
      case 'd':
      case 'i':
        add_number(&out, flags, "ll", letter, static_cast<long long>(luaL_checkinteger(L, argument)));
        break;
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        add_number(&out, flags, "ll", letter, static_cast<unsigned long long>(luaL_checkinteger(L, argument)));
        break;
      case 'a':
      case 'A':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        add_number(&out, flags, "", letter, luaL_checknumber(L, argument));
        break;
      case 's':
        add_text(L, &out, flags, argument);
        break;
      case 'q':
        add_literal(L, &out, argument);
        break;
      default:
        return luaL_error(L, "invalid conversion '%%%c' to 'format'", letter);
    }
  }
  luaL_pushresult(&out);
  return 1;
}

}  // namespace postern::lua
