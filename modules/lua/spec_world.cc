// `t`, what a case says about its world, and t:mail{...}.
#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "libraries.h"
#include "postern/text.h"
#include "spec_fields.h"

namespace postern::lua {
namespace {

int done_or_raise(lua_State* L, const Result<void>& done) {
  if (!done) return luaL_error(L, "%s", done.error().detail.c_str());
  lua_settop(L, 1);
  return 1;  // the world again, so that calls may be chained
}

// ---- DNS ------------------------------------------------------------------------------------------------------------

template <class T>
T number_of(lua_State* L, std::string_view text, std::string_view whole) {
  const auto number = to_number<T>(text);
  if (!number) luaL_error(L, "\"%s\" is no answer of this type", std::string(whole).c_str());
  return *number;
}

DnsRecord record_of(lua_State* L, RecordType type, std::string_view text) {
  const std::vector<std::string_view> words = split_words(text);
  const auto need = [&](std::size_t count, const char* form) {
    if (words.size() != count)
      luaL_error(L, "\"%s\" is no answer of this type: it has the form \"%s\"", std::string(text).c_str(), form);
  };
  switch (type) {
    case RecordType::kA:
    case RecordType::kAaaa: {
      const auto ip = IpAddress::parse(text);
      if (!ip || ip->is_v6() != (type == RecordType::kAaaa))
        luaL_error(L, "\"%s\" is no address for %s", std::string(text).c_str(), to_string(type).c_str());
      return *ip;
    }
    case RecordType::kMx:
      need(2, "10 mx.example.org");
      return MxRecord{number_of<std::uint16_t>(L, words[0], text), to_lower(words[1])};
    case RecordType::kTxt:
      return TxtRecord{std::string(text)};
    case RecordType::kPtr:
    case RecordType::kCname:
    case RecordType::kNs:
      return NameRecord{to_lower(text)};
    case RecordType::kSrv:
      need(4, "0 5 25 mx.example.org");
      return SrvRecord{number_of<std::uint16_t>(L, words[0], text), number_of<std::uint16_t>(L, words[1], text),
                       number_of<std::uint16_t>(L, words[2], text), to_lower(words[3])};
    case RecordType::kTlsa: {
      need(4, "3 1 1 ab12...");
      const auto data = hex_decode(words[3]);
      if (!data) luaL_error(L, "\"%s\" is no hexadecimal", std::string(words[3]).c_str());
      return TlsaRecord{number_of<std::uint8_t>(L, words[0], text), number_of<std::uint8_t>(L, words[1], text),
                        number_of<std::uint8_t>(L, words[2], text), *data};
    }
    case RecordType::kSoa:
      break;
  }
  luaL_error(L, "answers of this type cannot be stated");
  std::unreachable();
}

RecordType type_of(lua_State* L, int index) {
  static constexpr std::string_view kTypes[] = {"A", "AAAA", "MX", "TXT", "PTR", "CNAME", "NS", "SRV", "TLSA"};
  const std::string_view name = check_text(L, index);
  const auto type = parse_record_type(name);
  if (!type) bad_value(L, "type of record", name, kTypes);
  return *type;
}

/// A name as it is asked for: of PTR, an address stands for its reversed name.
std::string name_of(lua_State* L, int index, RecordType type) {
  const std::string_view text = check_text(L, index);
  if (type == RecordType::kPtr)
    if (const auto ip = IpAddress::parse(text)) return ip->reversed() + (ip->is_v6() ? ".ip6.arpa" : ".in-addr.arpa");
  return to_lower(text);
}

/// t:dns(name, type, answer, ...): without an answer the name does not exist.
int dns(lua_State* L) {
  SpecWorld& world = world_of(L);
  const RecordType type = type_of(L, 3);
  DnsAnswer answer;
  for (int i = 4; i <= lua_gettop(L); ++i) answer.records.push_back(record_of(L, type, check_text(L, i)));
  answer.status = answer.records.empty() ? DnsStatus::kNxDomain : DnsStatus::kOk;
  return done_or_raise(L, world.answer_dns(name_of(L, 2, type), type, std::move(answer)));
}

/// t:dns_fails(name, type [, "timeout"])
int dns_fails(lua_State* L) {
  SpecWorld& world = world_of(L);
  const RecordType type = type_of(L, 3);
  const std::string_view word = lua_isnoneornil(L, 4) ? std::string_view("servfail") : check_text(L, 4);
  static constexpr std::string_view kWords[] = {"servfail", "timeout", "refused", "nodata"};
  static constexpr DnsStatus kStatus[] = {DnsStatus::kServfail, DnsStatus::kTimeout, DnsStatus::kRefused,
                                          DnsStatus::kNoData};
  DnsAnswer answer;
  const auto found = std::ranges::find(kWords, word);
  if (found == std::end(kWords)) bad_value(L, "failure", word, kWords);
  answer.status = kStatus[found - std::begin(kWords)];
  return done_or_raise(L, world.answer_dns(name_of(L, 2, type), type, std::move(answer)));
}

// ---- directory, clock, other answers --------------------------------------------------------------------------------

/// t:domain(name, "local" | "relay" | "foreign")
int domain(lua_State* L) {
  static constexpr std::string_view kWords[] = {"local", "relay", "foreign"};
  SpecWorld& world = world_of(L);
  const std::string_view name = check_text(L, 2);
  const std::string_view word = lua_isnoneornil(L, 3) ? kWords[0] : check_text(L, 3);
  const auto found = std::ranges::find(kWords, word);
  if (found == std::end(kWords)) bad_value(L, "kind of domain", word, kWords);
  return done_or_raise(L, world.set_domain(name, static_cast<DomainKind>(found - std::begin(kWords))));
}

/// t:account(address [, account])
int account(lua_State* L) {
  SpecWorld& world = world_of(L);
  AddressLookup lookup;
  lookup.kind = AddressLookup::Kind::kAccount;
  lookup.account = lua_isnoneornil(L, 3) ? check_text(L, 2) : check_text(L, 3);
  return done_or_raise(L, world.set_address(check_text(L, 2), std::move(lookup)));
}

/// t:alias(address, target, ...)
int alias(lua_State* L) {
  SpecWorld& world = world_of(L);
  AddressLookup lookup;
  lookup.kind = AddressLookup::Kind::kAlias;
  luaL_argcheck(L, lua_gettop(L) >= 3, 3, "the address that it stands for");
  for (int i = 3; i <= lua_gettop(L); ++i) {
    auto target = Address::parse(check_text(L, i));
    if (!target) luaL_argerror(L, i, "not a mail address");
    lookup.targets.push_back(std::move(*target));
  }
  return done_or_raise(L, world.set_address(check_text(L, 2), std::move(lookup)));
}

/// t:directory_fails(address): it does not answer about this one.
int directory_fails(lua_State* L) {
  SpecWorld& world = world_of(L);
  AddressLookup lookup;
  lookup.kind = AddressLookup::Kind::kTemporary;
  return done_or_raise(L, world.set_address(check_text(L, 2), std::move(lookup)));
}

/// t:clock(seconds since 1970)
int clock(lua_State* L) {
  SpecWorld& world = world_of(L);
  const lua_Number seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0 && seconds < 4e11, 2, "seconds since 1970; postern.time.parse_rfc3339 reads a date");
  world.set_clock(WallTime(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6))));
  lua_settop(L, 1);
  return 1;
}

