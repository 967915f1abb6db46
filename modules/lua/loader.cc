#include "loader.h"

#include <fmt/format.h>

#include "bind.h"
#include "freeze.h"
#include "libraries.h"
#include "postern/file.h"
#include "postern/hash.h"
#include "postern/text.h"

namespace postern::lua {
namespace {

/// "name:12: text" of Lua's messages.
struct Message {
  std::string_view source;
  std::uint32_t line = 0;
  std::string_view text;
};
Message take_apart(std::string_view message) {
  for (std::size_t colon = message.find(':'); colon != message.npos; colon = message.find(':', colon + 1)) {
    const std::size_t end = message.find(": ", colon + 1);
    if (end == message.npos) break;
    if (const auto line = to_number<std::uint32_t>(message.substr(colon + 1, end - colon - 1)))
      return {message.substr(0, colon), *line, message.substr(end + 2)};
  }
  return {{}, 0, message};
}

/// Turns an error value into text with its place; runs where the error was raised.
int describe_error(lua_State* L) {
  if (lua_type(L, 1) != LUA_TSTRING) {
    luaL_where(L, 1);
    push_text(L, 1);
    lua_concat(L, 2);
    return 1;
  }
  if (take_apart(raw_text(L, 1)).line != 0) return lua_settop(L, 1), 1;
  for (int level = 1; level < 20; ++level) {
    luaL_where(L, level);
    if (lua_rawlen(L, -1) != 0) break;
    lua_pop(L, 1);
  }
  if (lua_gettop(L) == 1) return 1;
  lua_insert(L, 1);
  lua_concat(L, 2);
  return 1;
}

/// The word of a message that stands in quotes: what to look for on the line.
std::string_view quoted(std::string_view text) {
  const std::size_t begin = text.find('\'');
  const std::size_t end = begin == text.npos ? text.npos : text.find('\'', begin + 1);
  return end == text.npos ? std::string_view() : text.substr(begin + 1, end - begin - 1);
}

}  // namespace

Loader::Loader(ScriptState& state, const RuleRegistry& registry, RuleSet& rules, Diagnostics& diagnostics,
               std::vector<std::filesystem::path> folders)
    : state_(state), registry_(registry), rules_(rules), diagnostics_(diagnostics), folders_(std::move(folders)) {
  state_.begin_load(*this);
}

Loader::~Loader() {
  state_.end_load();
}

std::string Loader::name_of(const std::filesystem::path& file) const {
  const std::string name = file.filename().string();
  return sources_.contains(name) ? file.string() : name;
}

const Loader::Source* Loader::read(const std::filesystem::path& file, std::string name) {
  auto text = read_regular_file(file, kMaxScriptBytes);
  if (!text) {
    const std::string why = text.error().code == "file.large"
                                ? fmt::format("it is larger than {} MiB", kMaxScriptBytes >> 20)
                                : text.error().detail;
    diagnostics_.error({}, fmt::format("the script {} cannot be read: {}", file.string(), why));
    return nullptr;
  }
  hash_ = hash_bytes(*text, hash_bytes(name, hash_));
  Source& source = sources_[name];
  source.text = std::make_shared<const SourceText>(std::move(name), *std::move(text));
  source.tokens = scan(source.text->text());
  return &source;
}

bool Loader::load_chunk(lua_State* L, const Source& source) {
  const std::string& text = source.text->text();
  if (luaL_loadbufferx(L, text.data(), text.size(), ("@" + source.text->name()).c_str(), "t") == LUA_OK) return true;
  report_syntax(source, raw_text(L, -1));
  lua_pop(L, 1);
  return false;
}

void Loader::run(const std::filesystem::path& file) {
  const Source* source = read(file, name_of(file));
  if (!source) return;
  lua_State* L = state_.main();
  folders_.push_back(file.has_parent_path() ? file.parent_path() : std::filesystem::path("."));
  lua_pushcfunction(L, bound<describe_error>);
  if (load_chunk(L, *source) && lua_pcall(L, 0, 0, 1) != LUA_OK) report_failure(L, *source);
  lua_settop(L, 0);
  folders_.pop_back();
}

void Loader::report_syntax(const Source& source, std::string_view message) {
  const Message parts = take_apart(message);
  const std::size_t near = parts.text.rfind(" near ");
  std::string_view word = near == parts.text.npos ? std::string_view() : parts.text.substr(near + 6);
  if (word.size() >= 2 && word.starts_with('\'') && word.ends_with('\'')) word = word.substr(1, word.size() - 2);
  Origin at{source.text, parts.line, 1};
  if (word == "<eof>") {
    const std::string_view line = source.text->line(parts.line);
    at.column = static_cast<std::uint32_t>(line.size() + 1);
  } else {
    at.column = column_of(source.tokens, parts.line, word);
  }
  diagnostics_.error(at, std::string(parts.text));
}

void Loader::report_failure(lua_State* L, const Source& source) {
  const std::string message(lua_type(L, -1) == LUA_TSTRING ? raw_text(L, -1) : std::string_view("failed"));
  const Message parts = take_apart(message);
  Origin at = place(parts.source, parts.line, quoted(parts.text));
  if (!at.source) at = {source.text, 0, 0};
  // Lua's own words for a spent limit ("not enough memory"), or a script's, would hide which limit it was.
  const Doom doom = state_.load_doom();
  diagnostics_.error(at, doom == Doom::kNone ? std::string(parts.text) : load_doom_text(doom));
}

Origin Loader::place(std::string_view source, std::uint32_t line, std::string_view word) const {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return {};
  return {found->second.text, line, column_of(found->second.tokens, line, word)};
}

Origin Loader::origin(lua_State* L, int level, std::string_view word) const {
  lua_Debug info;
  if (!lua_getstack(L, level, &info) || !lua_getinfo(L, "Sl", &info) || info.source[0] != '@' || info.currentline < 1)
    return {};
  return place(info.source + 1, static_cast<std::uint32_t>(info.currentline), word);
}

Origin Loader::origin_of_function(lua_State* L) const {
  lua_Debug info;
  lua_getinfo(L, ">S", &info);
  if (info.source[0] != '@' || info.linedefined < 0) return {};
  return place(info.source + 1, static_cast<std::uint32_t>(info.linedefined), "function");
}

std::vector<Origin> Loader::origins_of_rules(const Origin& call) const {
  std::vector<Origin> out;
  if (!call.source) return out;
  const auto found = sources_.find(call.source->name());
  if (found == sources_.end()) return out;
  for (const Place& one : elements_of_pipeline(found->second.tokens, call.line))
    out.push_back({call.source, one.line, one.column});
  return out;
}

int Loader::keep(lua_State* L, int index) {
  lua_pushvalue(L, index);
  roots_.push_back(luaL_ref(L, LUA_REGISTRYINDEX));
  return roots_.back();
}

void Loader::require(lua_State* L, std::string_view name) {
  if (const auto known = modules_.find(name); known != modules_.end()) {
    if (known->second == 0) luaL_error(L, "'%s' requires itself", std::string(name).c_str());
    lua_rawgeti(L, LUA_REGISTRYINDEX, known->second);
    return;
  }
  std::string relative(name);
  bool well_formed = !name.empty() && name.size() <= 200 && !name.starts_with('.') && name.find("..") == name.npos;
  for (char& c : relative) {
    well_formed = well_formed && (is_ascii_alnum(c) || c == '_' || c == '-' || c == '.');
    if (c == '.') c = '/';
  }
  if (!well_formed)
    luaL_error(L, "'%s' is no name of a script: letters, digits, _ and -, folders divided by dots",
               std::string(name).c_str());
  relative += ".lua";
  std::filesystem::path file;
  switch (find(relative, file)) {
    case Found::kNowhere:
      luaL_error(L, "there is no script '%s' below the script folders", relative.c_str());
      break;
    case Found::kOutside:
      luaL_error(L, "'%s' lies outside of the script folders", relative.c_str());
      break;
    case Found::kFile:
      break;
  }
  const Source* source = read(file, relative);
  if (!source) luaL_error(L, "'%s' cannot be read", relative.c_str());
  modules_.emplace(name, 0);
  if (!load_chunk(L, *source)) luaL_error(L, "'%s' was not loaded", relative.c_str());
  lua_call(L, 0, 1);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
  }
  modules_[std::string(name)] = keep(L, -1);
}

