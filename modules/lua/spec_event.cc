// t:event(stage, {...}): the hooks of the queue, called as the queue calls them, and what they made of it.
//
//   local r = t:event("route", { from = "a@x.example", to = "b@y.example", destination = "y.example" })
//   r:expect_route { gateway = "night.example.org:25" }
//
// `from`, `to`, `destination`, `host`, `size`, `attempts`, `accepted` and `next` are what the hooks find in `mail` and
// `event`; `gateway`, `tls` and `source` are the step's before a hook at route; `reply = { code, enhanced, text }` is
// what the other side said, at delivered, deferred and bounced. A hook that fails is no expectation that holds: its
// failure is shown.
#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "events.h"
#include "libraries.h"
#include "postern/text.h"
#include "spec_fields.h"

namespace postern::lua {
namespace {

struct EventResultBox {
  static constexpr const char* kName = "event's result";
  Stage stage{};
  SpecEventResult result;
};

constexpr std::string_view kOptions[] = {"gateway", "tls", "source"};

Stage stage_of(lua_State* L, int index) {
  static constexpr std::string_view kStages[] = {"queued", "route", "attempt", "delivered", "deferred", "bounced"};
  const std::string_view name = check_text(L, index);
  for (auto stage = Stage::kQueued; is_queue_stage(stage); stage = static_cast<Stage>(static_cast<int>(stage) + 1))
    if (to_string(stage) == name) return stage;
  bad_value(L, "event of the queue", name, kStages);
}

/// reply = { code = 421, enhanced = "4.4.2", text = "later" }; what the queue would have at this stage, else.
Reply read_reply(lua_State* L, int table, Stage stage) {
  static constexpr std::string_view kKeys[] = {"code", "enhanced", "text"};
  Reply reply;
  if (stage == Stage::kDelivered) reply = {250, "2.0.0", "accepted"};
  if (stage == Stage::kDeferred) reply = {451, "4.3.0", "try again later"};
  if (stage == Stage::kBounced) reply = {550, "5.0.0", "not accepted"};
  if (lua_getfield(L, table, "reply") == LUA_TTABLE) {
    const int at = lua_gettop(L);
    check_known_keys(L, at, kKeys, "reply");
    reply.code = static_cast<int>(number_field(L, at, "code", 200, 599, reply.code));
    reply.enhanced = text_field(L, at, "enhanced", reply.enhanced);
    reply.text = text_field(L, at, "text", reply.text);
  } else if (!lua_isnil(L, -1)) {
    luaL_error(L, "reply must be a table");
  }
  lua_pop(L, 1);
  return reply;
}

WallTime seconds_field(lua_State* L, int table, const char* key) {
  constexpr std::int64_t kMost = 400'000'000'000;
  return WallTime(std::chrono::seconds(number_field(L, table, key, 0, kMost, 0)));
}

SpecEvent read_event(lua_State* L, int table, Stage stage) {
  static constexpr std::string_view kKeys[] = {"from",     "to",   "destination", "host",    "size", "attempts",
                                               "accepted", "next", "reply",       "gateway", "tls",  "source"};
  check_known_keys(L, table, kKeys, "event");
  SpecEvent event;
  event.stage = stage;
  event.sender = text_field(L, table, "from");
  read_recipients(L, table, event.recipients);
  event.destination = text_field(L, table, "destination");
  event.host = text_field(L, table, "host");
  event.size = static_cast<std::uint64_t>(number_field(L, table, "size", 0, std::int64_t{1} << 50, 1000));
  event.attempts = static_cast<std::uint32_t>(number_field(L, table, "attempts", 0, 1'000'000, 0));
  if (const WallTime accepted = seconds_field(L, table, "accepted"); accepted != WallTime{}) event.accepted = accepted;
  event.next = seconds_field(L, table, "next");
  event.reply = read_reply(L, table, stage);
  for (const std::string_view name : kOptions) {
    std::string value = text_field(L, table, std::string(name).c_str());
    if (value.empty()) continue;
    if (stage != Stage::kRoute) luaL_error(L, "%s belongs to route", std::string(name).c_str());
    event.options.emplace(name, std::move(value));
  }
  if (event.destination.empty() && !event.recipients.empty()) {
    const std::string& first = event.recipients.front();
    event.destination = first.substr(first.rfind('@') + 1);
  }
  return event;
}

// ---- what came of it ------------------------------------------------------------------------------------------------

std::string options_text(const std::map<std::string, std::string>& options) {
  std::string out;
  for (const auto& [name, value] : options) out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", name, value);
  return out.empty() ? "no option" : out;
}

std::string seen(const EventResultBox& box) {
  const Verdict& verdict = box.result.verdict;
  std::string out;
  for (const std::string& failure : box.result.failures) out += "failed: " + failure + "; ";
  if (verdict.kind == Verdict::Kind::kHold)
    out += fmt::format("was held for {} s", std::chrono::duration_cast<std::chrono::seconds>(verdict.hold).count());
  else if (verdict.refuses())
    out += fmt::format("was put off with {} {} {}", verdict.reply.code, verdict.reply.enhanced, verdict.reply.text);
  else
    out += "goes on";
  if (box.stage == Stage::kRoute) out += " with " + options_text(box.result.options);
  return out;
}

/// The result again, so that expectations may be chained; raises where it does not hold, or where a hook failed.
int expect(lua_State* L, const EventResultBox& box, bool holds, std::string_view wanted) {
  if (!holds || !box.result.failures.empty())
    fail_expectation(L, box.result.story, to_string(box.stage), wanted, seen(box));
  lua_settop(L, 1);
  return 1;
}

/// r:expect_route { gateway =, tls =, source = }: exactly these, and no verdict.
int expect_route(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  check_known_keys(L, 2, kOptions, "route");
  std::map<std::string, std::string> wanted;
  for (const std::string_view name : kOptions)
    if (std::string value = text_field(L, 2, std::string(name).c_str()); !value.empty())
      wanted.emplace(name, std::move(value));
  return expect(L, box, !box.result.verdict.decided() && box.result.options == wanted,
                "the route " + options_text(wanted));
}

/// r:expect_deferred([code [, enhanced [, text]]])
int expect_deferred(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  const lua_Integer code = luaL_optinteger(L, 2, 0);
  const std::string enhanced = optional_text(L, 3), text = optional_text(L, 4);
  const Verdict& verdict = box.result.verdict;
  return expect(L, box, verdict.refuses() && fits_reply(verdict.reply, code, enhanced, text),
                "it to be put off" + wanted_reply(code, enhanced, text));
}

/// r:expect_held([seconds])
int expect_held(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  const lua_Integer seconds = luaL_optinteger(L, 2, -1);
  const Verdict& verdict = box.result.verdict;
  const bool holds =
      verdict.kind == Verdict::Kind::kHold && (seconds < 0 || verdict.hold == std::chrono::seconds(seconds));
  return expect(L, box, holds, seconds < 0 ? "it to be held" : fmt::format("it to be held for {} s", seconds));
}

/// r:expect_nothing(): the hooks ran well and say nothing.
int expect_nothing(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  return expect(L, box, !box.result.verdict.decided(), "hooks that say nothing");
}

/// r:expect_failure([text]): a hook failed, and the text stands in what it failed with.
int expect_failure(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  const std::string text = optional_text(L, 2);
  const bool holds = std::ranges::any_of(box.result.failures,
                                         [&](const std::string& one) { return one.find(text) != std::string::npos; });
  if (!holds)
    fail_expectation(L, box.result.story, to_string(box.stage),
                     text.empty() ? "a hook to fail" : "a hook to fail with \"" + text + "\"", seen(box));
  lua_settop(L, 1);
  return 1;
}

constexpr std::pair<std::string_view, lua_CFunction> kMethods[] = {{"expect_route", bound<expect_route>},
                                                                   {"expect_deferred", bound<expect_deferred>},
                                                                   {"expect_held", bound<expect_held>},
                                                                   {"expect_nothing", bound<expect_nothing>},
                                                                   {"expect_failure", bound<expect_failure>}};

int event_result_index(lua_State* L) {
  const auto& box = check_box<EventResultBox>(L, 1);
  const std::string_view name = check_text(L, 2);
  if (std::ranges::find(kOptions, name) != std::end(kOptions)) {
    const auto found = box.result.options.find(std::string(name));
    return found == box.result.options.end() ? lua_pushnil(L) : push(L, found->second), 1;
  }
  if (name == "story") return push(L, box.result.story), 1;
  std::vector<std::string_view> known{"gateway", "tls", "source", "story"};
  for (const auto& [method, function] : kMethods) {
    if (name == method) return lua_pushcfunction(L, function), 1;
    known.push_back(method);
  }
  bad_value(L, "part of an event's result", name, known);
}

int event_result_text(lua_State* L) {
  return push(L, seen(check_box<EventResultBox>(L, 1))), 1;
}

}  // namespace

int spec_event(lua_State* L) {
  SpecWorld& world = world_of(L);
  const Stage stage = stage_of(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  if (++SpecFile::of(L).mails > kMaxSpecMails) return luaL_error(L, "too many mails and events in one case");
  const SpecEvent event = read_event(L, 3, stage);
  Result<SpecEventResult> result = world.event(event);
  if (!result) return luaL_error(L, "%s", result.error().detail.c_str());
  push_box(L, EventResultBox{stage, std::move(*result)});
  return 1;
}

void open_spec_event(lua_State* L) {
  constexpr luaL_Reg kResult[] = {
      {"__index", bound<event_result_index>}, {"__tostring", bound<event_result_text>}, {nullptr, nullptr}};
  define_box<EventResultBox>(L, kResult);
}

}  // namespace postern::lua
