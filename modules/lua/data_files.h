// Files of data that scripts name: lists (one entry a line), pairs in CSV, pairs in flat TOML.
//
// All three: UTF-8, lines end with LF or CRLF, `#` begins a comment. Everything that is wrong is reported with file,
// line and column; what could be read is returned nevertheless. Views are into the source.
//
// Thread: any. RFC: 4180 (CSV: quotes, doubled quotes; a quoted field may hold line ends).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/diagnostics.h"

namespace postern::lua {

struct DataEntry {
  std::string_view text;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};
/// The first word of each line; what follows it must be a comment.
std::vector<DataEntry> read_list(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics);

struct DataPair {
  std::string key;
  std::string value;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};
/// `key,value` on each line. Blanks around a field are not part of it unless they stand in quotes. A comment has a line
/// of its own. No key twice.
std::vector<DataPair> read_csv(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics);
/// `key = "value"` on each line, keys and strings as in TOML; no tables, no other values, no strings over several
/// lines. No key twice.
std::vector<DataPair> read_flat_toml(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics);

}  // namespace postern::lua
