// One value of a file to a checked ConfigScalar, and back to text.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/config/value.h"
#include "postern/config.h"

namespace postern {

/// Where a value stands and how messages call it.
struct ScalarContext {
  const FieldInfo& field;
  const std::string& path;              // "pop3.hosts[0]"
  const std::filesystem::path& folder;  // relative paths start here
  Diagnostics& diagnostics;
};

/// The value in its kind, within its limits; nothing after an error was reported.
std::optional<ConfigScalar> read_scalar(const ConfigValue& value, const ScalarContext& context);

/// As TOML writes it. Enums by name.
std::string scalar_to_toml(const FieldInfo& field, const ConfigScalar& scalar);
std::string scalars_to_toml(const FieldInfo& field, const std::vector<ConfigScalar>& scalars);

std::string map_to_toml(const FieldInfo& field, const std::vector<std::pair<std::string, ConfigScalar>>& entries);

/// "duration", "list of IP networks"; the manual's and the messages' words.
std::string kind_name(ScalarKind kind, bool plural);
/// A limit in the units of the field: "10m", "25 MiB", "7", "0o777".
std::string limit_to_text(const FieldInfo& field, std::int64_t limit);
/// Whether the field's numbers are written in octal, as permissions are: when its example is.
bool is_octal(const FieldInfo& field);
/// Whether the limits are narrower than the type's own, which say nothing to a reader.
bool shows_minimum(const FieldInfo& field);
bool shows_maximum(const FieldInfo& field);

/// The same place without its text, so that a message about a secret does not print it.
Origin without_text(const Origin& origin);

}  // namespace postern
