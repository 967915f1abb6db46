// What t:mail{...} gives: the outcomes of a mail, and what a case expects of them.
//
// An expectation is about every recipient of the mail, or about one after r:to(address). What does not hold is an error
// with what was expected, what was seen, and the steps of the mail's trail.
#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "libraries.h"
#include "postern/message.h"
#include "postern/text.h"
#include "spec_fields.h"

namespace postern::lua {
namespace {

using Box = SpecResultBox;

Box& box_of(lua_State* L) {
  return check_box<Box>(L, 1);
}

std::string options_text(const std::map<std::string, std::string>& options) {
  std::string out;
  for (const auto& [key, value] : options) out += fmt::format(" {}={}", key, value);
  return out;
}

std::string reply_text(const Reply& reply) {
  return fmt::format("{}{}{} {}", reply.code, reply.enhanced.empty() ? "" : " ", reply.enhanced, reply.text);
}

/// "was refused at rcpt with 550 5.7.1 listed"
std::string seen(const SpecOutcome& one) {
  const std::string by = one.rule.empty() ? "" : fmt::format(", by {}", one.rule);
  if (!one.reply.positive())
    return fmt::format("was refused at {} with {}{}", to_string(one.stage), reply_text(one.reply), by);
  if (one.action == "deliver") return fmt::format("was delivered to {} in {}{}", one.account, one.folder, by);
  if (one.action == "relay") return fmt::format("was relayed{}{}", options_text(one.options), by);
  if (one.action == "discard") return fmt::format("was discarded ({}){}", one.reason, by);
  if (one.action == "quarantine") return fmt::format("was put in quarantine ({}){}", one.reason, by);
  if (one.action == "bounce") return fmt::format("was accepted, then bounced with{}{}", options_text(one.options), by);
  return fmt::format("came to \"{}\" at {}{}", one.action, to_string(one.stage), by);
}

/// Every chosen outcome must satisfy `holds`.
template <class Test>
int expect(lua_State* L, std::string_view expected, const Test& holds) {
  const Box& box = box_of(L);
  if (box.chosen.empty()) return luaL_error(L, "the mail has no recipient");
  for (const std::size_t at : box.chosen) {
    const SpecOutcome& one = box.result->outcomes[at];
    if (!holds(one)) fail_expectation(L, box.result->story, one.recipient, expected, seen(one));
  }
  lua_settop(L, 1);
  return 1;  // the result again, so that expectations may be chained
}

/// r:expect_refused([code [, enhanced [, text]]])
int expect_refused(lua_State* L) {
  const lua_Integer code = luaL_optinteger(L, 2, 0);
  const std::string enhanced = optional_text(L, 3), text = optional_text(L, 4);
  return expect(L, "a refusal" + wanted_reply(code, enhanced, text), [&](const SpecOutcome& one) {
    return !one.reply.positive() && fits_reply(one.reply, code, enhanced, text);
  });
}

int expect_accepted(lua_State* L) {
  return expect(L, "it to be accepted", [](const SpecOutcome& one) { return one.reply.positive(); });
}

/// r:expect_delivered([account [, folder]])
int expect_delivered(lua_State* L) {
  const std::string account = optional_text(L, 2), folder = optional_text(L, 3);
  std::string wanted = "delivery";
  if (!account.empty()) wanted += " to " + account;
  if (!folder.empty()) wanted += " in " + folder;
  return expect(L, wanted, [&](const SpecOutcome& one) {
    return one.action == "deliver" && (account.empty() || one.account == account) &&
           (folder.empty() || one.folder == folder);
  });
}

/// The options that a table names, all of them texts.
std::map<std::string, std::string> options_at(lua_State* L, int index) {
  std::map<std::string, std::string> out;
  if (lua_isnoneornil(L, index)) return out;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_argerror(L, index, "names of options, such as { gateway = \"...\" }");
    const std::string key(raw_text(L, -2));
    out[key] = push_text(L, -1);
    lua_pop(L, 1);
  }
  return out;
}

bool has_options(const SpecOutcome& one, const std::map<std::string, std::string>& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& option) {
    const auto found = one.options.find(option.first);
    return found != one.options.end() && found->second == option.second;
  });
}

/// r:expect_relayed([{ gateway =, tls = ... }])
int expect_relayed(lua_State* L) {
  const auto wanted = options_at(L, 2);
  return expect(L, "it to be relayed" + options_text(wanted),
                [&](const SpecOutcome& one) { return one.action == "relay" && has_options(one, wanted); });
}

