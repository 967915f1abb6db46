// session and client.
#include "objects.h"

#include "api.h"
#include "bind.h"
#include "events.h"
#include "libraries.h"
#include "parts.h"

namespace postern::lua {

Call& Handle::call(lua_State* L) const {
  if (!fiber || fiber->generation != generation || ScriptState::of(L).current() != fiber)
    luaL_error(L, "this object belongs to a mail or session that is over");
  return fiber->call;
}

int no_field(lua_State* L, const char* object, std::string_view name) {
  return luaL_error(L, "%s has no field '%s'", object, std::string(name).c_str());
}

int push_text_or_nil(lua_State* L, std::string_view text) {
  if (text.empty())
    lua_pushnil(L);
  else
    push(L, text);
  return 1;
}

namespace {

void set_field(lua_State* L, const char* name, std::string_view text) {
  push_text_or_nil(L, text);
  lua_setfield(L, -2, name);
}

int session_index(lua_State* L) {
  const auto& handle = check_box<SessionHandle>(L, 1);
  const SessionState& session = *handle.call(L).session;
  const ClientInfo& client = session.client;
  const std::string_view name = check_text(L, 2);
  check_member(L, SessionHandle::kName, name);
  if (name == "client") return push_box(L, ClientHandle{handle}), 1;
  if (name == "notes") return push_box(L, NotesHandle{handle, NotesHandle::Of::kSession, 0}), 1;
  if (name == "id") return push(L, session.id), 1;
  if (name == "role") return push(L, to_string(client.role)), 1;
  if (name == "listener") return push(L, client.listener), 1;
  if (name == "ehlo") return push_text_or_nil(L, client.ehlo);
  if (name == "proxy") {  // the trusted host that declared the client's address
    if (!session.proxy) return lua_pushnil(L), 1;
    return push_box(L, IpBox{*session.proxy}), 1;
  }
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
  check_member(L, ClientHandle::kName, name);
  if (name == "ip") return push_box(L, IpBox{client.ip}), 1;
  if (name == "port") return lua_pushinteger(L, client.port), 1;
  if (name == "local_ip") return push_box(L, IpBox{client.local_ip}), 1;
  if (name == "local_port") return lua_pushinteger(L, client.local_port), 1;
  if (name == "reverse_name") return push_text_or_nil(L, client.reverse_verified ? client.reverse_name : "");
  if (name == "reverse_verified") return lua_pushboolean(L, client.reverse_verified), 1;
  if (name == "claimed_name") return push_text_or_nil(L, client.reverse_name);
  if (name == "reverse_status") {
    const auto& reverse = handle.call(L).session->reverse;
    return push_text_or_nil(L, reverse ? to_string(reverse->status) : std::string_view());
  }
  return no_field(L, "client", name);
}

}  // namespace

void open_objects(lua_State* L) {
  constexpr luaL_Reg kSession[] = {{"__index", bound<session_index>}, {nullptr, nullptr}};
  constexpr luaL_Reg kClient[] = {{"__index", bound<client_index>}, {nullptr, nullptr}};
  define_box<SessionHandle>(L, kSession);
  define_box<ClientHandle>(L, kClient);
  open_addresses(L);
  open_notes(L);
  open_recipients(L);
  open_events(L);
  open_mail(L);
  open_parts(L);
}

}  // namespace postern::lua
