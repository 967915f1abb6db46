// Service "scripts": turns Lua files into rules, one Lua state for each call, that is for each worker and each reload.
//
// Owner:  the module. Thread: load() may run on any thread that is no worker's, one at a time for each engine.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "postern/pipeline.h"
#include "state.h"

namespace postern::lua {

class LuaEngine final : public ScriptEngine {
 public:
  LuaEngine(Limits limits, std::vector<std::filesystem::path> script_folders)
      : limits_(limits), folders_(std::move(script_folders)) {}

  std::shared_ptr<RuleSet> load(const std::vector<std::string>& files, const RuleRegistry& registry,
                                Diagnostics& diagnostics) override;
  bool run_specs(const std::vector<std::string>& files, const std::function<std::unique_ptr<SpecWorld>()>& make_world,
                 SpecReport& report, Diagnostics& diagnostics) override;

  std::string annotations(const RuleRegistry& registry) const override;  // annotations.cc

  /// Of a new configuration; states that were loaded before keep theirs.
  void configure(Limits limits, std::vector<std::filesystem::path> script_folders) {
    limits_ = limits;
    folders_ = std::move(script_folders);
  }

 private:
  Limits limits_;
  std::vector<std::filesystem::path> folders_;
};

}  // namespace postern::lua
