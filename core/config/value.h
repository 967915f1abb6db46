// A configuration file's content as a tree, with the origin of every key and value. Independent of the TOML library.
//
// Owner:  the load that made it; gone when the settings are filled.
// Thread: any, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "postern/diagnostics.h"

namespace postern {

struct ConfigEntry;

struct ConfigValue {
  using List = std::vector<ConfigValue>;
  using Table = std::vector<ConfigEntry>;  // in the order of the file
  struct Date {
    bool operator==(const Date&) const = default;
  };
  std::variant<bool, std::int64_t, double, std::string, Date, List, Table> data;
  Origin origin;

  const Table* table() const { return std::get_if<Table>(&data); }
  Table* table() { return std::get_if<Table>(&data); }
  const List* list() const { return std::get_if<List>(&data); }
  List* list() { return std::get_if<List>(&data); }
  /// A list of one table or more: [[name]], or tables in brackets.
  bool is_tables() const;
  /// The entry of a table; null when there is none, or when this is no table.
  const ConfigEntry* find(std::string_view key) const;
  ConfigEntry* find(std::string_view key);
  /// "the integer 10", "a list", for messages. Texts are cut.
  std::string describe() const;
};

struct ConfigEntry {
  std::string key;
  Origin origin;  // of the key
  ConfigValue value;
};

/// A key as TOML writes it: bare where it can be.
std::string toml_key(std::string_view key);
/// A text in quotes, as TOML and JSON both read it.
std::string toml_quoted(std::string_view text);
/// "pop3" + "hosts" -> "pop3.hosts"; nothing before the first.
std::string joined_path(std::string_view path, std::string_view key);

}  // namespace postern