/// t:answer(effect, question, answer): any other effect, in the words of trails.
int answer(lua_State* L) {
  SpecWorld& world = world_of(L);
  return done_or_raise(L, world.answer(check_text(L, 2), check_text(L, 3), check_text(L, 4)));
}

/// t:kv(key [, value [, store]]): the value there; or puts one there, false for none.
int kv(lua_State* L) {
  SpecWorld& world = world_of(L);
  const std::string key(check_text(L, 2));
  const std::string store = lua_isnoneornil(L, 4) ? std::string() : std::string(check_text(L, 4));
  if (lua_isnoneornil(L, 3)) {
    const auto value = world.key(store, key);
    if (!value) return luaL_error(L, "%s", value.error().detail.c_str());
    return *value ? push(L, **value) : lua_pushnil(L), 1;
  }
  std::optional<std::string> value;
  if (lua_isboolean(L, 3))
    luaL_argcheck(L, !lua_toboolean(L, 3), 3, "a text, or false for none");
  else
    value = check_text(L, 3);
  return done_or_raise(L, world.set_key(store, key, std::move(value)));
}

/// t:seed(number): chance begins anew.
int seed(lua_State* L) {
  SpecWorld& world = world_of(L);
  world.set_seed(static_cast<std::uint64_t>(luaL_checkinteger(L, 2)));
  lua_settop(L, 1);
  return 1;
}

/// t:relay_network(network)
int relay_network(lua_State* L) {
  SpecWorld& world = world_of(L);
  return done_or_raise(L, world.set_relay_network(check_text(L, 2)));
}

// ---- mail -----------------------------------------------------------------------------------------------------------

/// A name, or true for one that will do.
std::string word_or_true(lua_State* L, int table, const char* key, const char* if_true) {
  lua_getfield(L, table, key);
  std::string out;
  if (lua_isboolean(L, -1))
    out = lua_toboolean(L, -1) ? if_true : "";
  else if (lua_type(L, -1) == LUA_TSTRING)
    out = raw_text(L, -1);
  else if (!lua_isnil(L, -1))
    luaL_error(L, "%s must be a string or true", key);
  lua_pop(L, 1);
  return out;
}

