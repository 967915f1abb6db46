#include "freeze.h"

#include <fmt/format.h>

#include <string_view>

#include "bind.h"
#include "bytecode.h"
#include "libraries.h"

namespace postern::lua {
namespace {

// Fields of a frozen table's metatable.
constexpr lua_Integer kStore = 1;      // its values
constexpr lua_Integer kKeys = 2;       // its keys, sorted; false when they have no order
constexpr lua_Integer kMetatable = 3;  // what stands for it where it is used as a metatable
constexpr char kMark = 0;              // key of the mark by which frozen ones are known

bool push_part(lua_State* L, int index, lua_Integer part) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  const bool frozen = lua_rawgetp(L, -1, &kMark) == LUA_TBOOLEAN;
  lua_pop(L, 1);
  if (frozen) lua_rawgeti(L, -1, part);
  lua_remove(L, frozen ? -2 : -1);
  return frozen;
}

int frozen_length(lua_State* L) {
  push_frozen_store(L, 1);
  lua_pushinteger(L, static_cast<lua_Integer>(lua_rawlen(L, -1)));
  return 1;
}

/// __index of a frozen table whose own __index is a function: it is handed the table itself, not its store.
int frozen_index(lua_State* L) {
  lua_settop(L, 2);
  push_frozen_store(L, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, 3) != LUA_TNIL) return 1;
  lua_settop(L, 2);
  push_part(L, 1, 4);
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

/// Walks over everything that is kept and lists its tables.
class Walk {
 public:
  explicit Walk(lua_State* L) : L_(L) {
    lua_newtable(L);
    seen_ = lua_gettop(L);
    lua_newtable(L);
    tables_ = lua_gettop(L);
  }

  /// Looks at the value at the top and takes it off. Not recursive: what is found waits in `tables_` and `functions_`.
  void visit() {
    const int type = lua_type(L_, -1);
    if (type == LUA_TTHREAD) fault_ = "a coroutine";
    if (type != LUA_TTABLE && type != LUA_TFUNCTION) return lua_pop(L_, 1);
    lua_pushvalue(L_, -1);
    if (lua_rawget(L_, seen_) != LUA_TNIL) return lua_pop(L_, 2);
    lua_pop(L_, 1);
    lua_pushvalue(L_, -1);
    lua_pushboolean(L_, 1);
    lua_rawset(L_, seen_);
    lua_rawseti(L_, tables_, ++found_);  // functions stand in the same list
    owners_.push_back(owner_);
  }

  std::vector<KeptFault> run() {
    for (lua_Integer at = 1; at <= found_; ++at) {
      owner_ = owners_[static_cast<std::size_t>(at - 1)];
      if (lua_rawgeti(L_, tables_, at) == LUA_TTABLE)
        visit_table();
      else
        visit_function();
      lua_pop(L_, 1);
    }
    return std::move(faults_);
  }

  lua_Integer found() const { return found_; }
  int list() const { return tables_; }

 private:
  void visit_table() {
    const int table = lua_gettop(L_);
    for (lua_pushnil(L_); lua_next(L_, table);) {
      visit();
      lua_pushvalue(L_, -1);
      visit();
    }
    if (lua_getmetatable(L_, table)) visit();
    report();
  }

  void visit_function() {
    const int function = lua_gettop(L_);
    lua_Debug info;
    lua_pushvalue(L_, function);
    lua_getinfo(L_, ">S", &info);
    const std::string source = info.source[0] == '@' ? info.source + 1 : info.source;
    owner_ = {source, static_cast<std::uint32_t>(info.linedefined > 0 ? info.linedefined : 0)};
    const char* name = nullptr;
    for (int n = 1; (name = lua_getupvalue(L_, function, n)); ++n) {
      if (lua_iscfunction(L_, function)) fault_ = "an iterator";
      visit();
      report();
    }
    if (lua_iscfunction(L_, function)) return;
    for (const Assignment& one : assigned_upvalues(L_, function))
      faults_.push_back({source, one.line, one.name,
                         fmt::format("a function assigns \"{}\", which lives on between mails", one.name)});
  }

  void report() {
    if (!fault_) return;
    faults_.push_back({owner_.first,
                       owner_.second,
                       {},
                       fmt::format("a script cannot keep {} after load: it would remember other mails", fault_)});
    fault_ = nullptr;
  }

  lua_State* L_;
  int seen_ = 0;
  int tables_ = 0;
  lua_Integer found_ = 0;
  std::pair<std::string, std::uint32_t> owner_;                ///< the function that reaches what is visited
  std::vector<std::pair<std::string, std::uint32_t>> owners_;  ///< of each entry of `tables_`
  const char* fault_ = nullptr;
  std::vector<KeptFault> faults_;
};

/// Pushes a table with the "__x" fields of the table at `from`.
void push_metamethods(lua_State* L, int from) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, from);) {
    if (lua_type(L, -2) == LUA_TSTRING && raw_text(L, -2).starts_with("__")) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
}