Loader::Found Loader::find(const std::string& relative, std::filesystem::path& file) const {
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    std::error_code error;
    if (!std::filesystem::exists(*folder / relative, error)) continue;
    const auto base = std::filesystem::canonical(*folder, error).string() + "/";
    file = std::filesystem::canonical(*folder / relative, error);
    return error || !file.string().starts_with(base) ? Found::kOutside : Found::kFile;
  }
  return Found::kNowhere;
}

std::shared_ptr<const SourceText> Loader::data_file(lua_State* L, int level, const std::string& name) {
  const auto refuse = [&](const std::string& why) {
    diagnostics_.error(origin(L, level, name), fmt::format("the file \"{}\" {}", name, why));
    return nullptr;
  };
  const std::filesystem::path path(name);
  if (name.empty() || name.size() > 200 || name.find('\0') != name.npos || path.is_absolute())
    return refuse("is not named by a path below the script folders");
  for (const auto& part : path)
    if (part == "..") return refuse("is not named by a path below the script folders");
  std::filesystem::path file;
  const Found found = find(name, file);
  if (found == Found::kNowhere) return refuse("is not below the script folders");
  if (found == Found::kOutside) return refuse("lies outside of the script folders");
  auto text = read_regular_file(file, kMaxDataBytes);
  if (!text)
    return refuse(text.error().code == "file.large" ? fmt::format("is larger than {} MiB", kMaxDataBytes >> 20)
                                                    : fmt::format("cannot be read: {}", text.error().detail));
  hash_ = hash_bytes(*text, hash_bytes(name, hash_));
  ScriptState::charge(L, static_cast<std::int64_t>(text->size()) / 16 + 100);
  return std::make_shared<const SourceText>(name, *std::move(text));
}

void Loader::finish() {
  lua_State* L = state_.main();
  struct Work {
    Loader* loader;
    std::vector<KeptFault> faults;
  } work{this, {}};
  lua_settop(L, 0);
  state_.begin_freeze();
  lua_pushcfunction(L, bound<[](lua_State* state) {
                      auto* its = static_cast<Work*>(lua_touserdata(state, 1));
                      its->faults = freeze(state, its->loader->roots_);
                      return 0;
                    }>);
  lua_pushlightuserdata(L, &work);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    diagnostics_.error({}, fmt::format("the scripts could not be frozen: {}",
                                       state_.load_doom() != Doom::kNone ? load_doom_text(state_.load_doom())
                                       : lua_type(L, -1) == LUA_TSTRING  ? std::string(raw_text(L, -1))
                                                                         : "?"));
  for (const KeptFault& fault : work.faults)
    diagnostics_.error(place(fault.source, fault.line, fault.word), fault.text,
                       "keep what changes in notes of the session, the mail or the recipient");
  lua_settop(L, 0);
}

int require_script(lua_State* L) {
  const std::string_view name = check_text(L, 1);
  if (name == "postern") {
    push_postern(L);
    return 1;
  }
  Loader* loader = ScriptState::of(L).loader();
  if (!loader) return luaL_error(L, "require: only while scripts are loaded");
  loader->require(L, name);
  return 1;
}

}  // namespace postern::lua
