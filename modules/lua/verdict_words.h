// The kinds of verdicts in the words of scripts.
#pragma once

#include <string_view>

#include "postern/verdict.h"

namespace postern::lua {

/// "reject"
std::string_view verdict_word(Verdict::Kind kind);

}  // namespace postern::lua
