// IP addresses and DNS answers.
#include <fmt/format.h>

#include "api.h"
#include "bind.h"
#include "libraries.h"
#include "objects.h"

namespace postern::lua {
namespace {

IpNetwork check_network(lua_State* L, int index) {
  const auto network = IpNetwork::parse(check_text(L, index));
  if (!network) luaL_argerror(L, index, "not a network such as 192.0.2.0/24");
  return *network;
}

int ip_reversed(lua_State* L) {
  return push(L, check_box<IpBox>(L, 1).ip.reversed()), 1;
}

/// Whether it lies in one of the networks; without any it lies in none.
int ip_in_network(lua_State* L) {
  const IpAddress& ip = check_box<IpBox>(L, 1).ip;
  bool inside = false;
  for (int i = 2; i <= lua_gettop(L); ++i) inside = check_network(L, i).contains(ip) || inside;
  return lua_pushboolean(L, inside), 1;
}

int ip_index(lua_State* L) {
  const IpAddress& ip = check_box<IpBox>(L, 1).ip;
  const std::string_view name = check_text(L, 2);
  check_member(L, IpBox::kName, name);
  if (name == "reversed") return lua_pushcfunction(L, bound<ip_reversed>), 1;
  if (name == "in_network") return lua_pushcfunction(L, bound<ip_in_network>), 1;
  if (name == "is_v6") return lua_pushboolean(L, ip.is_v6()), 1;
  if (name == "is_private") return lua_pushboolean(L, ip.is_private()), 1;
  if (name == "is_loopback") return lua_pushboolean(L, ip.is_loopback()), 1;
  return no_field(L, IpBox::kName, name);
}

int ip_text(lua_State* L) {
  return push(L, check_box<IpBox>(L, 1).ip.to_string()), 1;
}

int ip_equal(lua_State* L) {
  const IpBox* a = test_box<IpBox>(L, 1);
  const IpBox* b = test_box<IpBox>(L, 2);
  return lua_pushboolean(L, a && b && a->ip == b->ip), 1;
}

int ip_join(lua_State* L) {
  push_text(L, 1);
  push_text(L, 2);
  lua_concat(L, 2);
  return 1;
}

void set_number(lua_State* L, const char* name, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}
void set_text(lua_State* L, const char* name, std::string_view value) {
  push(L, value);
  lua_setfield(L, -2, name);
}

/// One record: an address, a text, or a table of its parts.
struct PushRecord {
  lua_State* L;
  void operator()(const AddressRecord& record) const { push_box(L, IpBox{record}); }
  void operator()(const TxtRecord& record) const { push(L, record.text); }
  void operator()(const NameRecord& record) const { push(L, record.name); }
  void operator()(const MxRecord& record) const {
    lua_createtable(L, 0, 2);
    set_number(L, "preference", record.preference);
    set_text(L, "exchange", record.exchange);
  }
  void operator()(const TlsaRecord& record) const {
    lua_createtable(L, 0, 4);
    set_number(L, "usage", record.usage);
    set_number(L, "selector", record.selector);
    set_number(L, "matching", record.matching);
    set_text(L, "data", record.data);
  }
  void operator()(const SrvRecord& record) const {
    lua_createtable(L, 0, 4);
    set_number(L, "priority", record.priority);
    set_number(L, "weight", record.weight);
    set_number(L, "port", record.port);
    set_text(L, "target", record.target);
  }
  void operator()(const SoaRecord& record) const {
    lua_createtable(L, 0, 4);
    set_text(L, "primary", record.primary);
    set_text(L, "mailbox", record.mailbox);
    set_number(L, "serial", record.serial);
    set_number(L, "minimum", record.minimum);
  }
};

/// Whether an address of the answer lies in one of the networks.
int answer_any_in(lua_State* L) {
  const DnsAnswer& answer = check_box<AnswerBox>(L, 1).answer;
  bool inside = false;
  for (int i = 2; i <= lua_gettop(L); ++i) {
    const IpNetwork network = check_network(L, i);
    for (const DnsRecord& record : answer.records)
      if (const auto* ip = std::get_if<AddressRecord>(&record)) inside = inside || network.contains(*ip);
  }
  return lua_pushboolean(L, inside), 1;
}

int answer_index(lua_State* L) {
  const DnsAnswer& answer = check_box<AnswerBox>(L, 1).answer;
  if (lua_isinteger(L, 2)) {
    const lua_Integer at = lua_tointeger(L, 2);
    if (at < 1 || static_cast<std::size_t>(at) > answer.records.size()) return lua_pushnil(L), 1;
    std::visit(PushRecord{L}, answer.records[static_cast<std::size_t>(at - 1)]);
    return 1;
  }
  const std::string_view name = check_text(L, 2);
  check_member(L, AnswerBox::kName, name);
  if (name == "any_in") return lua_pushcfunction(L, bound<answer_any_in>), 1;
  if (name == "ok") return lua_pushboolean(L, answer.ok()), 1;
  if (name == "empty") return lua_pushboolean(L, answer.records.empty()), 1;
  if (name == "status") return push(L, to_string(answer.status)), 1;
  if (name == "authenticated") return lua_pushboolean(L, answer.authenticated), 1;
  if (name == "canonical_name") return push(L, answer.canonical_name), 1;
  return no_field(L, AnswerBox::kName, name);
}

int answer_length(lua_State* L) {
  return lua_pushinteger(L, static_cast<lua_Integer>(check_box<AnswerBox>(L, 1).answer.records.size())), 1;
}

/// postern.ip "192.0.2.1"
int make_ip(lua_State* L) {
  const auto ip = IpAddress::parse(check_text(L, 1));
  if (ip)
    push_box(L, IpBox{*ip});
  else
    lua_pushnil(L);
  return 1;
}

}  // namespace

void open_addresses(lua_State* L) {
  constexpr luaL_Reg kIp[] = {{"__index", bound<ip_index>},
                              {"__tostring", bound<ip_text>},
                              {"__eq", ip_equal},
                              {"__concat", bound<ip_join>},
                              {nullptr, nullptr}};
  constexpr luaL_Reg kAnswer[] = {{"__index", bound<answer_index>}, {"__len", answer_length}, {nullptr, nullptr}};
  define_box<IpBox>(L, kIp);
  define_box<AnswerBox>(L, kAnswer);
  push_postern(L);
  lua_pushcfunction(L, bound<make_ip>);
  lua_setfield(L, -2, "ip");
  lua_pop(L, 1);
}

}  // namespace postern::lua
