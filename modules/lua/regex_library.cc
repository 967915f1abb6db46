// postern.re: regular expressions of RE2, whose time is linear in the text whatever the pattern.
//
//   local ORDER = postern.re([[order\s+#(\d+)]], "i")       local number = ORDER:match(subject)
//
// What a search may cost is charged before it is made, from the length of the text and the size of the pattern's
// program: RE2 visits each octet once when its automaton fits into kMaxRegexMemory, else once for each instruction.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bind.h"
#include "libraries.h"
#include "objects.h"
#include "text_library.h"

namespace postern::lua {
namespace {

constexpr std::size_t kShownPattern = 60;       ///< octets of a wrong pattern in a message
constexpr std::int64_t kCompileSteps = 1'000;   ///< of any pattern
constexpr std::int64_t kSearchSteps = 12;       ///< of any search
constexpr std::int64_t kOctetsPerStep = 256;    ///< that the automaton looks at in the time of one step
constexpr std::int64_t kVisitsPerStep = 2'048;  ///< of instructions, should there be no automaton
constexpr std::int64_t kCapturesPerStep = 8;    ///< visits while captures are found, which has no automaton

struct RegexBox {
  static constexpr const char* kName = "re";
  std::unique_ptr<const RE2> re;
  std::int64_t program = 0;  ///< instructions
  bool utf8 = true;
  bool bounded = false;  ///< no match is longer than the program has instructions
};

using Groups = std::vector<re2::StringPiece>;

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view view(const re2::StringPiece& text) {
  return {text.data(), text.size()};
}

// ---- making ----

/// The letters of `flags` as options and as what must stand before the pattern.
RE2::Options options_of(lua_State* L, int index, std::string& prefix) {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(static_cast<std::int64_t>(kMaxRegexMemory));
  for (const char flag : lua_isnoneornil(L, index) ? std::string_view() : check_text(L, index)) switch (flag) {
      case 'i':
        options.set_case_sensitive(false);
        break;
      case 's':
        options.set_dot_nl(true);
        break;
      case 'm':
        prefix = "(?m)";
        break;
      case 'b':
        options.set_encoding(RE2::Options::EncodingLatin1);
        break;
      default:
        luaL_argerror(L, index, "flags are i (no case), s (dot takes line ends), m (^ and $ at lines), b (octets)");
    }
  return options;
}

[[noreturn]] void refuse(lua_State* L, std::string_view pattern, const std::string& why) {
  const std::string shown(pattern.substr(0, kShownPattern));
  const char* more = pattern.size() > kShownPattern ? "..." : "";
  luaL_error(L, "%s: '%s'%s", why.c_str(), shown.c_str(), more);
  std::unreachable();
}

/// postern.re(pattern [, flags])
int make_regex(lua_State* L) {
  luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "string");
  const std::string_view pattern = raw_text(L, 1);
  std::string text;
  const RE2::Options options = options_of(L, 2, text);
  if (pattern.size() > kMaxRegexText)
    refuse(L, pattern, fmt::format("the pattern is longer than {} octets", kMaxRegexText));
  ScriptState::charge(L, kCompileSteps + static_cast<std::int64_t>(pattern.size()) * 4);
  ScriptState::hold_memory(L, kMaxRegexMemory);
  text += pattern;
  RegexBox box{std::make_unique<const RE2>(text, options), 0, options.encoding() == RE2::Options::EncodingUTF8};
  if (!box.re->ok()) {
    const bool large = box.re->error_code() == RE2::ErrorPatternTooLarge;
    refuse(L, pattern,
           large ? fmt::format("the pattern needs more than {} KiB", kMaxRegexMemory >> 10)
                 : fmt::format("bad pattern ({})", box.re->error().substr(0, kShownPattern)));
  }
  if (box.re->NumberOfCapturingGroups() > kMaxRegexGroups)
    refuse(L, pattern, fmt::format("the pattern has more than {} captures", kMaxRegexGroups));
  box.bounded = pattern.find_first_of("*+") == pattern.npos && pattern.find(",}") == pattern.npos;
  box.program = std::max(box.re->ProgramSize(), box.re->ReverseProgramSize());
  ScriptState::charge(L, box.program / 4);
  push_box(L, std::move(box));
  return 1;
}

// ---- searching ----

/// One search from octet `at` on; with `groups`, their places. Counts what it may cost, when it may look at `unpaid`
/// octets that nobody has paid for.
bool search(lua_State* L, const RegexBox& box, std::string_view text, std::size_t at, Groups* groups,
            std::size_t unpaid) {
  const auto octets = static_cast<std::int64_t>(unpaid);
  ScriptState::charge(L, kSearchSteps + octets / kOctetsPerStep + octets * box.program / kVisitsPerStep);
  if (!box.re->Match(piece(text), at, text.size(), RE2::UNANCHORED, groups ? groups->data() : nullptr, groups ? 1 : 0))
    return false;
  if (!groups || groups->size() == 1) return true;
  // Where it matches is known; finding the captures in there takes much longer, and is paid for before.
  const auto begin = static_cast<std::size_t>(groups->front().data() - text.data());
  const std::size_t size = groups->front().size();
  ScriptState::charge(L, static_cast<std::int64_t>(size) * box.program / kCapturesPerStep);
  return box.re->Match(piece(text), begin, begin + size, RE2::ANCHOR_BOTH, groups->data(),
                       static_cast<int>(groups->size()));
}

Groups groups_of(const RegexBox& box) {
  return Groups(static_cast<std::size_t>(box.re->NumberOfCapturingGroups()) + 1);
}

/// A capture; false for a group that took no part in the match.
void push_group(lua_State* L, const re2::StringPiece& group) {
  if (group.data())
    push(L, view(group));
  else
    lua_pushboolean(L, 0);
}

/// The captures, or the whole match when the pattern has none.
int push_groups(lua_State* L, const Groups& groups, bool whole) {
  luaL_checkstack(L, static_cast<int>(groups.size()) + 1, "too many captures");
  if (groups.size() == 1) return whole ? (push_group(L, groups[0]), 1) : 0;
  for (std::size_t i = 1; i < groups.size(); ++i) push_group(L, groups[i]);
  return static_cast<int>(groups.size()) - 1;
}

/// A position as scripts give it (1 is the first, -1 the last) as an offset from 0.
std::size_t offset_of(lua_Integer position, std::size_t size) {
  if (position > 0) return static_cast<std::size_t>(position - 1);
  if (position == 0 || position < -static_cast<lua_Integer>(size)) return 0;
  return size - static_cast<std::size_t>(-position);
}

int regex_test(lua_State* L) {
  const RegexBox& box = check_box<RegexBox>(L, 1);
  const std::string_view text = check_text(L, 2);
  return lua_pushboolean(L, search(L, box, text, 0, nullptr, text.size())), 1;
}

int regex_match(lua_State* L) {
  const RegexBox& box = check_box<RegexBox>(L, 1);
  const std::string_view text = check_text(L, 2);
  Groups groups = groups_of(box);
  if (!search(L, box, text, 0, &groups, text.size())) return lua_pushnil(L), 1;
  return push_groups(L, groups, true);
}

/// find(text [, init]): first and last octet, then the captures.
int regex_find(lua_State* L) {
  const RegexBox& box = check_box<RegexBox>(L, 1);
  const std::string_view text = check_text(L, 2);
  const std::size_t start = offset_of(luaL_optinteger(L, 3, 1), text.size());
  Groups groups = groups_of(box);
  if (start > text.size() || !search(L, box, text, start, &groups, text.size() - start)) return lua_pushnil(L), 1;
  const auto begin = static_cast<lua_Integer>(groups[0].data() - text.data());
  lua_pushinteger(L, begin + 1);
  lua_pushinteger(L, begin + static_cast<lua_Integer>(groups[0].size()));
  return 2 + push_groups(L, groups, false);
}

// ---- gsub ----

/// A text of replacement: %0 to %9 are the match and its captures (%1 the match when there are none), %% is a %.
void replace_by_text(lua_State* L, luaL_Buffer* out, const Groups& groups, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      const std::size_t end = std::min(text.find('%', i), text.size());
      luaL_addlstring(out, text.data() + i, end - i);
      i = end - 1;
      continue;
    }
    const char what = ++i < text.size() ? text[i] : '\0';
    auto index = static_cast<std::size_t>(what - '0');
    if (what == '%') {
      luaL_addchar(out, '%');
      continue;
    }
    if (what == '1' && groups.size() == 1) index = 0;
    if (what < '0' || what > '9' || index >= groups.size()) luaL_error(L, "invalid use of '%%' in replacement string");
    luaL_addlstring(out, groups[index].data() ? groups[index].data() : "", groups[index].size());
  }
}

