// What must be true of a text before the TOML library sees it.
//
// The library (3.3) runs into undefined behaviour on characters beyond ASCII outside of quotes and comments, and
// recurses as deep as a line of dotted keys is long. Both are refused here, with a message that says where.
#pragma once

#include <memory>

#include "postern/diagnostics.h"

namespace postern {

/// Longer lines are refused; also the deepest nesting by dotted keys.
inline constexpr std::size_t kMaxConfigLine = 8192;

/// Whether the library may read this; if not, one error has been reported.
bool guard_toml(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics);

}  // namespace postern
