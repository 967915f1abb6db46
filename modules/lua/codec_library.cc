// postern.base64, postern.hex, postern.hash and postern.time: texts and numbers in other forms.
//
//   postern.base64.encode(text)            postern.base64.decode(text)         nil when it is not exactly base64
//   postern.hash.sha256(text)              postern.hash.hmac_sha256(key, text) in hex; "raw" or "base64" as last
//   argument postern.time.format_rfc5322(seconds)   postern.time.parse_rfc5322(text)    seconds since 1970
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <chrono>
#include <cmath>

#include "bind.h"
#include "libraries.h"
#include "postern/mail_date.h"
#include "postern/text.h"
#include "state.h"
#include "text_library.h"

namespace postern::lua {
namespace {

/// The string at `index`, whose octets are charged.
std::string_view check_octets(lua_State* L, int index, std::int64_t octets_per_step) {
  const std::string_view text = check_text(L, index);
  luaL_argcheck(L, text.size() <= kMaxCodecText, index, "too long");
  ScriptState::charge(L, static_cast<std::int64_t>(text.size()) / octets_per_step + 5);
  return text;
}

constexpr std::int64_t kCodecOctetsPerStep = 32;
constexpr std::int64_t kHashOctetsPerStep = 16;

template <std::string (*Encode)(std::string_view)>
int encode(lua_State* L) {
  return push(L, Encode(check_octets(L, 1, kCodecOctetsPerStep))), 1;
}

/// The octets, or nil for what the encoder cannot have made.
template <std::optional<std::string> (*Decode)(std::string_view)>
int decode(lua_State* L) {
  const std::optional<std::string> octets = Decode(check_octets(L, 1, kCodecOctetsPerStep));
  if (octets)
    push(L, *octets);
  else
    lua_pushnil(L);
  return 1;
}

// ---- hash ----

int push_digest(lua_State* L, std::string_view digest, int form) {
  static constexpr const char* kForms[] = {"hex", "raw", "base64", nullptr};
  switch (luaL_checkoption(L, form, "hex", kForms)) {
    case 0:
      push(L, hex_encode(digest));
      break;
    case 1:
      push(L, digest);
      break;
    default:
      push(L, base64_encode(digest));
      break;
  }
  return 1;
}

std::string_view digest_view(const unsigned char* digest, unsigned size) {
  return {reinterpret_cast<const char*>(digest), size};
}

/// hash.x(text [, form])
template <const EVP_MD* (*Algorithm)()>
int hash(lua_State* L) {
  const std::string_view text = check_octets(L, 1, kHashOctetsPerStep);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, Algorithm(), nullptr) != 1)
    return luaL_error(L, "this system's OpenSSL refuses that hash");
  return push_digest(L, digest_view(digest, size), 2);
}

/// hash.hmac_sha256(key, text [, form]); RFC 2104
int hmac_sha256(lua_State* L) {
  const std::string_view key = check_octets(L, 1, kHashOctetsPerStep);
  const std::string_view text = check_octets(L, 2, kHashOctetsPerStep);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
            text.size(), digest, &size))
    return luaL_error(L, "this system's OpenSSL refuses that hash");
  return push_digest(L, digest_view(digest, size), 3);
}

/// hash.equal(a, b), in a time that does not tell where they differ.
int hash_equal(lua_State* L) {
  const std::string_view a = check_octets(L, 1, kHashOctetsPerStep);
  const std::string_view b = check_octets(L, 2, kHashOctetsPerStep);
  return lua_pushboolean(L, a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0), 1;
}

// ---- time ----

constexpr lua_Number kFirstSecond = -62'167'219'200.0;  ///< of the year 0
constexpr lua_Number kLastSecond = 253'402'300'799.0;   ///< of the year 9999

WallTime check_time(lua_State* L, int index) {
  const lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= kFirstSecond && seconds <= kLastSecond, index, "not a time in the years 0 to 9999");
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(std::floor(seconds))));
}

template <std::string (*Format)(WallTime)>
int format_time(lua_State* L) {
  ScriptState::charge(L, 10);
  return push(L, Format(check_time(L, 1))), 1;
}

/// Seconds since 1970, as an integer unless there are parts of one.
void push_time(lua_State* L, WallTime when) {
  const std::int64_t micros = when.time_since_epoch().count();
  if (micros % 1'000'000 == 0)
    lua_pushinteger(L, micros / 1'000'000);
  else
    lua_pushnumber(L, static_cast<lua_Number>(micros) / 1e6);
}

/// The seconds, and the zone's minutes east of Greenwich if the date names one; nil when it is no date.
int parse_rfc5322(lua_State* L) {
  ScriptState::charge(L, 30);
  const auto date = parse_mail_date(check_text(L, 1));
  if (!date) return lua_pushnil(L), 1;
  push_time(L, date->utc);
  if (date->zone_known)
    lua_pushinteger(L, date->zone_minutes);
  else
    lua_pushnil(L);
  return 2;
}

int parse_3339(lua_State* L) {
  ScriptState::charge(L, 30);
  const auto when = parse_rfc3339(check_text(L, 1));
  if (when)
    push_time(L, *when);
  else
    lua_pushnil(L);
  return 1;
}

}  // namespace

void open_codecs(lua_State* L) {
  constexpr luaL_Reg kBase64[] = {
      {"encode", bound<encode<base64_encode>>}, {"decode", bound<decode<base64_decode>>}, {nullptr, nullptr}};
  constexpr luaL_Reg kHex[] = {
      {"encode", bound<encode<hex_encode>>}, {"decode", bound<decode<hex_decode>>}, {nullptr, nullptr}};
  constexpr luaL_Reg kHash[] = {{"sha256", bound<hash<EVP_sha256>>}, {"sha1", bound<hash<EVP_sha1>>},
                                {"md5", bound<hash<EVP_md5>>},       {"hmac_sha256", bound<hmac_sha256>},
                                {"equal", bound<hash_equal>},        {nullptr, nullptr}};
  constexpr luaL_Reg kTime[] = {{"parse_rfc5322", bound<parse_rfc5322>},
                                {"format_rfc5322", bound<format_time<format_mail_date>>},
                                {"parse_rfc3339", bound<parse_3339>},
                                {"rfc3339", bound<format_time<format_rfc3339>>},
                                {nullptr, nullptr}};
  push_postern(L);
  set_table(L, "base64", kBase64);
  set_table(L, "hex", kHex);
  set_table(L, "hash", kHash);
  set_table(L, "time", kTime);
  lua_pop(L, 1);
}

void open_text(lua_State* L) {
  open_regexes(L);
  open_sets(L);
  open_json(L);
  open_codecs(L);
}

}  // namespace postern::lua
