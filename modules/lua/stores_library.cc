// postern.sql, kv and directory: what is kept outside of scripts.
//
//   local rows, err = postern.sql.query("users", "SELECT quota FROM users WHERE mail = ?", rcpt.address)
//   if rows and rows[1] then ... rows[1].quota ... end            rows.changed: how many rows the statement changed
//   local n, err = postern.kv.incr("mails/" .. mail.sender, 1, "1h")
//   local limits = postern.kv.store "redis"                       limits:get(key), limits:set(key, value, expiry) ...
//   local account = postern.directory.user(rcpt.address)
//
// NULL is no field of a row. An expiry is in seconds, or a text such as "1h"; that of an increment counts from the
// first one (a fixed window). postern.secret(value) keeps an argument or value out of the trail.
#include "ask.h"
#include "bind.h"
#include "libraries.h"
#include "postern/database.h"
#include "postern/key_value.h"

namespace postern::lua {
namespace {

constexpr std::int64_t kOctetsPerStep = 64;
constexpr std::int64_t kStepsPerRow = 5;

// ---- sql ----

struct PushValue {
  lua_State* L;
  void operator()(std::monostate) const { lua_pushnil(L); }
  void operator()(bool yes) const { lua_pushboolean(L, yes); }
  void operator()(std::int64_t number) const { lua_pushinteger(L, number); }
  void operator()(double number) const { lua_pushnumber(L, number); }
  void operator()(const std::string& text) const {
    ScriptState::charge(L, static_cast<std::int64_t>(text.size()) / kOctetsPerStep);
    push(L, text);
  }
};

class SqlQuestion final : public Question {
 public:
  SqlQuestion(std::string database, std::string statement, std::vector<SqlArgument> arguments)
      : database_(std::move(database)), statement_(std::move(statement)), arguments_(std::move(arguments)) {}
  Task<void> run(Effects& effects) override {
    answer_ = co_await effects.sql(std::move(database_), std::move(statement_), std::move(arguments_));
  }

  int push_answer(lua_State* L) override {
    if (!answer_) return push_fault(L, answer_.error());
    const SqlRows& rows = *answer_;
    lua_createtable(L, static_cast<int>(rows.rows.size()), 1);
    lua_Integer number = 0;
    for (const auto& row : rows.rows) {
      ScriptState::charge(L, kStepsPerRow + static_cast<std::int64_t>(row.size()));
      lua_createtable(L, 0, static_cast<int>(row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) {
        push(L, rows.columns[i]);
        std::visit(PushValue{L}, row[i]);
        lua_rawset(L, -3);
      }
      lua_rawseti(L, -2, ++number);
    }
    lua_pushinteger(L, static_cast<lua_Integer>(rows.changed));
    lua_setfield(L, -2, "changed");
    return 1;
  }

 private:
  std::string database_, statement_;
  std::vector<SqlArgument> arguments_;
  Result<SqlRows> answer_;
};

/// A copy of the text, which is of the call's memory.
std::string copy_of(lua_State* L, std::string_view text) {
  ScriptState::hold_memory(L, text.size());
  return std::string(text);
}

SqlArgument argument(lua_State* L, int index) {
  if (const auto* secret = test_box<SecretBox>(L, index)) return {copy_of(L, secret->text), true};
  switch (lua_type(L, index)) {
    case LUA_TNIL:
      return {};
    case LUA_TBOOLEAN:
      return {lua_toboolean(L, index) != 0};
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return {static_cast<std::int64_t>(lua_tointeger(L, index))};
      return {lua_tonumber(L, index)};
    case LUA_TSTRING:
      return {copy_of(L, raw_text(L, index))};
    default: {
      luaL_argerror(L, index, "nil, true, false, a number, a string or a secret");
      return {};
    }
  }
}

int sql_query(lua_State* L) {
  std::string database = copy_of(L, check_text(L, 1)), statement = copy_of(L, check_text(L, 2));
  const int count = lua_gettop(L) - 2;
  luaL_argcheck(L, count <= static_cast<int>(Database::kMaxArguments), 3, "too many arguments");
  std::vector<SqlArgument> arguments;
  for (int i = 0; i < count; ++i) arguments.push_back(argument(L, i + 3));
  return wait_for(L, "sql.query",
                  std::make_shared<SqlQuestion>(std::move(database), std::move(statement), std::move(arguments)));
}

// ---- kv ----

/// A store that the script named.
struct StoreBox {
  static constexpr const char* kName = "kv store";
  std::string name;
};

class KeyValueQuestion final : public Question {
 public:
  KeyValueQuestion(std::string store, KeyValueRequest request)
      : store_(std::move(store)), request_(std::move(request)), kind_(request_.kind) {}
  Task<void> run(Effects& effects) override { answer_ = co_await effects.kv(std::move(store_), std::move(request_)); }

