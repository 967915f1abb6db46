// Finding specs and running them: what `postern test` and the gate of a reload have in common.
//
// Thread: no worker's. Errors: "specs.path" for what is neither a file nor a folder, "specs.engine" without a module
// that runs scripts; what is wrong with a spec is a diagnostic, what it found is in the report.
#pragma once

#include <filesystem>
#include <vector>

#include "core/offline/world.h"
#include "postern/config.h"
#include "postern/services.h"

namespace postern {

inline constexpr std::string_view kSpecSuffix = "_spec.lua";

/// The specs in the folders in which the scripts of the configuration lie, sorted.
std::vector<std::filesystem::path> specs_beside(const PipelineSettings& settings);
/// The files as they are named, and the specs in folders and those below them, sorted.
Result<std::vector<std::filesystem::path>> specs_at(const std::vector<std::filesystem::path>& paths);

/// Runs the specs under this configuration. False: `diagnostics` says why not all could be run.
bool run_specs(const std::vector<std::filesystem::path>& files, const Config& config, const RuleRegistry& registry,
               ScriptEngine* engine, SpecReport& report, Diagnostics& diagnostics);

}  // namespace postern
