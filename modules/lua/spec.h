// `postern.spec` in Lua: what a `*_spec.lua` may say, and how its cases are run.
//
// A file declares cases; each is run in a Lua state of its own, into which the file is loaded anew, and in a world of
// its own (SpecWorld), so that nothing that one case leaves can change another. A case has the limits of a load
// (kLoadLimits) to itself. The first expectation that does not hold ends the case.
//
// Owner:  LuaEngine::run_specs, for its duration. Thread: one, no worker's.
// Errors: a file that cannot be loaded is a diagnostic; what a case finds is in its report, with file and line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "loader.h"
#include "postern/spec.h"
#include "state.h"

namespace postern::lua {

inline constexpr std::size_t kMaxSpecCases = 10'000;    ///< of one file
inline constexpr std::size_t kMaxSpecMails = 10'000;    ///< of one case
inline constexpr std::size_t kMaxSpecStory = 8 * 1024;  ///< octets of a trail that a failure shows

/// One spec file in one Lua state.
struct SpecFile {
  struct Case {
    std::string name;
    int function = 0;  ///< kept in the registry
  };
  std::filesystem::path path;
  std::vector<Case> cases;
  std::vector<int> before;           ///< functions that run before each case
  std::vector<std::string> scripts;  ///< under test; empty: those of the configuration
  SpecWorld* world = nullptr;        ///< of the case that runs
  std::size_t mails = 0;             ///< that it has sent
  bool declaring = true;             ///< while the file itself runs

  static SpecFile& of(lua_State* L);
};

/// Makes `require "postern.spec"` give the library in this state.
void open_spec(lua_State* L, SpecFile& file);
/// The object that a case is handed: `t`.
void push_spec_world(lua_State* L);
void open_spec_world(lua_State* L);   // spec_world.cc
void open_spec_result(lua_State* L);  // spec_result.cc
void open_spec_event(lua_State* L);   // spec_event.cc
/// t:event(stage, {...}): the hooks of the queue.
int spec_event(lua_State* L);

/// What a case is handed by t:mail(): all outcomes, or those of one recipient.
struct SpecResultBox {
  static constexpr const char* kName = "mail's result";
  std::shared_ptr<const SpecResult> result;
  std::vector<std::size_t> chosen;  ///< outcomes that expectations are about
};
void push_spec_result(lua_State* L, std::shared_ptr<const SpecResult> result);

/// Runs the cases of one file and adds them to the report. False: it could not be loaded.
bool run_spec_file(const std::filesystem::path& path, const Limits& limits,
                   const std::vector<std::filesystem::path>& folders,
                   const std::function<std::unique_ptr<SpecWorld>()>& make_world,
                   std::chrono::steady_clock::time_point until, SpecReport& report, Diagnostics& diagnostics);

}  // namespace postern::lua