  int push_answer(lua_State* L) override {
    if (!answer_) return push_fault(L, answer_.error());
    switch (kind_) {
      case KeyValueRequest::Kind::kGet:
        if (!answer_->value) return lua_pushnil(L), 1;
        ScriptState::charge(L, static_cast<std::int64_t>(answer_->value->size()) / kOctetsPerStep);
        return push(L, *answer_->value), 1;
      case KeyValueRequest::Kind::kSet:
        return lua_pushboolean(L, 1), 1;
      case KeyValueRequest::Kind::kIncrement:
      case KeyValueRequest::Kind::kRemove:
        break;
    }
    return lua_pushinteger(L, answer_->number), 1;
  }

 private:
  std::string store_;
  KeyValueRequest request_;
  KeyValueRequest::Kind kind_;
  Result<KeyValueReply> answer_;
};

/// Takes a store off the front of the arguments of a method; of a function of the module it is the default one.
template <bool Method>
std::string take_store(lua_State* L) {
  if constexpr (!Method) return {};
  std::string name = check_box<StoreBox>(L, 1).name;
  lua_remove(L, 1);
  return name;
}

int ask_store(lua_State* L, const char* what, std::string store, KeyValueRequest request) {
  request.key = check_text(L, 1);
  luaL_argcheck(L, !request.key.empty() && request.key.size() <= KeyValueStore::kMaxKey, 1, "a key of 1 to 512 octets");
  return wait_for(L, what, std::make_shared<KeyValueQuestion>(std::move(store), std::move(request)));
}

template <bool Method>
int kv_get(lua_State* L) {
  std::string store = take_store<Method>(L);
  KeyValueRequest request;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "secret");
    request.secret = lua_toboolean(L, -1);
  }
  return ask_store(L, "kv.get", std::move(store), std::move(request));
}

template <bool Method>
int kv_set(lua_State* L) {
  std::string store = take_store<Method>(L);
  KeyValueRequest request;
  request.kind = KeyValueRequest::Kind::kSet;
  if (const auto* secret = test_box<SecretBox>(L, 2)) {
    request.value = secret->text;
    request.secret = true;
  } else {
    request.value = check_text(L, 2);
  }
  luaL_argcheck(L, request.value.size() <= KeyValueStore::kMaxValue, 2, "a value of at most 64 KiB");
  request.expiry = opt_duration(L, 3);
  return ask_store(L, "kv.set", std::move(store), std::move(request));
}

template <bool Method>
int kv_incr(lua_State* L) {
  std::string store = take_store<Method>(L);
  KeyValueRequest request;
  request.kind = KeyValueRequest::Kind::kIncrement;
  request.by = luaL_optinteger(L, 2, 1);
  request.expiry = opt_duration(L, 3);
  return ask_store(L, "kv.incr", std::move(store), std::move(request));
}

template <bool Method>
int kv_remove(lua_State* L) {
  std::string store = take_store<Method>(L);
  KeyValueRequest request;
  request.kind = KeyValueRequest::Kind::kRemove;
  return ask_store(L, "kv.remove", std::move(store), std::move(request));
}

int kv_store(lua_State* L) {
  const std::string_view name = check_text(L, 1);
  luaL_argcheck(L, !name.empty() && name.size() <= 64, 1, "a name of 1 to 64 octets");
  push_box(L, StoreBox{std::string(name)});
  return 1;
}

int store_index(lua_State* L) {
  check_box<StoreBox>(L, 1);
  const std::string_view name = check_text(L, 2);
  lua_CFunction method = name == "get"      ? bound<kv_get<true>>
                         : name == "set"    ? bound<kv_set<true>>
                         : name == "incr"   ? bound<kv_incr<true>>
                         : name == "remove" ? bound<kv_remove<true>>
                                            : nullptr;
  if (!method) return luaL_error(L, "a kv store has no field '%s'", std::string(name).c_str());
  return lua_pushcfunction(L, method), 1;
}

// ---- directory ----

class DirectoryQuestion final : public Question {
 public:
  enum class Wanted : std::uint8_t { kUser, kAlias };
  DirectoryQuestion(Address address, Wanted wanted) : address_(std::move(address)), wanted_(wanted) {}
  Task<void> run(Effects& effects) override { found_ = co_await effects.directory().find(std::move(address_)); }

