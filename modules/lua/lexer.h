// Where words stand in a script, for messages: Lua itself knows lines only.
//
// A plain scanner of Lua's tokens; it never fails, since it also reads files that Lua refuses. Any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace postern::lua {

struct Token {
  enum class Kind : std::uint8_t { kName, kString, kNumber, kSymbol };
  Kind kind = Kind::kSymbol;
  std::string_view text;     ///< as written, quotes included
  std::uint32_t line = 1;    ///< from 1
  std::uint32_t column = 1;  ///< from 1, in octets
};

/// Views into `source`.
std::vector<Token> scan(std::string_view source);

struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// Column of a name on a line; else of a string that holds it; else of the line's first token; else 1.
std::uint32_t column_of(const std::vector<Token>& tokens, std::uint32_t line, std::string_view word);

/// Where each element begins in the table constructor of `pipeline "x" { ... }` whose call Lua places on `line`.
/// Empty when there is no such constructor.
std::vector<Place> elements_of_pipeline(const std::vector<Token>& tokens, std::uint32_t line);

}  // namespace postern::lua