SessionRole role_field(lua_State* L, int table, SessionRole fallback) {
  static constexpr std::string_view kRoles[] = {"mx", "submission", "submissions", "lmtp", "local"};
  const std::string word = text_field(L, table, "role");
  if (word.empty()) return fallback;
  const auto found = std::ranges::find(kRoles, word);
  if (found == std::end(kRoles)) bad_value(L, "role", word, kRoles);
  return static_cast<SessionRole>(found - std::begin(kRoles));
}

IpAddress ip_field(lua_State* L, int table, const char* key, std::string fallback) {
  const std::string text = text_field(L, table, key, std::move(fallback));
  const auto ip = IpAddress::parse(text);
  if (!ip) luaL_error(L, "%s: \"%s\" is no address", key, text.c_str());
  return *ip;
}

void read_client(lua_State* L, int table, ClientInfo& client) {
  static constexpr std::string_view kKeys[] = {"ip",           "port",         "role", "listener", "ehlo",     "helo",
                                               "reverse_name", "claimed_name", "tls",  "auth",     "mechanism"};
  check_known_keys(L, table, kKeys, "client");
  client.ip = ip_field(L, table, "ip", "203.0.113.1");
  lua_getfield(L, table, "port");
  if (!lua_isnil(L, -1)) {
    const lua_Integer port = luaL_checkinteger(L, -1);
    if (port < 0 || port > 65'535) luaL_error(L, "port must be from 0 to 65535");
    client.port = static_cast<std::uint16_t>(port);
  }
  lua_pop(L, 1);
  client.role = role_field(L, table, client.role);
  client.listener = text_field(L, table, "listener", client.listener);
  const std::string helo = text_field(L, table, "helo");
  client.esmtp = helo.empty();
  client.ehlo = helo.empty() ? text_field(L, table, "ehlo", client.ehlo) : helo;
  client.reverse_name = text_field(L, table, "reverse_name");
  client.reverse_verified = !client.reverse_name.empty();
  if (client.reverse_name.empty()) client.reverse_name = text_field(L, table, "claimed_name");
  client.tls_version = word_or_true(L, table, "tls", "TLSv1.3");
  if (client.secure()) client.tls_cipher = "TLS_AES_256_GCM_SHA384";
  client.auth_user = text_field(L, table, "auth");
  if (client.authenticated()) client.auth_mechanism = text_field(L, table, "mechanism", "PLAIN");
}

/// t:mail { from =, to =, client = {...}, text = }
int mail(lua_State* L) {
  static constexpr std::string_view kKeys[] = {"from", "to", "client", "text"};
  SpecWorld& world = world_of(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  check_known_keys(L, 2, kKeys, "mail");
  if (++SpecFile::of(L).mails > kMaxSpecMails) return luaL_error(L, "too many mails in one case");
  SpecMail described;
  described.client.ip = *IpAddress::parse("203.0.113.1");
  described.client.ehlo = "client.example";
  described.client.esmtp = true;
  described.sender = text_field(L, 2, "from");
  read_recipients(L, 2, described.recipients);
  described.text = text_field(L, 2, "text", "Subject: a spec's mail\n\nhello\n");
  if (lua_getfield(L, 2, "client") == LUA_TTABLE)
    read_client(L, lua_gettop(L), described.client);
  else if (!lua_isnil(L, -1))
    return luaL_error(L, "client must be a table");
  Result<SpecResult> result = world.mail(described);
  if (!result) return luaL_error(L, "%s", result.error().detail.c_str());
  push_spec_result(L, std::make_shared<const SpecResult>(std::move(*result)));
  return 1;
}

int world_index(lua_State* L) {
  check_box<SpecWorldBox>(L, 1);
  constexpr std::pair<std::string_view, lua_CFunction> kMethods[] = {{"dns", bound<dns>},
                                                                     {"dns_fails", bound<dns_fails>},
                                                                     {"domain", bound<domain>},
                                                                     {"account", bound<account>},
                                                                     {"alias", bound<alias>},
                                                                     {"directory_fails", bound<directory_fails>},
                                                                     {"clock", bound<clock>},
                                                                     {"answer", bound<answer>},
                                                                     {"kv", bound<kv>},
                                                                     {"seed", bound<seed>},
                                                                     {"event", bound<spec_event>},
                                                                     {"mail", bound<mail>},
                                                                     {"relay_network", bound<relay_network>}};
  const std::string_view name = check_text(L, 2);
  std::vector<std::string_view> known;
  for (const auto& [method, function] : kMethods) {
    if (name == method) return lua_pushcfunction(L, function), 1;
    known.push_back(method);
  }
  bad_value(L, "function t:", name, known);
}

}  // namespace

void open_spec_world(lua_State* L) {
  constexpr luaL_Reg kWorld[] = {{"__index", bound<world_index>}, {nullptr, nullptr}};
  define_box<SpecWorldBox>(L, kWorld);
}

void push_spec_world(lua_State* L) {
  push_box(L, SpecWorldBox{});
}

}  // namespace postern::lua