  int push_answer(lua_State* L) override {
    if (found_.kind == AddressLookup::Kind::kTemporary) return push_fault(L, {"directory.temporary", ""});
    if (wanted_ == Wanted::kUser && found_.kind == AddressLookup::Kind::kAccount) return push(L, found_.account), 1;
    if (wanted_ == Wanted::kUser || found_.kind != AddressLookup::Kind::kAlias) return lua_pushnil(L), 1;
    lua_createtable(L, static_cast<int>(found_.targets.size()), 0);
    lua_Integer number = 0;
    for (const Address& target : found_.targets) {
      ScriptState::charge(L, kStepsPerRow);
      push(L, target.to_string());
      lua_rawseti(L, -2, ++number);
    }
    return 1;
  }

 private:
  Address address_;
  Wanted wanted_;
  AddressLookup found_;
};

template <DirectoryQuestion::Wanted wanted>
int directory_find(lua_State* L) {
  auto address = Address::parse(check_text(L, 1));
  if (!address) return lua_pushnil(L), 1;  // what is no address is nobody
  const char* what = wanted == DirectoryQuestion::Wanted::kUser ? "directory.user" : "directory.alias";
  return wait_for(L, what, std::make_shared<DirectoryQuestion>(std::move(*address), wanted));
}

/// "local", "relay" or "foreign".
int directory_domain(lua_State* L) {
  Fiber& fiber = ScriptState::in_call(L, "directory.domain");
  const auto domain = Domain::parse(check_text(L, 1));
  ScriptState::charge(L, kStepsPerRow);
  const DomainKind kind = domain ? fiber.call.effects->directory().domain_kind(domain->ascii()) : DomainKind::kForeign;
  push(L, kind == DomainKind::kLocal ? "local" : kind == DomainKind::kRelay ? "relay" : "foreign");
  return 1;
}

}  // namespace

void open_stores(lua_State* L) {
  constexpr luaL_Reg kSql[] = {{"query", bound<sql_query>}, {nullptr, nullptr}};
  constexpr luaL_Reg kKeyValue[] = {{"get", bound<kv_get<false>>},   {"set", bound<kv_set<false>>},
                                    {"incr", bound<kv_incr<false>>}, {"remove", bound<kv_remove<false>>},
                                    {"store", bound<kv_store>},      {nullptr, nullptr}};
  constexpr luaL_Reg kDirectory[] = {{"user", bound<directory_find<DirectoryQuestion::Wanted::kUser>>},
                                     {"alias", bound<directory_find<DirectoryQuestion::Wanted::kAlias>>},
                                     {"domain", bound<directory_domain>},
                                     {nullptr, nullptr}};
  constexpr luaL_Reg kStore[] = {{"__index", bound<store_index>}, {nullptr, nullptr}};
  define_box<StoreBox>(L, kStore);
  push_postern(L);
  set_table(L, "sql", kSql);
  set_table(L, "kv", kKeyValue);
  set_table(L, "directory", kDirectory);
  lua_settop(L, 0);
}

}  // namespace postern::lua
