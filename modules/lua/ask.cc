#include "ask.h"

#include <cmath>

#include "bind.h"
#include "libraries.h"
#include "postern/schema.h"

namespace postern::lua {
namespace {

constexpr lua_Number kMaxSeconds = 10.0 * 365 * 24 * 3600;

/// Keeps a question on the stack of the function that waits for it.
struct QuestionBox {
  static constexpr const char* kName = "question";
  std::shared_ptr<Question> question;
};

int answered(lua_State* L, int, lua_KContext at) {
  const std::shared_ptr<Question> question = check_box<QuestionBox>(L, static_cast<int>(at)).question;
  question->check_answered(L);
  luaL_checkstack(L, 10, nullptr);
  return question->push_answer(L);
}

int secret(lua_State* L) {
  const std::string_view text = check_text(L, 1);
  ScriptState::hold_memory(L, text.size());
  push_box(L, SecretBox{std::string(text)});
  return 1;
}

int secret_text(lua_State* L) {
  return lua_pushliteral(L, "<secret>"), 1;
}

}  // namespace

int wait_for(lua_State* L, const char* what, std::shared_ptr<Question> question) {
  Fiber& fiber = ScriptState::in_call(L, what);
  if (!lua_isyieldable(L))
    return luaL_error(
        L, "%s cannot wait inside a function that is called by sort, gsub, recipients_where or a metamethod", what);
  if (fiber.requests.size() >= kMaxTogether)
    return luaL_error(L, "more than %d questions at once", static_cast<int>(kMaxTogether));
  ScriptState::charge(L, ScriptState::kAskSteps);
  push_box(L, QuestionBox{question});
  const int at = lua_gettop(L);
  fiber.requests.push_back({"", RecordType::kA, std::move(question)});
  return lua_yieldk(L, 0, at, bound_continuation<answered>);
}

int push_fault(lua_State* L, const Fault& fault) {
  lua_pushnil(L);
  push(L, fault.code);
  return 2;
}

std::optional<Duration> opt_duration(lua_State* L, int index) {
  if (lua_isnoneornil(L, index)) return std::nullopt;
  if (lua_type(L, index) == LUA_TNUMBER) {
    const lua_Number seconds = lua_tonumber(L, index);
    luaL_argcheck(L, seconds > 0 && seconds <= kMaxSeconds, index, "a duration above 0 and below ten years");
    return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
  }
  const auto duration = parse_duration(check_text(L, index));
  luaL_argcheck(L,
                duration && *duration >= std::chrono::milliseconds(1) &&
                    *duration <= std::chrono::seconds(static_cast<std::int64_t>(kMaxSeconds)),
                index, "seconds, or a text such as \"10m\"");
  return std::chrono::ceil<std::chrono::milliseconds>(*duration);
}

std::optional<Duration> duration_field(lua_State* L, int index, const char* name) {
  if (!lua_istable(L, index)) return std::nullopt;
  lua_getfield(L, index, name);
  const auto duration = opt_duration(L, lua_gettop(L));
  lua_pop(L, 1);
  return duration;
}

void open_ask(lua_State* L) {
  constexpr luaL_Reg kNone[] = {{nullptr, nullptr}};
  constexpr luaL_Reg kSecret[] = {{"__tostring", secret_text}, {nullptr, nullptr}};
  define_box<QuestionBox>(L, kNone);
  define_box<SecretBox>(L, kSecret);
  push_postern(L);
  lua_pushcfunction(L, bound<secret>);
  lua_setfield(L, -2, "secret");
  lua_settop(L, 0);
}

}  // namespace postern::lua
