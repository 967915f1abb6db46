// session.notes, mail.notes, recipient.notes: what rules leave for later rules.
#include <algorithm>

#include "bind.h"
#include "libraries.h"
#include "objects.h"

namespace postern::lua {
namespace {

using Notes = std::map<std::string, NoteValue, std::less<>>;

/// The notes; nothing when nobody has written any yet.
Notes* find_notes(lua_State* L, const NotesHandle& handle, bool make) {
  const Call& call = handle.call(L);
  if (call.event)  // its transaction is long over; nobody would see them
    luaL_error(L, "there are no notes at the stage '%s'", std::string(to_string(call.stage)).c_str());
  if (handle.of == NotesHandle::Of::kSession) return &call.session->notes;
  Transaction& mail = *call.transaction;
  if (handle.of == NotesHandle::Of::kMail) return &mail.notes;
  if (handle.index >= mail.recipient_notes.size()) {
    if (!make) return nullptr;
    mail.recipient_notes.resize(std::max(handle.index + 1, mail.envelope.recipients.size()));
  }
  return &mail.recipient_notes[handle.index];
}

void push_note(lua_State* L, const NoteValue& value) {
  if (const bool* yes = std::get_if<bool>(&value))
    lua_pushboolean(L, *yes);
  else if (const auto* whole = std::get_if<std::int64_t>(&value))
    lua_pushinteger(L, *whole);
  else if (const double* real = std::get_if<double>(&value))
    lua_pushnumber(L, *real);
  else
    push(L, std::get<std::string>(value));
}

constexpr std::int64_t kNoteSteps = 18;  // of one look or write

int get(lua_State* L) {
  ScriptState::charge(L, kNoteSteps);
  const Notes* notes = find_notes(L, check_box<NotesHandle>(L, 1), false);
  const std::string_view name = check_text(L, 2);
  const auto found = notes ? notes->find(name) : Notes::const_iterator();
  if (notes && found != notes->end())
    push_note(L, found->second);
  else
    lua_pushnil(L);
  return 1;
}

NoteValue check_note(lua_State* L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return static_cast<std::int64_t>(lua_tointeger(L, index));
      return static_cast<double>(lua_tonumber(L, index));
    case LUA_TSTRING: {
      const std::string_view text = raw_text(L, index);
      if (text.size() > kMaxNoteText) luaL_error(L, "a note holds at most %d octets", static_cast<int>(kMaxNoteText));
      return std::string(text);
    }
    default:
      luaL_error(L, "a note is a string, a number or a boolean, not %s", luaL_typename(L, index));
      std::unreachable();
  }
}

int set(lua_State* L) {
  ScriptState::charge(L, kNoteSteps);
  const auto& handle = check_box<NotesHandle>(L, 1);
  const std::string_view name = check_text(L, 2);
  if (name.empty() || name.size() > kMaxNoteName)
    return luaL_error(L, "the name of a note has 1 to %d octets", static_cast<int>(kMaxNoteName));
  Notes& notes = *find_notes(L, handle, true);
  if (lua_isnil(L, 3)) {
    if (const auto found = notes.find(name); found != notes.end()) notes.erase(found);
    return 0;
  }
  NoteValue value = check_note(L, 3);
  if (notes.size() >= kMaxNotes && !notes.contains(name))
    return luaL_error(L, "more than %d notes", static_cast<int>(kMaxNotes));
  notes.insert_or_assign(std::string(name), std::move(value));
  return 0;
}

/// Iterates in sorted order over a copy, so that the loop may change them.
int pairs(lua_State* L) {
  const Notes* notes = find_notes(L, check_box<NotesHandle>(L, 1), false);
  lua_getglobal(L, "pairs");
  lua_newtable(L);
  if (notes)
    for (const auto& [name, value] : *notes) {
      push(L, name);
      push_note(L, value);
      lua_rawset(L, -3);
    }
  lua_call(L, 1, 3);
  return 3;
}

}  // namespace

void open_notes(lua_State* L) {
  constexpr luaL_Reg kNotes[] = {
      {"__index", bound<get>}, {"__newindex", bound<set>}, {"__pairs", bound<pairs>}, {nullptr, nullptr}};
  define_box<NotesHandle>(L, kNotes);
}

}  // namespace postern::lua
