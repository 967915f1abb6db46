// event: what the queue tells hooks from queued to bounced, and what a hook at route may change.
//
// The options of the step (gateway, tls, source) are checked by the declaration of act.relay itself, so that a hook
// can set nothing that a pipeline could not say.
#include "events.h"

#include <fmt/format.h>

#include <algorithm>

#include "api.h"
#include "bind.h"
#include "objects.h"
#include "postern/queue_event.h"
#include "verdict_words.h"

namespace postern::lua {
namespace {

constexpr std::string_view kOptions[] = {"gateway", "tls", "source"};
constexpr std::size_t kMaxOption = 255;  // octets

bool is_option(std::string_view name) {
  return std::ranges::find(kOptions, name) != std::end(kOptions);
}

QueueEvent& event_of(lua_State* L) {
  return *check_box<EventHandle>(L, 1).call(L).event;
}

/// Those that the event is about; not all of the message.
int push_event_recipients(lua_State* L, const Handle& handle) {
  const QueueEvent& event = *handle.call(L).event;
  ScriptState::charge(L, static_cast<std::int64_t>(event.recipients.size()) + 1);
  lua_createtable(L, static_cast<int>(std::min<std::size_t>(event.recipients.size(), 1 << 20)), 0);
  lua_Integer at = 0;
  for (const std::uint32_t index : event.recipients) {
    push_box(L, RecipientHandle{handle, index});
    lua_rawseti(L, -2, ++at);
  }
  return 1;
}

/// What the other side said; nothing before it was asked.
int push_reply(lua_State* L, const QueueEvent& event) {
  if (event.stage != Stage::kDelivered && event.stage != Stage::kDeferred && event.stage != Stage::kBounced)
    return lua_pushnil(L), 1;
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, event.reply.code);
  lua_setfield(L, -2, "code");
  push(L, event.reply.enhanced);
  lua_setfield(L, -2, "enhanced");
  push(L, event.reply.text);
  lua_setfield(L, -2, "text");
  return 1;
}

int event_index(lua_State* L) {
  const auto& handle = check_box<EventHandle>(L, 1);
  const QueueEvent& event = *handle.call(L).event;
  const std::string_view name = check_text(L, 2);
  check_member(L, EventHandle::kName, name);
  if (name == "stage") return push(L, to_string(event.stage)), 1;
  if (name == "id") return push(L, event.id.to_string()), 1;
  if (name == "recipients") return push_event_recipients(L, handle);
  if (name == "destination") return push_text_or_nil(L, event.destination);
  if (name == "host") return push_text_or_nil(L, event.host);
  if (name == "reply") return push_reply(L, event);
  if (name == "attempts") return lua_pushinteger(L, event.attempts), 1;
  if (name == "accepted") return push_seconds(L, event.accepted);
  if (name == "next") return push_seconds(L, event.next);
  if (is_option(name)) {
    const auto option = event.options.find(std::string(name));
    return push_text_or_nil(L, option == event.options.end() ? std::string_view() : option->second);
  }
  return no_field(L, EventHandle::kName, name);
}

/// What the declaration of act.relay says about one option; empty: nothing is wrong with it.
std::string complaint(const ScriptState& state, const std::string& name, const std::string& value) {
  if (value.empty() || value.size() > kMaxOption) return fmt::format("event.{} has 1 to {} octets", name, kMaxOption);
  if (std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return fmt::format("event.{} is printable ASCII without blanks", name);
  if (!state.relay()) return {};
  ScriptValue::Map map;
  map.emplace(name, ScriptValue{value, {}});
  const auto made = state.relay()->make(ScriptValue{std::move(map), {}});
  return made ? std::string() : "event." + made.error().detail;
}

int event_set(lua_State* L) {
  QueueEvent& event = event_of(L);
  const std::string name(check_text(L, 2));
  if (!is_option(name))
    return luaL_error(L, "event.%s cannot be set; a hook at route sets gateway, tls and source", name.c_str());
  if (event.stage != Stage::kRoute)
    return luaL_error(L, "event.%s can be set by a hook at route, not at %s", name.c_str(),
                      std::string(to_string(event.stage)).c_str());
  ScriptState::charge(L, 100);
  if (lua_isnil(L, 3)) {
    event.options.erase(name);
    return 0;
  }
  if (lua_type(L, 3) != LUA_TSTRING)
    return luaL_error(L, "event.%s is a string or nil, not %s", name.c_str(), luaL_typename(L, 3));
  std::string value(raw_text(L, 3));
  if (const std::string why = complaint(ScriptState::of(L), name, value); !why.empty())
    return luaL_error(L, "%s", why.c_str());
  event.options.insert_or_assign(name, std::move(value));
  return 0;
}

}  // namespace

bool is_queue_stage(Stage stage) {
  return stage >= Stage::kQueued && stage <= Stage::kBounced;
}

std::optional<Fault> wrong_queue_verdict(Stage stage, const Verdict& verdict) {
  using Kind = Verdict::Kind;
  if (!verdict.decided()) return std::nullopt;
  if (stage != Stage::kAttempt)
    return Fault{"script.result",
                 fmt::format("a hook at {} returns nothing, not {}{}", to_string(stage), verdict_word(verdict.kind),
                             stage == Stage::kRoute ? "; it sets event.gateway, event.tls or event.source"
                                                    : ": what happened has happened")};
  if (verdict.kind == Kind::kDefer || verdict.kind == Kind::kHold) return std::nullopt;
  return Fault{"script.result",
               fmt::format("a hook at attempt returns nothing, defer or hold, not {}", verdict_word(verdict.kind))};
}

void open_events(lua_State* L) {
  constexpr luaL_Reg kEvent[] = {{"__index", bound<event_index>}, {"__newindex", bound<event_set>}, {nullptr, nullptr}};
  define_box<EventHandle>(L, kEvent);
}

}  // namespace postern::lua