int expect_bounced(lua_State* L) {
  const lua_Integer code = luaL_optinteger(L, 2, 0);
  const std::string enhanced = optional_text(L, 3);
  std::map<std::string, std::string> wanted;
  if (code) wanted["code"] = std::to_string(code);
  if (!enhanced.empty()) wanted["enhanced"] = enhanced;
  return expect(L, "a bounce" + options_text(wanted),
                [&](const SpecOutcome& one) { return one.action == "bounce" && has_options(one, wanted); });
}

int expect_reason(lua_State* L, std::string_view action, std::string_view words) {
  const std::string reason = optional_text(L, 2);
  return expect(
      L, fmt::format("{}{}", words, reason.empty() ? "" : " for \"" + reason + "\""),
      [&](const SpecOutcome& one) { return one.action == action && one.reason.find(reason) != std::string::npos; });
}
int expect_discarded(lua_State* L) {
  return expect_reason(L, "discard", "it to be discarded");
}
int expect_quarantined(lua_State* L) {
  return expect_reason(L, "quarantine", "it to be put in quarantine");
}

/// r:expect_rule(name): which rule decided; "gate" for the gate.
int expect_rule(lua_State* L) {
  const std::string name(check_text(L, 2));
  return expect(L, "the rule \"" + name + "\" to decide", [&](const SpecOutcome& one) { return one.rule == name; });
}

int expect_stage(lua_State* L) {
  const std::string name(check_text(L, 2));
  return expect(L, "it to be settled at " + name, [&](const SpecOutcome& one) { return to_string(one.stage) == name; });
}

/// r:expect_header(name [, value]): a field of that name (with that value) in the header that the recipient gets.
int expect_header(lua_State* L) {
  const std::string name(check_text(L, 2));
  const bool any = lua_isnoneornil(L, 3);
  const std::string value = optional_text(L, 3);
  const Box& box = box_of(L);
  if (box.chosen.empty()) return luaL_error(L, "the mail has no recipient");
  for (const std::size_t at : box.chosen) {
    const SpecOutcome& one = box.result->outcomes[at];
    std::string found;
    bool fits = false;
    for (const HeaderField& field : HeaderBlock(one.header)) {
      if (!field.is(name)) continue;
      fits = fits || any || field.decoded() == value;
      found += fmt::format("{}\"{}\"", found.empty() ? "" : ", ", field.decoded());
    }
    if (!fits)
      fail_expectation(L, box.result->story, one.recipient,
                       any ? "a field " + name : fmt::format("{}: {}", name, value),
                       found.empty() ? one.header.empty() ? seen(one) : "has no such field" : "has " + found);
  }
  lua_settop(L, 1);
  return 1;
}

int expect_no_header(lua_State* L) {
  const std::string name(check_text(L, 2));
  return expect(L, "no field " + name,
                [&](const SpecOutcome& one) { return HeaderBlock(one.header).count(name) == 0; });
}

/// r:expect_body(text): the text stands somewhere in the body that the recipient gets.
int expect_body(lua_State* L) {
  const std::string text(check_text(L, 2));
  return expect(L, fmt::format("a body with \"{}\"", text),
                [&](const SpecOutcome& one) { return one.body.find(text) != std::string::npos; });
}

int expect_sender(lua_State* L) {
  const Box& box = box_of(L);
  const std::string wanted(check_text(L, 2));
  if (box.result->sender != wanted)
    fail_expectation(L, box.result->story, "the mail", "the sender <" + wanted + ">",
                     "has <" + box.result->sender + ">");
  lua_settop(L, 1);
  return 1;
}

/// r:expect_brought(n): so many mails were brought in by rules.
int expect_brought(lua_State* L) {
  const Box& box = box_of(L);
  const lua_Integer wanted = luaL_checkinteger(L, 2);
  const auto count = static_cast<lua_Integer>(box.result->brought.size());
  if (count != wanted)
    fail_expectation(L, box.result->story, "the mail", fmt::format("{} mails brought in by rules", wanted),
                     fmt::format("has {}", count));
  lua_settop(L, 1);
  return 1;
}

/// r:to(address): the outcome of one recipient.
int to(lua_State* L) {
  const Box& box = box_of(L);
  const std::string address(check_text(L, 2));
  Box one{box.result, {}};
  std::string known;
  for (std::size_t i = 0; i < box.result->outcomes.size(); ++i) {
    const std::string& recipient = box.result->outcomes[i].recipient;
    if (equal_folded(recipient, address)) one.chosen.push_back(i);
    known += (known.empty() ? "" : ", ") + recipient;
  }
  if (one.chosen.empty())
    return luaL_error(L, "%s is no recipient of this mail; there are %s", address.c_str(), known.c_str());
  push_box(L, std::move(one));
  return 1;
}

