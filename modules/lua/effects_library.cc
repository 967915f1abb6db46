// The world as scripts may ask it: postern.dns, log, clock, random, counter; math.random and os are the same effects.
// http, sql, kv and directory are in http_library.cc and stores_library.cc.
//
// A question to the DNS yields the Lua coroutine that asks; Run (calls.cc) awaits the answer in C++ and resumes it. All
// others answer at once. Each is written to the trail by Effects.
#include <fmt/format.h>

#include <cmath>
#include <ctime>

#include "ask.h"
#include "bind.h"
#include "libraries.h"
#include "objects.h"
#include "state.h"

namespace postern::lua {
namespace {

/// After the answer has come: the answer, or nil and what went wrong. `place` is that of ask(): a coroutine that a
/// script resumed before or long after its wait finds the answers of another one, and must not take them.
int answered(lua_State* L, int, lua_KContext place) {
  Fiber& fiber = ScriptState::in_call(L, "dns");
  const auto wait = static_cast<std::uint64_t>(place) / kMaxTogether;
  const std::size_t index = static_cast<std::uint64_t>(place) % kMaxTogether;
  if (wait + 1 != fiber.waits || index >= fiber.answers.size())
    return luaL_error(L, "this coroutine waits for an answer that has not come");
  DnsAnswer& answer = fiber.answers[index];
  if (!answer.temporary()) {
    push_box(L, AnswerBox{std::move(answer)});
    return 1;
  }
  lua_pushnil(L);
  push(L, to_string(answer.status));
  return 2;
}

std::string question(lua_State* L, RecordType type) {
  if (type == RecordType::kPtr) {
    const IpBox* box = test_box<IpBox>(L, 1);
    const std::optional<IpAddress> ip = box ? box->ip : IpAddress::parse(check_text(L, 1));
    if (ip) return ip->reversed() + (ip->is_v6() ? ".ip6.arpa" : ".in-addr.arpa");
  }
  return std::string(check_text(L, 1));
}

int ask(lua_State* L, RecordType type) {
  Fiber& fiber = ScriptState::in_call(L, "dns");
  if (!lua_isyieldable(L))
    return luaL_error(
        L, "the DNS cannot be asked inside a function that is called by sort, gsub, recipients_where or a metamethod");
  if (fiber.requests.size() >= kMaxTogether)
    return luaL_error(L, "more than %d questions at once", static_cast<int>(kMaxTogether));
  ScriptState::charge(L, ScriptState::kAskSteps);
  std::string name = question(L, type);
  ScriptState::hold_memory(L, name.size());
  const auto place = static_cast<lua_KContext>(fiber.waits * kMaxTogether + fiber.requests.size());
  fiber.requests.push_back({std::move(name), type});
  return lua_yieldk(L, 0, place, bound_continuation<answered>);
}

template <RecordType Type>
int ask_for(lua_State* L) {
  return ask(L, Type);
}

template <int Level>
int log(lua_State* L) {
  static constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
  Fiber& fiber = ScriptState::in_call(L, "log");
  luaL_checkany(L, 1);
  const std::string_view text = push_text(L, 1);
  ScriptState::charge(L, static_cast<std::int64_t>(text.size()) / 16 + 50);
  fiber.call.effects->log(kLevels[Level], text.substr(0, 4096));
  return 0;
}

/// Seconds since 1970, with parts of them.
int clock_now(lua_State* L) {
  Fiber& fiber = ScriptState::in_call(L, "clock.now");
  lua_pushnumber(L, static_cast<double>(fiber.call.effects->clock().time_since_epoch().count()) / 1e6);
  return 1;
}

/// random() in [0, 1), random(n) in 1..n, random(m, n) in m..n.
int random(lua_State* L) {
  Fiber& fiber = ScriptState::in_call(L, "random");
  const int arguments = lua_gettop(L);
  if (arguments > 2) return luaL_error(L, "wrong number of arguments");
  if (arguments == 0) return lua_pushnumber(L, fiber.call.effects->random()), 1;
  const lua_Integer low = arguments == 1 ? 1 : luaL_checkinteger(L, 1);
  const lua_Integer high = luaL_checkinteger(L, arguments);
  luaL_argcheck(L, low <= high, arguments, "interval is empty");
  const auto span = static_cast<lua_Unsigned>(high) - static_cast<lua_Unsigned>(low);
  luaL_argcheck(L, span < (lua_Unsigned{1} << 53), arguments, "interval is too wide");
  const auto offset = static_cast<lua_Unsigned>(fiber.call.effects->random() * (static_cast<double>(span) + 1));
  lua_pushinteger(L, static_cast<lua_Integer>(static_cast<lua_Unsigned>(low) + std::min(offset, span)));
  return 1;
}

int counter(lua_State* L) {
  Fiber& fiber = ScriptState::in_call(L, "counter");
  const std::string_view name = check_text(L, 1);
  luaL_argcheck(L, !name.empty() && name.size() <= 64, 1, "a name of 1 to 64 octets");
  const lua_Integer by = luaL_optinteger(L, 2, 1);
  luaL_argcheck(L, by >= 0, 2, "a counter only grows");
  ScriptState::charge(L, 20);
  fiber.call.effects->count(name, by);
  return 0;
}

int time_field(lua_State* L, const char* name, int fallback) {
  lua_getfield(L, 1, name);
  const lua_Integer value = lua_isnil(L, -1) ? fallback : luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  if (fallback < 0 && value == fallback) luaL_error(L, "field '%s' missing in date table", name);
  if (value < -1'000'000 || value > 1'000'000) luaL_error(L, "field '%s' is out of bounds", name);
  return static_cast<int>(value);
}

/// Now, or the time of a date table; in UTC, since a server's mail has no local time.
int os_time(lua_State* L) {
  if (lua_isnoneornil(L, 1)) {
    Fiber& fiber = ScriptState::in_call(L, "os.time");
    lua_pushinteger(L,
                    std::chrono::floor<std::chrono::seconds>(fiber.call.effects->clock()).time_since_epoch().count());
    return 1;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  std::tm date{};
  date.tm_year = time_field(L, "year", -1) - 1900;
  date.tm_mon = time_field(L, "month", -1) - 1;
  date.tm_mday = time_field(L, "day", -1);
  date.tm_hour = time_field(L, "hour", 12);
  date.tm_min = time_field(L, "min", 0);
  date.tm_sec = time_field(L, "sec", 0);
  lua_pushinteger(L, timegm(&date));
  return 1;
}

void set_integer(lua_State* L, const char* name, int value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

/// os.date([format [, time]]) in UTC; "*t" gives a table.
int os_date(lua_State* L) {
  std::string_view format = lua_isnoneornil(L, 1) ? std::string_view("%Y-%m-%d %H:%M:%S") : check_text(L, 1);
  if (format.starts_with('!')) format.remove_prefix(1);
  std::time_t when = 0;
  if (lua_isnoneornil(L, 2))
    when = std::chrono::floor<std::chrono::seconds>(ScriptState::in_call(L, "os.date").call.effects->clock())
               .time_since_epoch()
               .count();
  else
    when = static_cast<std::time_t>(luaL_checkinteger(L, 2));
  std::tm date{};
  if (!gmtime_r(&when, &date)) return luaL_error(L, "this time has no date");
  if (format.starts_with("*t")) {
    lua_createtable(L, 0, 8);
    set_integer(L, "year", date.tm_year + 1900);
    set_integer(L, "month", date.tm_mon + 1);
    set_integer(L, "day", date.tm_mday);
    set_integer(L, "hour", date.tm_hour);
    set_integer(L, "min", date.tm_min);
    set_integer(L, "sec", date.tm_sec);
    set_integer(L, "wday", date.tm_wday + 1);
    set_integer(L, "yday", date.tm_yday + 1);
    return 1;
  }
  if (format.size() > 200 || format.find('\0') != format.npos) return luaL_argerror(L, 1, "too long");
  char text[1024];
  const std::string pattern(format);
  push(L, {text, std::strftime(text, sizeof text, pattern.c_str(), &date)});
  return 1;
}

}  // namespace

void open_effects(lua_State* L) {
  constexpr luaL_Reg kDns[] = {{"a", bound<ask_for<RecordType::kA>>},
                               {"aaaa", bound<ask_for<RecordType::kAaaa>>},
                               {"mx", bound<ask_for<RecordType::kMx>>},
                               {"txt", bound<ask_for<RecordType::kTxt>>},
                               {"ptr", bound<ask_for<RecordType::kPtr>>},
                               {"tlsa", bound<ask_for<RecordType::kTlsa>>},
                               {"srv", bound<ask_for<RecordType::kSrv>>},
                               {"ns", bound<ask_for<RecordType::kNs>>},
                               {"soa", bound<ask_for<RecordType::kSoa>>},
                               {"cname", bound<ask_for<RecordType::kCname>>},
                               {nullptr, nullptr}};
  constexpr luaL_Reg kLog[] = {{"debug", bound<log<0>>},
                               {"info", bound<log<1>>},
                               {"warn", bound<log<2>>},
                               {"error", bound<log<3>>},
                               {nullptr, nullptr}};
  constexpr luaL_Reg kClock[] = {{"now", bound<clock_now>}, {nullptr, nullptr}};
  constexpr luaL_Reg kOs[] = {{"time", bound<os_time>}, {"date", bound<os_date>}, {nullptr, nullptr}};
  push_postern(L);
  set_table(L, "dns", kDns);
  set_table(L, "log", kLog);
  set_table(L, "clock", kClock);
  lua_pushcfunction(L, bound<random>);
  lua_setfield(L, -2, "random");
  lua_pushcfunction(L, bound<counter>);
  lua_setfield(L, -2, "counter");
  lua_getglobal(L, "math");
  lua_pushcfunction(L, bound<random>);
  lua_setfield(L, -2, "random");
  lua_pushglobaltable(L);
  set_table(L, "os", kOs);
  lua_settop(L, 0);
  open_ask(L);
  open_http(L);
  open_stores(L);
}

}  // namespace postern::lua
