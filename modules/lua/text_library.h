// The text library of scripts: postern.re, ipset, domainset, map, json, base64, hex, hash and time.
//
// Pure functions: the same arguments give the same result on every machine and in every replay. What they make cannot
// change, so that scripts may keep it between mails. Each counts its steps, and what C++ holds for a script counts as
// the script's memory. What comes from outside and turns out to be garbage is an answer (nothing, and why), never an
// error of the script: a stranger must not be able to defer mail by writing bad JSON into it.
//
// Files are read while scripts are loaded, from below the script folders; each reload reads them again.
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <cstddef>

namespace postern::lua {

inline constexpr std::size_t kMaxRegexText = 16 * 1024;              ///< octets of one pattern
inline constexpr std::size_t kMaxRegexMemory = 512 * 1024;           ///< of one pattern's program and its caches
inline constexpr int kMaxRegexGroups = 100;                          ///< captures of one pattern
inline constexpr std::size_t kMaxSetEntries = 1'000'000;             ///< of one set or map
inline constexpr std::size_t kMaxJsonText = std::size_t{8} << 20;    ///< octets read or written
inline constexpr std::size_t kMaxJsonDepth = 100;                    ///< arrays and objects inside one another
inline constexpr std::size_t kMaxCodecText = std::size_t{64} << 20;  ///< octets for base64, hex and hashes

void open_regexes(lua_State* L);  // regex_library.cc: postern.re
void open_sets(lua_State* L);     // sets_library.cc: postern.ipset, domainset, map
void open_json(lua_State* L);     // json_library.cc
void open_codecs(lua_State* L);   // codec_library.cc: postern.base64, hex, hash, time

}  // namespace postern::lua
