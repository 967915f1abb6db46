// postern.ipset, postern.domainset and postern.map.
//
//   local BAD = postern.ipset { "192.0.2.0/24", "2001:db8::/32" }      BAD:contains(session.client.ip)
//   local OURS = postern.domainset.file "ours.txt"                     OURS:contains(mail.sender_domain)
//   local ROUTES = postern.map.file "routes.csv"                       ROUTES["example.org"]
#include <fmt/format.h>

#include <functional>

#include "bind.h"
#include "data_files.h"
#include "libraries.h"
#include "loader.h"
#include "objects.h"
#include "sets.h"
#include "text_library.h"

namespace postern::lua {
namespace {

constexpr std::size_t kShownEntry = 80;  ///< octets of a wrong entry in a message

struct IpSetBox {
  static constexpr const char* kName = "ipset";
  IpSet set;
};
struct DomainSetBox {
  static constexpr const char* kName = "domainset";
  DomainSet set;
};
/// postern.ipset and postern.domainset themselves: called with a table, or asked for `.file`.
struct IpSetMaker {
  static constexpr const char* kName = "postern.ipset";
};
struct DomainSetMaker {
  static constexpr const char* kName = "postern.domainset";
};

/// How entries of one kind of set are read and kept.
struct Networks {
  using Box = IpSetBox;
  using Entries = std::vector<IpNetwork>;
  static constexpr std::string_view kFile = "ipset.file";

  static std::string add(Entries& entries, std::string_view text) {
    const auto network = IpNetwork::parse(text);
    if (!network) return "is neither an IP address nor a network such as 192.0.2.0/24, without bits beyond its prefix";
    entries.push_back(*network);
    return {};
  }
  static IpSet make(Entries entries) { return IpSet(entries); }
};
struct Domains {
  using Box = DomainSetBox;
  using Entries = std::vector<std::string>;
  static constexpr std::string_view kFile = "domainset.file";

