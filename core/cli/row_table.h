// Rows of the control socket as a table, printed in portions under one head, so that a long list needs no memory.
//
// Thread: one. Errors: none; what a row lacks is an empty cell.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/cli/command.h"

namespace postern {

/// A value for people: sizes and ages in their units.
std::string cell_text(const std::string& key, const nlohmann::ordered_json& value);

class RowTable {
 public:
  static constexpr std::size_t kRowsAtOnce = 200;  ///< whose columns are made as wide as they need

  /// `columns`: none means those of the first row.
  explicit RowTable(std::vector<std::string> columns = {}) : head_(std::move(columns)) {}
  void add(const nlohmann::ordered_json& row);
  void print();  ///< what has not been printed yet
  bool printed() const { return printed_; }

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
  bool printed_ = false;
};

/// Asks for rows and prints them as a table, or as they are with --json; `none` when there are none.
void ask_for_table(CommandContext& context, const std::string& command, const std::map<std::string, std::string>& args,
                   std::vector<std::string> columns, std::string_view none);

}  // namespace postern