void set_text(lua_State* L, const char* name, std::string_view text) {
  push(L, text);
  lua_setfield(L, -2, name);
}

void push_outcome(lua_State* L, const SpecOutcome& one) {
  lua_newtable(L);
  set_text(L, "recipient", one.recipient);
  set_text(L, "stage", to_string(one.stage));
  lua_pushinteger(L, one.reply.code);
  lua_setfield(L, -2, "code");
  set_text(L, "enhanced", one.reply.enhanced);
  set_text(L, "reply", one.reply.text);
  set_text(L, "rule", one.rule);
  set_text(L, "action", one.action);
  set_text(L, "account", one.account);
  set_text(L, "folder", one.folder);
  set_text(L, "reason", one.reason);
  set_text(L, "header", one.header);
  set_text(L, "body", one.body);
  lua_newtable(L);
  for (const auto& [key, value] : one.options) set_text(L, key.c_str(), value);
  lua_setfield(L, -2, "options");
}

void push_outcomes(lua_State* L, const Box& box) {
  lua_newtable(L);
  lua_Integer count = 0;
  for (const std::size_t at : box.chosen) {
    push_outcome(L, box.result->outcomes[at]);
    lua_rawseti(L, -2, ++count);
  }
}

void push_brought(lua_State* L, const Box& box) {
  lua_newtable(L);
  lua_Integer count = 0;
  for (const SpecResult& one : box.result->brought) {
    push_spec_result(L, std::shared_ptr<const SpecResult>(box.result, &one));
    lua_rawseti(L, -2, ++count);
  }
}

constexpr std::pair<std::string_view, lua_CFunction> kMethods[] = {{"expect_refused", bound<expect_refused>},
                                                                   {"expect_accepted", bound<expect_accepted>},
                                                                   {"expect_delivered", bound<expect_delivered>},
                                                                   {"expect_relayed", bound<expect_relayed>},
                                                                   {"expect_bounced", bound<expect_bounced>},
                                                                   {"expect_discarded", bound<expect_discarded>},
                                                                   {"expect_quarantined", bound<expect_quarantined>},
                                                                   {"expect_rule", bound<expect_rule>},
                                                                   {"expect_stage", bound<expect_stage>},
                                                                   {"expect_header", bound<expect_header>},
                                                                   {"expect_no_header", bound<expect_no_header>},
                                                                   {"expect_body", bound<expect_body>},
                                                                   {"expect_sender", bound<expect_sender>},
                                                                   {"expect_brought", bound<expect_brought>},
                                                                   {"to", bound<to>}};

int result_index(lua_State* L) {
  const Box& box = box_of(L);
  const std::string_view name = check_text(L, 2);
  if (name == "outcomes") return push_outcomes(L, box), 1;
  if (name == "brought") return push_brought(L, box), 1;
  if (name == "sender") return push(L, box.result->sender), 1;
  if (name == "story") return push(L, box.result->story), 1;
  std::vector<std::string_view> known{"outcomes", "brought", "sender", "story"};
  for (const auto& [method, function] : kMethods) {
    if (name == method) return lua_pushcfunction(L, function), 1;
    known.push_back(method);
  }
  std::string text = fmt::format("a mail's result has nothing called '{}'", name);
  if (const std::string hint = did_you_mean(name, known); !hint.empty()) text += "; " + hint;
  return luaL_error(L, "%s", text.c_str());
}

int result_text(lua_State* L) {
  std::string out;
  const Box& box = box_of(L);
  for (const std::size_t at : box.chosen)
    out += fmt::format("{}{} {}", out.empty() ? "" : "; ", box.result->outcomes[at].recipient,
                       seen(box.result->outcomes[at]));
  return push(L, out), 1;
}

}  // namespace

void open_spec_result(lua_State* L) {
  constexpr luaL_Reg kResult[] = {
      {"__index", bound<result_index>}, {"__tostring", bound<result_text>}, {nullptr, nullptr}};
  define_box<Box>(L, kResult);
}

void push_spec_result(lua_State* L, std::shared_ptr<const SpecResult> result) {
  Box box{std::move(result), {}};
  for (std::size_t i = 0; i < box.result->outcomes.size(); ++i) box.chosen.push_back(i);
  push_box(L, std::move(box));
}

}  // namespace postern::lua
