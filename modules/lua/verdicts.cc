// Verdicts as scripts make them: postern.reject(550, "5.7.1", "text") and its like. They are values; a hook or an
// action returns one, a rule may hold one as its action.
#include <fmt/format.h>

#include "bind.h"
#include "libraries.h"
#include "objects.h"
#include "postern/config.h"
#include "postern/text.h"
#include "verdict_words.h"

namespace postern::lua {
namespace {

constexpr std::size_t kMaxReplyText = 400;  // octets; a reply line has 512 (RFC 5321 §4.5.3.1.5)

/// "5.7.1" of the class that `code` has (RFC 3463 §2).
bool is_enhanced(std::string_view text, int code) {
  const std::vector<std::string_view> parts = split(text, '.');
  return parts.size() == 3 && to_number<int>(parts[0]) == code / 100 && to_number<int>(parts[1], 0, 999) &&
         to_number<int>(parts[2], 0, 999);
}

/// (code, enhanced, text), where the enhanced code may be left out.
Reply check_reply(lua_State* L, int low, int high, const char* fallback) {
  Reply reply;
  const lua_Integer code = luaL_checkinteger(L, 1);
  if (code < low || code > high) luaL_argerror(L, 1, lua_pushfstring(L, "the code must be from %d to %d", low, high));
  reply.code = static_cast<int>(code);
  const bool short_form = lua_isnone(L, 3);
  reply.enhanced = short_form ? fallback : std::string(check_text(L, 2));
  if (short_form) reply.enhanced[0] = static_cast<char>('0' + reply.code / 100);
  if (!is_enhanced(reply.enhanced, reply.code))
    luaL_argerror(L, 2, lua_pushfstring(L, "an enhanced code such as \"%d.7.1\"", reply.code / 100));
  reply.text = check_text(L, short_form ? 2 : 3);
  if (reply.text.empty() || reply.text.size() > kMaxReplyText)
    luaL_argerror(L, short_form ? 2 : 3, "a text of 1 to 400 octets");
  return reply;
}

int push_verdict(lua_State* L, Verdict verdict) {
  push_box(L, VerdictBox{std::move(verdict)});
  return 1;
}

int reply_verdict(lua_State* L, Verdict::Kind kind, int low, int high, const char* fallback) {
  Verdict verdict;
  verdict.kind = kind;
  verdict.reply = check_reply(L, low, high, fallback);
  return push_verdict(L, std::move(verdict));
}

int reject(lua_State* L) {
  return reply_verdict(L, Verdict::Kind::kReject, 500, 599, "5.7.1");
}
int defer(lua_State* L) {
  return reply_verdict(L, Verdict::Kind::kDefer, 400, 499, "4.7.1");
}
int disconnect(lua_State* L) {
  return reply_verdict(L, Verdict::Kind::kDisconnect, 400, 599, "4.7.0");
}

int reason_verdict(lua_State* L, Verdict::Kind kind) {
  Verdict verdict;
  verdict.kind = kind;
  verdict.reason = check_text(L, 1);
  return push_verdict(L, std::move(verdict));
}
int discard(lua_State* L) {
  return reason_verdict(L, Verdict::Kind::kDiscard);
}
int quarantine(lua_State* L) {
  return reason_verdict(L, Verdict::Kind::kQuarantine);
}

int hold(lua_State* L) {
  constexpr lua_Integer kMaxSeconds = 30 * 86'400;
  Verdict verdict;
  verdict.kind = Verdict::Kind::kHold;
  if (lua_isinteger(L, 1)) {
    const lua_Integer seconds = lua_tointeger(L, 1);
    if (seconds < 0 || seconds > kMaxSeconds) return luaL_argerror(L, 1, "at most 30 days");
    verdict.hold = std::chrono::seconds(seconds);
  } else {
    const auto duration = parse_duration(check_text(L, 1));
    if (!duration || *duration > std::chrono::seconds(kMaxSeconds))
      return luaL_argerror(L, 1, "a duration such as \"10m\", at most 30 days");
    verdict.hold = *duration;
  }
  if (!lua_isnoneornil(L, 2)) verdict.reason = check_text(L, 2);
  return push_verdict(L, std::move(verdict));
}

/// `postern.accept` and `postern.accept()` are the same.
int call_verdict(lua_State* L) {
  if (check_box<VerdictBox>(L, 1).verdict.kind != Verdict::Kind::kAccept)
    return luaL_error(L, "this verdict is complete already");
  lua_settop(L, 1);
  return 1;
}

int verdict_text(lua_State* L) {
  const Verdict& verdict = check_box<VerdictBox>(L, 1).verdict;
  std::string text(verdict_word(verdict.kind));
  if (verdict.refuses())
    text += fmt::format(" {} {} {}", verdict.reply.code, verdict.reply.enhanced, verdict.reply.text);
  else if (!verdict.reason.empty())
    text += ": " + verdict.reason;
  push(L, text);
  return 1;
}

}  // namespace

std::string_view verdict_word(Verdict::Kind kind) {
  static constexpr std::string_view kWords[] = {"continue",   "accept",  "reject",     "defer",
                                                "disconnect", "discard", "quarantine", "hold"};
  return kWords[static_cast<std::size_t>(kind)];
}

void open_verdicts(lua_State* L) {
  constexpr luaL_Reg kVerdict[] = {{"__call", call_verdict}, {"__tostring", bound<verdict_text>}, {nullptr, nullptr}};
  define_box<VerdictBox>(L, kVerdict);
  constexpr luaL_Reg kMakers[] = {
      {"reject", bound<reject>},   {"defer", bound<defer>},           {"disconnect", bound<disconnect>},
      {"discard", bound<discard>}, {"quarantine", bound<quarantine>}, {"hold", bound<hold>},
      {nullptr, nullptr}};
  push_postern(L);
  luaL_setfuncs(L, kMakers, 0);
  Verdict accept;
  accept.kind = Verdict::Kind::kAccept;
  push_verdict(L, std::move(accept));
  lua_setfield(L, -2, "accept");
  lua_pop(L, 1);
}

}  // namespace postern::lua
