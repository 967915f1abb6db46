// The main configuration file and those that its `include` names, as one tree.
//
//   include = ["conf.d/*.toml"]      # patterns are relative to the main file's folder, and sorted by name
//
// [[tables]] of several files are appended in that order; [tables] are joined; a key defined twice is an error that
// names both places. Included files include nothing.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/config/value.h"

namespace postern {

/// Reads a whole file; nothing after an error was reported at `asked_at`.
std::optional<std::string> read_config_file(const std::filesystem::path& file, const Origin& asked_at,
                                            Diagnostics& diagnostics);

/// Parses the main text and all it includes; nothing after errors.
std::optional<ConfigValue> read_config_tree(const std::string& name, std::string text,
                                            const std::filesystem::path& folder, Diagnostics& diagnostics);

}  // namespace postern
