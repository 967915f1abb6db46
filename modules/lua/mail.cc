// mail: the envelope, and the way to headers (headers.cc) and parts (parts.cc).
//
// What does not exist yet at a stage, or no longer, raises and names the stage: a hook that reads a header at rcpt is
// a mistake that must not look like a mail without that header.
#include "api.h"
#include "bind.h"
#include "libraries.h"
#include "objects.h"
#include "parts.h"
#include "postern/queue_event.h"

namespace postern::lua {

int push_seconds(lua_State* L, WallTime when) {
  if (when == WallTime{}) return lua_pushnil(L), 1;
  lua_pushinteger(L, std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count());
  return 1;
}

namespace {

/// Before the data stage: what the client declared, if it did.
std::uint64_t size_of(const Call& call) {
  if (call.event) return call.event->size;
  const Transaction& mail = *call.transaction;
  return mail.draft ? mail.size : mail.envelope.size.value_or(0);
}

int push_body(lua_State* L, const Envelope& envelope) {
  static constexpr std::string_view kWords[] = {"7bit", "8bitmime", "binarymime"};
  return push(L, kWords[static_cast<std::size_t>(envelope.body)]), 1;
}

/// RET of MAIL (RFC 3461 §4.3).
int push_return(lua_State* L, const Envelope& envelope) {
  static constexpr std::string_view kWords[] = {"", "headers", "full"};
  return push_text_or_nil(L, kWords[static_cast<std::size_t>(envelope.ret)]);
}

int push_envid(lua_State* L, const Envelope& envelope) {
  const auto decoded = parse_envid(envelope.envid);
  return push_text_or_nil(L, decoded ? std::string_view(*decoded) : std::string_view());
}

int push_deliver_by(lua_State* L, const Envelope& envelope) {
  if (!envelope.deliver_by) return lua_pushnil(L), 1;
  lua_createtable(L, 0, 3);
  push_seconds(L, envelope.deliver_by->when);
  lua_setfield(L, -2, "time");
  lua_pushboolean(L, envelope.deliver_by->return_if_late);
  lua_setfield(L, -2, "return_if_late");
  lua_pushboolean(L, envelope.deliver_by->trace);
  lua_setfield(L, -2, "trace");
  return 1;
}

/// The parameters of MAIL. Nothing is pushed for a name that is none of them.
bool push_parameter(lua_State* L, const Envelope& envelope, std::string_view name) {
  if (name == "body_type") return push_body(L, envelope);
  if (name == "smtputf8") return lua_pushboolean(L, envelope.smtputf8), true;
  if (name == "require_tls") return lua_pushboolean(L, envelope.require_tls), true;
  if (name == "dsn_return") return push_return(L, envelope);
  if (name == "envid") return push_envid(L, envelope);
  if (name == "deliver_by") return push_deliver_by(L, envelope);
  if (name == "hold_until") return push_seconds(L, envelope.hold_until.value_or(WallTime{}));
  if (name == "declared_size" || name == "priority") {
    const bool given = name == "priority" ? envelope.priority.has_value() : envelope.size.has_value();
    if (!given) return lua_pushnil(L), true;
    lua_pushinteger(L, name == "priority" ? *envelope.priority : static_cast<lua_Integer>(*envelope.size));
    return true;
  }
  return false;
}

bool push_method(lua_State* L, const luaL_Reg* methods, std::string_view name) {
  for (const luaL_Reg* one = methods; one->name; ++one)
    if (name == one->name) return lua_pushcfunction(L, one->func), true;
  return false;
}

int mail_id(lua_State* L, const Call& call) {
  const MessageId id = call.event                ? call.event->id
                       : call.transaction->draft ? call.transaction->draft->id()
                                                 : MessageId();
  return id ? (push(L, id.to_string()), 1) : (lua_pushnil(L), 1);
}

int mail_index(lua_State* L) {
  constexpr luaL_Reg kMethods[] = {{"recipients_where", bound<recipients_where>}, {nullptr, nullptr}};
  const auto& handle = check_box<MailHandle>(L, 1);
  const Call& call = handle.call(L);
  const Envelope& envelope = call.transaction->envelope;
  const std::string_view name = check_text(L, 2);
  check_member(L, MailHandle::kName, name);
  if (push_method(L, kMethods, name) || push_method(L, kHeaderMethods, name) || push_method(L, kPartMethods, name))
    return 1;
  if (name == "sender") return push(L, envelope.sender.to_string()), 1;
  if (name == "sender_domain") return push_text_or_nil(L, envelope.sender.domain().ascii());
  if (name == "recipients") return push_recipients(L, handle);
  if (name == "notes") return push_box(L, NotesHandle{handle, NotesHandle::Of::kMail, 0}), 1;
  if (name == "size") return lua_pushinteger(L, static_cast<lua_Integer>(size_of(call))), 1;
  if (name == "id") return mail_id(L, call);
  if (name == "session") {
    if (call.event)
      return luaL_error(L, "there is no session at the stage '%s'", std::string(to_string(call.stage)).c_str());
    return push_box(L, SessionHandle{handle}), 1;
  }
  if (name == "received_count") {
    check_header(L, call);
    return lua_pushinteger(L, call.transaction->received_count), 1;
  }
  if (push_parameter(L, envelope, name)) return 1;
  return no_field(L, MailHandle::kName, name);
}

int mail_set(lua_State* L) {
  return luaL_error(L, "mail.%s cannot be set; mail.notes keeps what a script wants, mail:set_header edits the header",
                    std::string(check_text(L, 2)).c_str());
}

}  // namespace

void open_mail(lua_State* L) {
  constexpr luaL_Reg kMail[] = {{"__index", bound<mail_index>}, {"__newindex", bound<mail_set>}, {nullptr, nullptr}};
  define_box<MailHandle>(L, kMail);
}

}  // namespace postern::lua
