// session, client and mail.
#include "objects.h"

#include <fmt/format.h>

#include <utility>

#include "bind.h"
#include "libraries.h"

namespace postern::lua {

Call& Handle::call(lua_State* L) const {
  if (!fiber || fiber->generation != generation || ScriptState::of(L).current() != fiber)
    luaL_error(L, "this object belongs to a mail or session that is over");
  return fiber->call;
}

int no_field(lua_State* L, const char* object, std::string_view name) {
  return luaL_error(L, "%s has no field '%s'", object, std::string(name).c_str());
}

namespace {

int push_text_or_nil(lua_State* L, std::string_view text) {
  if (text.empty())
    lua_pushnil(L);
  else
    push(L, text);
  return 1;
}

void set_field(lua_State* L, const char* name, std::string_view text) {
  push_text_or_nil(L, text);
  lua_setfield(L, -2, name);
}

int session_index(lua_State* L) {
  const auto& handle = check_box<SessionHandle>(L, 1);
  const SessionState& session = *handle.call(L).session;
  const ClientInfo& client = session.client;
  const std::string_view name = check_text(L, 2);
  if (name == "client") return push_box(L, ClientHandle{handle}), 1;
  if (name == "notes") return push_box(L, NotesHandle{handle, NotesHandle::Of::kSession, 0}), 1;
  if (name == "id") return push(L, session.id), 1;
  if (name == "role") return push(L, to_string(client.role)), 1;
  if (name == "listener") return push(L, client.listener), 1;
  if (name == "ehlo") return push_text_or_nil(L, client.ehlo);
  if (name == "esmtp") return lua_pushboolean(L, client.esmtp), 1;
  if (name == "auth") {
    lua_newtable(L);
    set_field(L, "user", client.auth_user);
    set_field(L, "mechanism", client.auth_mechanism);
    return 1;
  }
  if (name == "tls") {
    if (!client.secure()) return lua_pushnil(L), 1;
    lua_newtable(L);
    set_field(L, "version", client.tls_version);
    set_field(L, "cipher", client.tls_cipher);
    set_field(L, "server_name", client.tls_sni);
    set_field(L, "peer", client.tls_peer);
    return 1;
  }
  return no_field(L, "session", name);
}

int client_index(lua_State* L) {
  const auto& handle = check_box<ClientHandle>(L, 1);
  const ClientInfo& client = handle.call(L).session->client;
  const std::string_view name = check_text(L, 2);
  if (name == "ip") return push_box(L, IpBox{client.ip}), 1;
  if (name == "port") return lua_pushinteger(L, client.port), 1;
  if (name == "local_ip") return push_box(L, IpBox{client.local_ip}), 1;
  if (name == "local_port") return lua_pushinteger(L, client.local_port), 1;
  if (name == "reverse_name") return push_text_or_nil(L, client.reverse_verified ? client.reverse_name : "");
  if (name == "claimed_name") return push_text_or_nil(L, client.reverse_name);
  if (name == "reverse_status") {
    const auto& reverse = handle.call(L).session->reverse;
    return push_text_or_nil(L, reverse ? to_string(reverse->status) : std::string_view());
  }
  return no_field(L, "client", name);
}

Transaction& mail_of(lua_State* L) {
  return *check_box<MailHandle>(L, 1).call(L).transaction;
}

int mail_header(lua_State* L) {
  const Transaction& mail = mail_of(L);
  const std::string_view name = check_text(L, 2);
  ScriptState::charge(L, static_cast<std::int64_t>(mail.headers().size()) / 64 + 1);
  const auto field = HeaderBlock(mail.headers()).find(name);
  if (field)
    push(L, field->decoded());
  else
    lua_pushnil(L);
  return 1;
}

int mail_headers(lua_State* L) {
  const Transaction& mail = mail_of(L);
  const std::string_view name = check_text(L, 2);
  ScriptState::charge(L, static_cast<std::int64_t>(mail.headers().size()) / 64 + 1);
  lua_newtable(L);
  lua_Integer count = 0;
  for (const HeaderField& field : HeaderBlock(mail.headers())) {
    if (!field.is(name)) continue;
    push(L, field.decoded());
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/// Where the script that called us stands: "gateway.lua:12".
std::string caller(lua_State* L) {
  luaL_where(L, 1);
  std::string place(raw_text(L, -1));
  lua_pop(L, 1);
  if (place.ends_with(": ")) place.resize(place.size() - 2);
  return place;
}

std::string check_field_name(lua_State* L, int index) {
  std::string name(check_text(L, index));
  if (!is_field_name(name)) luaL_argerror(L, index, "not the name of a header field");
  return name;
}

int mail_set_header(lua_State* L) {
  Transaction& mail = mail_of(L);
  const Call& call = check_box<MailHandle>(L, 1).call(L);
  const std::string name = check_field_name(L, 2);
  luaL_argexpected(L, lua_type(L, 3) == LUA_TSTRING || lua_type(L, 3) == LUA_TNUMBER, 3, "string");
  const std::string_view value = check_text(L, 3);
  if (!mail.edits.remove_all(name) || !mail.edits.append(name, encode_words(value)))
    return luaL_error(L, "too many header edits");
  call.effects->trail().edit(call.stage, caller(L), fmt::format("{}: {}", name, value));
  return 0;
}

int mail_remove_header(lua_State* L) {
  Transaction& mail = mail_of(L);
  const Call& call = check_box<MailHandle>(L, 1).call(L);
  const std::string name = check_field_name(L, 2);
  if (!mail.edits.remove_all(name)) return luaL_error(L, "too many header edits");
  call.effects->trail().edit(call.stage, caller(L), "without " + name);
  return 0;
}

int mail_index(lua_State* L) {
  const auto& handle = check_box<MailHandle>(L, 1);
  const Call& call = handle.call(L);
  const Transaction& mail = *call.transaction;
  const std::string_view name = check_text(L, 2);
  constexpr std::pair<std::string_view, lua_CFunction> kMethods[] = {{"header", bound<mail_header>},
                                                                     {"headers", bound<mail_headers>},
                                                                     {"set_header", bound<mail_set_header>},
                                                                     {"remove_header", bound<mail_remove_header>},
                                                                     {"recipients_where", bound<recipients_where>}};
  for (const auto& [method, function] : kMethods)
    if (name == method) return lua_pushcfunction(L, function), 1;
  if (name == "sender") return push(L, mail.envelope.sender.to_string()), 1;
  if (name == "recipients") return push_recipients(L, handle);
  if (name == "notes") return push_box(L, NotesHandle{handle, NotesHandle::Of::kMail, 0}), 1;
  if (name == "session") return push_box(L, SessionHandle{handle}), 1;
  if (name == "size") {
    // Before the data stage: what the client declared, if it did.
    const std::uint64_t size = mail.draft ? mail.size : mail.envelope.size.value_or(0);
    return lua_pushinteger(L, static_cast<lua_Integer>(size)), 1;
  }
  if (name == "sender_domain") return push_text_or_nil(L, mail.envelope.sender.domain().ascii());
  if (name == "received_count") return lua_pushinteger(L, mail.received_count), 1;
  return no_field(L, "mail", name);
}

}  // namespace

void open_objects(lua_State* L) {
  constexpr luaL_Reg kSession[] = {{"__index", bound<session_index>}, {nullptr, nullptr}};
  constexpr luaL_Reg kClient[] = {{"__index", bound<client_index>}, {nullptr, nullptr}};
  constexpr luaL_Reg kMail[] = {{"__index", bound<mail_index>}, {nullptr, nullptr}};
  define_box<SessionHandle>(L, kSession);
  define_box<ClientHandle>(L, kClient);
  define_box<MailHandle>(L, kMail);
  open_addresses(L);
  open_notes(L);
  open_recipients(L);
}

}  // namespace postern::lua
