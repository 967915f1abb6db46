// From TOML text to a ConfigValue tree. The one place that knows the TOML library.
#pragma once

#include <memory>
#include <optional>

#include "core/config/value.h"

namespace postern {

/// The tree of a text, or nothing after an error went to `diagnostics` (one: a syntax error stands alone).
///
/// Shape:  the value is a table; tables are nested at most kMaxConfigDepth deep.
/// Errors: syntax, octets that are not UTF-8, what guard_toml() refuses, nesting too deep.
inline constexpr std::size_t kMaxConfigDepth = 32;
std::optional<ConfigValue> read_toml(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics);

}  // namespace postern