/// One replacement, appended to `out`; what replaces is at index 3.
void replace(lua_State* L, luaL_Buffer* out, const Groups& groups) {
  const int kind = lua_type(L, 3);
  if (kind == LUA_TSTRING) return replace_by_text(L, out, groups, raw_text(L, 3));
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, push_groups(L, groups, true), 1);
  } else {
    push_group(L, groups.size() == 1 ? groups[0] : groups[1]);
    lua_gettable(L, 3);
  }
  if (lua_isstring(L, -1)) return luaL_addvalue(out);
  if (lua_toboolean(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  lua_pop(L, 1);
  luaL_addlstring(out, groups[0].data(), groups[0].size());
}

/// Octets of the character at `at`: an empty match must not be looked for inside of one.
std::size_t character_size(const RegexBox& box, std::string_view text, std::size_t at) {
  std::size_t size = 1;
  if (box.utf8 && static_cast<unsigned char>(text[at]) >= 0xC0)
    while (size < 4 && at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xC0) == 0x80) ++size;
  return size;
}

/// gsub(text, replacement [, n]): the new text and how many matches were replaced.
int regex_gsub(lua_State* L) {
  const RegexBox& box = check_box<RegexBox>(L, 1);
  const std::string_view text = check_text(L, 2);
  if (lua_type(L, 3) == LUA_TNUMBER) check_text(L, 3);  // it is a string from here on
  const int kind = lua_type(L, 3);
  luaL_argexpected(L, kind == LUA_TSTRING || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3, "string/function/table");
  const lua_Integer limit = luaL_optinteger(L, 4, LUA_MAXINTEGER);
  lua_settop(L, 4);
  Groups groups = groups_of(box);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  lua_Integer count = 0;
  std::size_t at = 0;
  std::size_t last = text.npos;  ///< where the last match ended: an empty one may not follow right there
  // Behind a match of a bounded pattern the automaton stops soon, so that the text is paid for once; another pattern
  // may look at all the rest for each match.
  std::size_t unpaid = text.size();
  while (count < limit && at <= text.size() && search(L, box, text, at, &groups, unpaid)) {
    const auto begin = static_cast<std::size_t>(groups[0].data() - text.data());
    luaL_addlstring(&out, text.data() + at, begin - at);
    at = begin + groups[0].size();
    const std::size_t rest = text.size() - at;
    unpaid = box.bounded ? std::min(rest, static_cast<std::size_t>(box.program)) : rest;
    if (groups[0].empty() && begin == last) {
      if (at >= text.size()) break;
      const std::size_t size = character_size(box, text, at);
      luaL_addlstring(&out, text.data() + at, size);
      at += size;
      last = text.npos;
      continue;
    }
    ++count;
    replace(L, &out, groups);
    last = at;
  }
  if (at < text.size()) luaL_addlstring(&out, text.data() + at, text.size() - at);
  luaL_pushresult(&out);
  lua_pushinteger(L, count);
  return 2;
}

int regex_index(lua_State* L) {
  check_box<RegexBox>(L, 1);
  const std::string_view name = check_text(L, 2);
  if (name == "test") return lua_pushcfunction(L, bound<regex_test>), 1;
  if (name == "match") return lua_pushcfunction(L, bound<regex_match>), 1;
  if (name == "find") return lua_pushcfunction(L, bound<regex_find>), 1;
  if (name == "gsub") return lua_pushcfunction(L, bound<regex_gsub>), 1;
  return no_field(L, RegexBox::kName, name);
}

int regex_text(lua_State* L) {
  return push(L, check_box<RegexBox>(L, 1).re->pattern()), 1;
}

}  // namespace

void open_regexes(lua_State* L) {
  constexpr luaL_Reg kRegex[] = {
      {"__index", bound<regex_index>}, {"__tostring", bound<regex_text>}, {nullptr, nullptr}};
  define_box<RegexBox>(L, kRegex);
  push_postern(L);
  lua_pushcfunction(L, bound<make_regex>);
  lua_setfield(L, -2, "re");
  lua_pop(L, 1);
}

}  // namespace postern::lua