  static std::string add(Entries& entries, std::string_view text) {
    auto entry = DomainSet::entry(text);
    if (!entry) return fmt::format("is no domain: {}", entry.error().to_string());
    entries.push_back(*std::move(entry));
    return {};
  }
  static DomainSet make(Entries entries) { return DomainSet(std::move(entries)); }
};

/// Sorting counts as so many steps for each entry.
constexpr std::int64_t kStepsPerEntry = 4;

template <class Kind>
int push_set(lua_State* L, typename Kind::Entries entries) {
  ScriptState::charge(L, static_cast<std::int64_t>(entries.size()) * kStepsPerEntry + 20);
  typename Kind::Box box{Kind::make(std::move(entries))};
  ScriptState::hold_memory(L, box.set.memory());
  push_box(L, std::move(box));
  return 1;
}

/// While scripts are loaded all that is wrong is reported; later the first is an error.
void complain(lua_State* L, const std::string& word, const std::string& text) {
  if (Loader* loader = ScriptState::of(L).loader())
    loader->diagnostics().error(loader->origin(L, 1, word), text);
  else
    luaL_error(L, "%s", text.c_str());
}

template <class Kind>
int make_set(lua_State* L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  const lua_Integer count = length_of(L, 2);
  luaL_argcheck(L, count <= static_cast<lua_Integer>(kMaxSetEntries), 2, "more than 1000000 entries");
  typename Kind::Entries entries;
  for (lua_Integer i = 1; i <= count; ++i) {
    ScriptState::charge(L, 1);
    lua_geti(L, 2, i);
    if (const IpBox* ip = test_box<IpBox>(L, -1)) {
      push(L, ip->ip.to_string());
      lua_remove(L, -2);
    }
    const std::string text(lua_type(L, -1) == LUA_TSTRING ? raw_text(L, -1).substr(0, kShownEntry)
                                                          : std::string_view());
    const std::string wrong = lua_type(L, -1) == LUA_TSTRING ? Kind::add(entries, raw_text(L, -1)) : "is no string";
    if (!wrong.empty()) complain(L, text, fmt::format("entry {}, \"{}\", {}", i, text, wrong));
    lua_pop(L, 1);
  }
  return push_set<Kind>(L, std::move(entries));
}

Loader& loading(lua_State* L, std::string_view what) {
  Loader* loader = ScriptState::of(L).loader();
  if (!loader)
    luaL_error(L, "%s: only while scripts are loaded; make it at the top of the script", std::string(what).c_str());
  return *loader;
}

/// An unreadable or wrong file gives an empty set: it was reported, and the load will fail.
template <class Kind>
int set_from_file(lua_State* L) {
  Loader& loader = loading(L, Kind::kFile);
  const std::string name(check_text(L, 1));
  typename Kind::Entries entries;
  if (const auto source = loader.data_file(L, 1, name)) {
    ScriptState::hold_memory(L, source->text().size());
    for (const DataEntry& one : read_list(source, loader.diagnostics()))
      if (const std::string wrong = Kind::add(entries, one.text); !wrong.empty())
        loader.diagnostics().error({source, one.line, one.column},
                                   fmt::format("\"{}\" {}", one.text.substr(0, kShownEntry), wrong));
  }
  return push_set<Kind>(L, std::move(entries));
}

template <class Kind>
int maker_index(lua_State* L) {
  const std::string_view name = check_text(L, 2);
  if (name == "file") return lua_pushcfunction(L, bound<set_from_file<Kind>>), 1;
  return no_field(L, Kind::Box::kName, name);
}

// ---- asking ----

/// contains(ip): an address of ours or a text. A text that is no address is in no set.
int ipset_contains(lua_State* L) {
  const IpSet& set = check_box<IpSetBox>(L, 1).set;
  ScriptState::charge(L, 4);
  if (const IpBox* box = test_box<IpBox>(L, 2)) return lua_pushboolean(L, set.contains(box->ip)), 1;
  luaL_argexpected(L, lua_type(L, 2) == LUA_TSTRING, 2, "IP address or string");
  const auto ip = IpAddress::parse(raw_text(L, 2));
  return lua_pushboolean(L, ip && set.contains(*ip)), 1;
}

/// contains(name); nil, the domain of a bounce's sender, is in no set.
int domainset_contains(lua_State* L) {
  const DomainSet& set = check_box<DomainSetBox>(L, 1).set;
  ScriptState::charge(L, 10);
  if (lua_isnil(L, 2)) return lua_pushboolean(L, 0), 1;
  luaL_argexpected(L, lua_type(L, 2) == LUA_TSTRING, 2, "string");
  return lua_pushboolean(L, set.contains(raw_text(L, 2))), 1;
}

template <class Box, lua_CFunction Contains>
int set_index(lua_State* L) {
  check_box<Box>(L, 1);
  const std::string_view name = check_text(L, 2);
  if (name == "contains") return lua_pushcfunction(L, bound<Contains>), 1;
  return no_field(L, Box::kName, name);
}

template <class Box>
int set_length(lua_State* L) {
  return lua_pushinteger(L, static_cast<lua_Integer>(check_box<Box>(L, 1).set.size())), 1;
}

// ---- postern.map ----

int map_from_file(lua_State* L) {
  Loader& loader = loading(L, "map.file");
  const std::string name(check_text(L, 1));
  const bool csv = name.ends_with(".csv");
  lua_newtable(L);
  if (!csv && !name.ends_with(".toml")) {
    loader.diagnostics().error(loader.origin(L, 1, name), "the name of a map's file ends with .csv or .toml");
    return 1;
  }
  const auto source = loader.data_file(L, 1, name);
  if (!source) return 1;
  ScriptState::hold_memory(L, source->text().size());
  const auto read = csv ? read_csv : read_flat_toml;
  for (const DataPair& pair : read(source, loader.diagnostics())) {
    ScriptState::charge(L, 2);
    push(L, pair.key);
    push(L, pair.value);
    lua_rawset(L, -3);
  }
  return 1;
}

template <class Box, lua_CFunction Contains>
void define_set(lua_State* L) {
  constexpr luaL_Reg kSet[] = {
      {"__index", bound<set_index<Box, Contains>>}, {"__len", set_length<Box>}, {nullptr, nullptr}};
  define_box<Box>(L, kSet);
}

template <class Kind, class Maker>
void define_maker(lua_State* L, const char* name) {
  constexpr luaL_Reg kMaker[] = {
      {"__call", bound<make_set<Kind>>}, {"__index", bound<maker_index<Kind>>}, {nullptr, nullptr}};
  define_box<Maker>(L, kMaker);
  push_postern(L);
  push_box(L, Maker{});
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

}  // namespace

void open_sets(lua_State* L) {
  define_set<IpSetBox, ipset_contains>(L);
  define_set<DomainSetBox, domainset_contains>(L);
  define_maker<Networks, IpSetMaker>(L, "ipset");
  define_maker<Domains, DomainSetMaker>(L, "domainset");
  push_postern(L);
  lua_newtable(L);
  lua_pushcfunction(L, bound<map_from_file>);
  lua_setfield(L, -2, "file");
  lua_setfield(L, -2, "map");
  lua_pop(L, 1);
}

}  // namespace postern::lua
