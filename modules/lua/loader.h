// One load of script files into one state: runs them, collects the rules they declare, and reports everything that is
// wrong with its place.
//
// Bindings reach the loader through their state while it loads; afterwards there is none, and `match`, `act`,
// `postern.pipeline` and `postern.on` are errors.
//
// Owner:  LuaEngine::load, for its duration. Thread: any, one at a time.
#pragma once

#include <lua.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lexer.h"
#include "postern/diagnostics.h"
#include "postern/pipeline.h"
#include "state.h"

namespace postern::lua {

inline constexpr std::size_t kMaxScriptBytes = std::size_t{4} << 20;  ///< of one file
inline constexpr std::size_t kMaxDataBytes = std::size_t{32} << 20;   ///< of one file of addresses, domains or pairs

class Loader {
 public:
  Loader(ScriptState& state, const RuleRegistry& registry, RuleSet& rules, Diagnostics& diagnostics,
         std::vector<std::filesystem::path> folders);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  void run(const std::filesystem::path& file);
  /// Freezes what the scripts keep; call it once, after all files.
  void finish();

  const RuleRegistry& registry() const { return registry_; }
  RuleSet& rules() { return rules_; }
  Diagnostics& diagnostics() { return diagnostics_; }
  ScriptState& state() { return state_; }

  /// Where the function at `level` of the stack stands now, with the column of `word` on that line.
  Origin origin(lua_State* L, int level, std::string_view word) const;
  /// Where the function at the top of the stack (taken off) was written.
  Origin origin_of_function(lua_State* L) const;
  /// Where the rules of a pipeline begin whose call stands at `call`; empty when that cannot be told.
  std::vector<Origin> origins_of_rules(const Origin& call) const;

  /// Keeps the value at `index` for the state's life; functions kept so are the roots of what scripts keep.
  int keep(lua_State* L, int index);
  /// `require name`: pushes what the module returned.
  void require(lua_State* L, std::string_view name);
  /// A file of data that the function at `level` names, below the script folders. When it cannot be had: nothing, and
  /// why is reported. Its octets count into hash().
  std::shared_ptr<const SourceText> data_file(lua_State* L, int level, const std::string& name);

  std::uint64_t hash() const { return hash_; }

 private:
  struct Source {
    std::shared_ptr<const SourceText> text;
    std::vector<Token> tokens;
  };
  const Source* read(const std::filesystem::path& file, std::string name);
  /// Looks for a file below the script folders, that of the running script first; a link must not lead out of them.
  enum class Found : std::uint8_t { kFile, kNowhere, kOutside };
  Found find(const std::string& relative, std::filesystem::path& file) const;
  Origin place(std::string_view source, std::uint32_t line, std::string_view word) const;
  bool load_chunk(lua_State* L, const Source& source);
  void report_syntax(const Source& source, std::string_view message);
  void report_failure(lua_State* L, const Source& source);
  std::string name_of(const std::filesystem::path& file) const;

  ScriptState& state_;
  const RuleRegistry& registry_;
  RuleSet& rules_;
  Diagnostics& diagnostics_;
  std::vector<std::filesystem::path> folders_;
  std::map<std::string, Source, std::less<>> sources_;
  std::map<std::string, int, std::less<>> modules_;  ///< what `require` gave; 0 while the module is being loaded
  std::vector<int> roots_;
  std::uint64_t hash_ = 0;
};

/// The binding of `require`.
int require_script(lua_State* L);

}  // namespace postern::lua
