#include "core/cli/row_table.h"

#include <fmt/format.h>

#include <cstdio>

#include "core/control/json_text.h"

namespace postern {

using nlohmann::ordered_json;

std::string cell_text(const std::string& key, const ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_unsigned() && key == "size") return human_size(value.get<std::uint64_t>());
  if (value.is_number_unsigned() && key == "age") return human_time(value.get<std::uint64_t>());
  return json_text(nlohmann::json(value));
}

void RowTable::add(const ordered_json& row) {
  if (head_.empty())
    for (const auto& [key, value] : row.items()) head_.push_back(key);
  std::vector<std::string> cells;
  for (const auto& key : head_) cells.push_back(row.contains(key) ? cell_text(key, row[key]) : "");
  rows_.push_back(std::move(cells));
  if (rows_.size() == kRowsAtOnce) print();
}

void RowTable::print() {
  if (rows_.empty()) return;
  std::string text = format_table(head_, rows_);
  if (printed_) text.erase(0, text.find('\n') + 1);  // one head is enough
  fmt::print("{}", text);
  std::fflush(stdout);
  printed_ = true;
  rows_.clear();
}

void ask_for_table(CommandContext& context, const std::string& command, const std::map<std::string, std::string>& args,
                   std::vector<std::string> columns, std::string_view none) {
  RowTable table(std::move(columns));
  const bool good = context.ask(command, args, [&](const std::string& row) {
    if (context.json)
      fmt::print("{}\n", row);
    else
      table.add(ordered_json::parse(row, nullptr, false));
  });
  table.print();
  if (good && !context.json && !table.printed()) fmt::print("{}\n", none);
}

}  // namespace postern
