// Words and defaults that the sample, the manual and the JSON schema share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/config.h"

namespace postern {

/// "duration, 10m to 1d", "list of texts, at most 16 items", "one of \"mx\", \"submission\"".
std::string describe_type(const FieldInfo& field);
/// "applies at once", "applies to new sessions", "needs a restart".
std::string_view describe_apply(Apply apply);
/// The default as TOML; empty for required keys and unset optionals.
std::string default_text(const FieldInfo& field, const void* settings);
/// The example as TOML: put in quotes where the kind needs them and its author left them out.
std::string example_text(const FieldInfo& field);
/// Lines of at most `width` octets, broken at spaces; line ends of the text are kept.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace postern
