// Header fields of a mail: mail:header, headers, raw_header, addresses; set_header, add_header, replace_header,
// remove_header.
//
// What is read is the header as it came: edits change what is delivered, not what later rules see. Fields that are not
// edited keep their octets.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bind.h"
#include "objects.h"
#include "parts.h"

namespace postern::lua {

void check_header(lua_State* L, const Call& call) {
  if (!call.transaction->draft)
    luaL_error(L, "there is no text of the mail at the stage '%s'; hooks at data and message and rules have it",
               std::string(to_string(call.stage)).c_str());
}

namespace {

constexpr std::int64_t kOctetsPerStep = 16;  // passed over while a field is looked for
constexpr std::int64_t kAddressSteps = 40;   // one address taken apart
constexpr std::size_t kShownValue = 500;     // octets of a new value in the trail

HeaderBlock header_of(lua_State* L) {
  const Call& call = check_box<MailHandle>(L, 1).call(L);
  check_header(L, call);
  const std::string_view header = call.transaction->headers();
  ScriptState::charge(L, static_cast<std::int64_t>(header.size()) / kOctetsPerStep + 15);
  return HeaderBlock(header);
}

/// Counts what decoding a value costs, and pushes it.
void push_decoded(lua_State* L, const HeaderField& field) {
  ScriptState::charge(L, static_cast<std::int64_t>(field.raw_value.size()) / 4 + 10);
  push(L, field.decoded());
}

/// A number as scripts count (1 is the first, -1 the last) among `count` things; nothing when there is none such.
std::optional<std::size_t> nth_of(lua_State* L, int index, std::size_t count) {
  const lua_Integer nth = luaL_optinteger(L, index, 1);
  const auto size = static_cast<lua_Integer>(count);
  if (nth == 0) luaL_argerror(L, index, "fields are counted from 1, or from -1 at the end");
  const lua_Integer at = nth > 0 ? nth - 1 : size + nth;
  if (at < 0 || at >= size) return std::nullopt;
  return static_cast<std::size_t>(at);
}

std::optional<HeaderField> nth_field(lua_State* L, const HeaderBlock& header, std::string_view name) {
  if (lua_isnoneornil(L, 3)) return header.find(name);
  const auto at = nth_of(L, 3, header.count(name));
  return at ? header.find(name, *at) : std::nullopt;
}

/// mail:header(name [, nth]): the value as UTF-8, or nil.
int header(lua_State* L) {
  const HeaderBlock block = header_of(L);
  const auto field = nth_field(L, block, check_text(L, 2));
  if (field)
    push_decoded(L, *field);
  else
    lua_pushnil(L);
  return 1;
}

/// mail:headers(name): the values of all fields of that name; mail:headers(): { name =, value = } of all fields.
int headers(lua_State* L) {
  const HeaderBlock block = header_of(L);
  const bool all = lua_isnoneornil(L, 2);
  const std::string_view name = all ? std::string_view() : check_text(L, 2);
  lua_newtable(L);
  lua_Integer count = 0;
  for (const HeaderField& field : block) {
    if (all ? !field.well_formed() : !field.is(name)) continue;
    if (all) {
      lua_createtable(L, 0, 2);
      push(L, field.name);
      lua_setfield(L, -2, "name");
    }
    push_decoded(L, field);
    if (all) lua_setfield(L, -2, "value");
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/// mail:raw_header(): all of it as it came; mail:raw_header(name [, nth]): one field, its line ends included.
int raw_header(lua_State* L) {
  const HeaderBlock block = header_of(L);
  if (lua_isnoneornil(L, 2)) return push(L, block.bytes()), 1;
  const auto field = nth_field(L, block, check_text(L, 2));
  if (field)
    push(L, field->raw);
  else
    lua_pushnil(L);
  return 1;
}

void set_text(lua_State* L, const char* name, std::string_view text) {
  push_text_or_nil(L, text);
  lua_setfield(L, -2, name);
}

void push_address(lua_State* L, const HeaderAddress& item, std::string_view group) {
  const auto address = item.address();
  lua_createtable(L, 0, 5);
  set_text(L, "address", address ? address->to_string() : std::string());
  set_text(L, "name", item.display_name());
  set_text(L, "local_part", address ? std::string_view(address->local()) : std::string_view(item.local));
  set_text(L, "domain", address ? std::string_view(address->domain().ascii()) : std::string_view(item.domain));
  set_text(L, "group", group);
}

/// mail:addresses(name): those of all fields of that name. An entry that is no valid address has no `address`.
int addresses(lua_State* L) {
  const HeaderBlock block = header_of(L);
  const std::string_view name = check_text(L, 2);
  lua_newtable(L);
  lua_Integer count = 0;
  for (const HeaderField& field : block) {
    if (!field.is(name)) continue;
    ScriptState::charge(L, static_cast<std::int64_t>(field.raw_value.size()) / 4 + 1);
    const AddressList list = parse_address_list(field.value());
    std::string group;
    for (const HeaderAddress& item : list.items) {
      if (item.kind == HeaderAddress::Kind::kGroupStart) group = item.display_name();
      if (item.kind == HeaderAddress::Kind::kGroupEnd) group.clear();
      if (item.kind != HeaderAddress::Kind::kMailbox) continue;
      ScriptState::charge(L, kAddressSteps);
      push_address(L, item, group);
      lua_rawseti(L, -2, ++count);
    }
  }
  return 1;
}

// ---- edits ----

/// Where the script that called us stands: "gateway.lua:12".
std::string caller(lua_State* L) {
  luaL_where(L, 1);
  std::string place(raw_text(L, -1));
  lua_pop(L, 1);
  if (place.ends_with(": ")) place.resize(place.size() - 2);
  return place;
}

const Call& editable(lua_State* L) {
  const Call& call = check_box<MailHandle>(L, 1).call(L);
  if (call.event)
    luaL_error(L, "there is nothing to edit at the stage '%s': the mail has been accepted as it is",
               std::string(to_string(call.stage)).c_str());
  return call;
}

std::string check_name(lua_State* L, int index) {
  std::string name(check_text(L, index));
  if (!is_field_name(name)) luaL_argerror(L, index, "not the name of a header field");
  return name;
}

std::string_view check_value(lua_State* L, int index) {
  luaL_argexpected(L, lua_type(L, index) == LUA_TSTRING || lua_type(L, index) == LUA_TNUMBER, index, "string");
  const std::string_view value = check_text(L, index);
  if (value.size() > kMaxFieldValue) luaL_argerror(L, index, "a header field holds at most 32 KiB");
  ScriptState::charge(L, static_cast<std::int64_t>(value.size()) / 8 + 40);
  ScriptState::hold_memory(L, value.size());
  return value;
}

/// Ends an edit: writes it to the trail, or raises when there was no room for it.
int edited(lua_State* L, const Call& call, bool done, const std::string& what) {
  if (!done) return luaL_error(L, "too many header edits");
  call.effects->trail().edit(call.stage, caller(L), what);
  return 0;
}
std::string shown(std::string_view name, std::string_view value) {
  return fmt::format("{}: {}", name, value.substr(0, kShownValue));
}

/// mail:set_header(name, value): the only one of that name.
int set_header(lua_State* L) {
  const Call& call = editable(L);
  HeaderEdits& edits = call.transaction->edits;
  const std::string name = check_name(L, 2);
  const std::string_view value = check_value(L, 3);
  return edited(L, call, edits.remove_all(name) && edits.append(name, encode_field_value(value)), shown(name, value));
}

/// mail:add_header(name, value [, "top"]): one more, below all fields or above them.
int add_header(lua_State* L) {
  static constexpr const char* kPlaces[] = {"bottom", "top", nullptr};
  const Call& call = editable(L);
  HeaderEdits& edits = call.transaction->edits;
  const std::string name = check_name(L, 2);
  const std::string_view value = check_value(L, 3);
  const bool top = luaL_checkoption(L, 4, "bottom", kPlaces) == 1;
  const bool done =
      top ? edits.add_top(name, encode_field_value(value)) : edits.append(name, encode_field_value(value));
  return edited(L, call, done, shown(name, value));
}

/// The place of a field of the header as it came; raises when there is none.
std::size_t check_nth(lua_State* L, const std::string& name, int index) {
  const auto at = nth_of(L, index, header_of(L).count(name));
  if (!at) luaL_error(L, "this mail has no such field %s", name.c_str());
  return *at;
}

/// mail:replace_header(name, nth, value)
int replace_header(lua_State* L) {
  const Call& call = editable(L);
  const std::string name = check_name(L, 2);
  luaL_checkinteger(L, 3);
  const std::size_t nth = check_nth(L, name, 3);
  const std::string_view value = check_value(L, 4);
  return edited(L, call, call.transaction->edits.replace(name, nth, encode_field_value(value)), shown(name, value));
}

/// mail:remove_header(name [, nth]): all of that name, or one. Nothing happens when there is none.
int remove_header(lua_State* L) {
  const Call& call = editable(L);
  HeaderEdits& edits = call.transaction->edits;
  const std::string name = check_name(L, 2);
  ScriptState::charge(L, 20);
  if (lua_isnoneornil(L, 3)) return edited(L, call, edits.remove_all(name), "without " + name);
  const auto nth = nth_of(L, 3, header_of(L).count(name));
  if (!nth) return 0;
  return edited(L, call, edits.remove(name, *nth), fmt::format("without {} {}", name, *nth + 1));
}

}  // namespace

const luaL_Reg kHeaderMethods[] = {{"header", bound<header>},
                                   {"headers", bound<headers>},
                                   {"raw_header", bound<raw_header>},
                                   {"addresses", bound<addresses>},
                                   {"set_header", bound<set_header>},
                                   {"add_header", bound<add_header>},
                                   {"replace_header", bound<replace_header>},
                                   {"remove_header", bound<remove_header>},
                                   {nullptr, nullptr}};

}  // namespace postern::lua
