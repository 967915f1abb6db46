// Statements with `?` for arguments as PostgreSQL wants them: $1, $2 and so on.
//
// What stands in quotes ('', E'', "", $tag$) or in a comment (--, /* */, nested) is left alone. `??` is a question mark
// itself, for operators that have one (jsonb).
//
// Thread: any. RFC: none; PostgreSQL manual, "Lexical Structure".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::postgresql {

struct Translated {
  std::string text;
  std::size_t arguments = 0;
};
Translated translate(std::string_view statement);

}  // namespace postern::postgresql
