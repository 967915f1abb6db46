// Recipients, and the selections of them that matchers return.
#include "api.h"
#include "bind.h"
#include "libraries.h"
#include "objects.h"

namespace postern::lua {
namespace {

const Recipient& recipient_of(lua_State* L, const RecipientHandle& handle) {
  const Call& call = handle.call(L);
  if (handle.index == RecipientHandle::kAsked) return *call.recipient;
  if (handle.index >= call.transaction->envelope.recipients.size()) luaL_error(L, "this recipient is no longer there");
  return call.transaction->envelope.recipients[handle.index];
}

/// ORCPT of RCPT (RFC 3461 §4.2), taken apart; nil when there is none.
int push_orcpt(lua_State* L, const Recipient& recipient) {
  const auto original = parse_orcpt(recipient.orcpt);
  if (recipient.orcpt.empty() || !original) return lua_pushnil(L), 1;
  lua_createtable(L, 0, 2);
  push(L, original->type);
  lua_setfield(L, -2, "type");
  push(L, original->address);
  lua_setfield(L, -2, "address");
  return 1;
}

int recipient_index(lua_State* L) {
  const auto& handle = check_box<RecipientHandle>(L, 1);
  const Recipient& recipient = recipient_of(L, handle);
  const std::string_view name = check_text(L, 2);
  check_member(L, RecipientHandle::kName, name);
  const Address& address = recipient.address;
  if (name == "address") return push(L, address.to_string()), 1;
  if (name == "local_part") return push(L, address.local()), 1;
  if (name == "user") return push(L, address.base()), 1;
  if (name == "domain") return push(L, address.domain().ascii()), 1;
  if (name == "tag") {
    if (address.tag().empty())
      lua_pushnil(L);
    else
      push(L, address.tag());
    return 1;
  }
  if (name == "orcpt") return push_orcpt(L, recipient);
  if (name == "notify") return push_text_or_nil(L, format_notify(recipient.notify));
  if (name == "notes") {
    // At rcpt it is not among the mail's recipients yet: its notes wait in the place that it will have.
    const std::size_t at =
        handle.index == RecipientHandle::kAsked ? handle.call(L).transaction->envelope.recipients.size() : handle.index;
    return push_box(L, NotesHandle{handle, NotesHandle::Of::kRecipient, at}), 1;
  }
  return no_field(L, "recipient", name);
}

int recipient_set(lua_State* L) {
  return luaL_error(L,
                    "recipient.%s cannot be set; act.rewrite and act.forward give mail to others, notes keep the rest",
                    std::string(check_text(L, 2)).c_str());
}

int recipient_text(lua_State* L) {
  push(L, recipient_of(L, check_box<RecipientHandle>(L, 1)).address.to_string());
  return 1;
}

int selection_length(lua_State* L) {
  lua_pushinteger(L, static_cast<lua_Integer>(check_box<SelectionBox>(L, 1).set.count()));
  return 1;
}

int selection_text(lua_State* L) {
  push(L, "recipients " + check_box<SelectionBox>(L, 1).set.to_string());
  return 1;
}

}  // namespace

int push_recipients(lua_State* L, const Handle& handle) {
  const Call& call = handle.call(L);
  const std::size_t count = call.transaction->envelope.recipients.size();
  ScriptState::charge(L, static_cast<std::int64_t>(count) + 1);
  lua_newtable(L);
  lua_Integer at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (call.recipients && !call.recipients->contains(i)) continue;
    push_box(L, RecipientHandle{handle, i});
    lua_rawseti(L, -2, ++at);
  }
  return 1;
}

int recipients_where(lua_State* L) {
  const Handle handle = check_box<MailHandle>(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  const Call& call = handle.call(L);
  const std::size_t count = call.transaction->envelope.recipients.size();
  RecipientSet selected = RecipientSet::none(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (call.recipients && !call.recipients->contains(i)) continue;
    ScriptState::charge(L, 2);
    lua_pushvalue(L, 2);
    push_box(L, RecipientHandle{handle, i});
    lua_call(L, 1, 1);  // cannot wait: lua_isyieldable says no in there, and the effects explain it
    if (lua_toboolean(L, -1)) selected.insert(i);
    lua_pop(L, 1);
  }
  push_box(L, SelectionBox{std::move(selected)});
  return 1;
}

void open_recipients(lua_State* L) {
  constexpr luaL_Reg kRecipient[] = {{"__index", bound<recipient_index>},
                                     {"__newindex", bound<recipient_set>},
                                     {"__tostring", bound<recipient_text>},
                                     {nullptr, nullptr}};
  constexpr luaL_Reg kSelection[] = {
      {"__len", selection_length}, {"__tostring", bound<selection_text>}, {nullptr, nullptr}};
  define_box<RecipientHandle>(L, kRecipient);
  define_box<SelectionBox>(L, kSelection);
}

}  // namespace postern::lua