bool sortable(lua_State* L, int table) {
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const int type = lua_type(L, -2);
    if (type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TBOOLEAN) continue;
    lua_pop(L, 2);
    return false;
  }
  return true;
}

/// Pushes the metatable that will freeze the table at `table`; nothing of it changes yet, since other tables may have
/// it as their metatable.
void push_frozen_form(lua_State* L, int table) {
  if (lua_getmetatable(L, table))
    push_metamethods(L, lua_gettop(L));
  else
    lua_pushnil(L), lua_newtable(L);
  lua_remove(L, -2);
  const int form = lua_gettop(L);
  lua_newtable(L);
  const int store = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, store);
  }
  switch (lua_getfield(L, form, "__index")) {
    case LUA_TNIL:
      break;
    case LUA_TFUNCTION:
      lua_rawseti(L, form, 4);
      break;
    default:
      lua_newtable(L);
      lua_insert(L, -2);
      lua_setfield(L, -2, "__index");
      lua_setmetatable(L, store);
  }
  lua_settop(L, store);
  if (sortable(L, store))
    push_sorted_keys(L, store);
  else
    lua_pushnil(L);
  lua_rawseti(L, form, kKeys);
  push_metamethods(L, table);
  if (lua_getfield(L, -1, "__metatable") == LUA_TNIL) {
    lua_pushvalue(L, table);
    lua_setfield(L, -3, "__metatable");
  }
  lua_pop(L, 1);
  lua_rawseti(L, form, kMetatable);
  if (lua_rawgeti(L, form, 4) == LUA_TNIL)
    lua_pushvalue(L, store);
  else
    lua_pushcfunction(L, frozen_index), lua_remove(L, -2);
  lua_setfield(L, form, "__index");
  lua_settop(L, store);
  lua_rawseti(L, form, kStore);
  lua_pushcfunction(L, refuse_write);
  lua_setfield(L, form, "__newindex");
  lua_pushcfunction(L, frozen_length);
  lua_setfield(L, form, "__len");
  if (lua_getmetatable(L, table) == 0) {
    lua_pushboolean(L, 0);
  } else {
    lua_pushliteral(L, "__metatable");  // what was protected before stays so
    lua_rawget(L, -2);
    lua_remove(L, lua_isnil(L, -1) ? -1 : -2);
  }
  lua_setfield(L, form, "__metatable");
  lua_pushboolean(L, 1);
  lua_rawsetp(L, form, &kMark);
}

void empty(lua_State* L, int table) {
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, table);
  }
}

}  // namespace

int refuse_write(lua_State* L) {
  return luaL_error(L,
                    "this table was frozen when the scripts were loaded: what must outlive a mail belongs into notes");
}

bool push_frozen_store(lua_State* L, int index) {
  return push_part(L, index, kStore);
}
bool push_frozen_keys(lua_State* L, int index) {
  return push_part(L, index, kKeys);
}
bool push_frozen_metatable(lua_State* L, int index) {
  return push_part(L, index, kMetatable);
}

std::vector<KeptFault> freeze(lua_State* L, const std::vector<int>& roots) {
  const int top = lua_gettop(L);
  luaL_checkstack(L, 40, nullptr);
  Walk walk(L);
  lua_pushglobaltable(L);
  walk.visit();
  push_postern(L);
  walk.visit();
  for (const int root : roots) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, root);
    walk.visit();
  }
  std::vector<KeptFault> faults = walk.run();
  if (faults.empty()) {
    lua_newtable(L);
    const int forms = lua_gettop(L);
    for (lua_Integer at = 1; at <= walk.found(); ++at) {
      if (lua_rawgeti(L, walk.list(), at) == LUA_TTABLE) {
        push_frozen_form(L, lua_gettop(L));
        lua_rawseti(L, forms, at);
      }
      lua_settop(L, forms);
    }
    for (lua_Integer at = 1; at <= walk.found(); ++at) {
      if (lua_rawgeti(L, walk.list(), at) == LUA_TTABLE) {
        const int table = lua_gettop(L);
        lua_pushnil(L);
        lua_setmetatable(L, table);
        empty(L, table);
        lua_rawgeti(L, forms, at);
        lua_setmetatable(L, table);
      }
      lua_settop(L, forms);
    }
  }
  lua_settop(L, top);
  return faults;
}

}  // namespace postern::lua
