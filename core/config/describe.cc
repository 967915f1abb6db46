#include "core/config/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/config/scalar.h"

namespace postern {
namespace {

std::string describe_scalar(const FieldInfo& field, bool plural) {
  if (!field.allowed.empty()) {
    std::string list;
    for (const std::string& word : field.allowed) list += (list.empty() ? "" : ", ") + toml_quoted(word);
    return (plural ? "texts out of " : "one of ") + list;
  }
  std::string out = kind_name(field.kind, plural);
  std::string low, high;
  if (field.kind == ScalarKind::kFloat) {
    if (field.float_min) low = fmt::format("{}", *field.float_min);
    if (field.float_max) high = fmt::format("{}", *field.float_max);
  } else {
    if (shows_minimum(field)) low = limit_to_text(field, *field.min);
    if (shows_maximum(field)) high = limit_to_text(field, *field.max);
  }
  if (!low.empty() && !high.empty())
    out += fmt::format(", {} to {}", low, high);
  else if (!low.empty())
    out += ", at least " + low;
  else if (!high.empty())
    out += ", at most " + high;
  const std::size_t kUnsaid = FieldInfo{}.max_length;
  if (field.kind == ScalarKind::kString && field.min_length > 0)
    out += fmt::format(", {} to {} octets", field.min_length, field.max_length);
  else if (field.kind == ScalarKind::kString && field.max_length != kUnsaid)
    out += fmt::format(", at most {} octets", field.max_length);
  return out;
}

std::string describe_count(const FieldInfo& field) {
  const std::size_t kUnsaid = FieldInfo{}.max_items;
  if (field.min_items > 0 && field.max_items != kUnsaid)
    return fmt::format("; {} to {} items", field.min_items, field.max_items);
  if (field.min_items > 0) return fmt::format("; at least {} item{}", field.min_items, field.min_items == 1 ? "" : "s");
  if (field.max_items != kUnsaid) return fmt::format("; at most {} items", field.max_items);
  return {};
}

}  // namespace

std::string describe_type(const FieldInfo& field) {
  switch (field.shape) {
    case FieldShape::kList:
      return "list of " + describe_scalar(field, true) + describe_count(field);
    case FieldShape::kMap:
      return "table from names to " + describe_scalar(field, true) + describe_count(field);
    case FieldShape::kTable:
      return "table";
    case FieldShape::kOptionalTable:
      return "table, optional";
    case FieldShape::kTables:
      return "tables, one for each" + describe_count(field);
    case FieldShape::kTableMap:
      return "tables by name" + describe_count(field);
    default:
      return describe_scalar(field, false);
  }
}

std::string_view describe_apply(Apply apply) {
  switch (apply) {
    case Apply::kLive:
      return "applies at once";
    case Apply::kNewSessions:
      return "applies to new sessions";
    case Apply::kRestart:
      break;
  }
  return "needs a restart";
}

std::string default_text(const FieldInfo& field, const void* settings) {
  if (field.required) return {};
  if (field.shape == FieldShape::kMap) return map_to_toml(field, field.entries(settings));
  if (!field.get) return {};
  return scalars_to_toml(field, field.get(settings));
}

std::string example_text(const FieldInfo& field) {
  const std::string& example = field.example;
  bool bare_kind =
      field.kind == ScalarKind::kBool || field.kind == ScalarKind::kInteger || field.kind == ScalarKind::kFloat;
  if (example.empty() || bare_kind) return example;
  if (field.shape == FieldShape::kList && !example.starts_with('[')) return fmt::format("[{}]", toml_quoted(example));
  bool is_toml =
      example.starts_with('"') || example.starts_with('\'') || example.starts_with('[') || example.starts_with('{');
  bool is_endpoint = field.kind == ScalarKind::kEndpoint && example.starts_with('[');  // "[::1]:25" is no list
  return is_toml && !(is_endpoint && field.shape != FieldShape::kList) ? example : toml_quoted(example);
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::string_view paragraph = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), paragraph.size() + 1));
    std::string line;
    do {
      std::string_view word = paragraph.substr(0, paragraph.find(' '));
      paragraph.remove_prefix(std::min(paragraph.size(), word.size() + 1));
      if (!line.empty() && line.size() + 1 + word.size() > width) lines.push_back(std::exchange(line, {}));
      line += (line.empty() ? "" : " ") + std::string(word);
    } while (!paragraph.empty());
    lines.push_back(line);
  }
  return lines;
}

}  // namespace postern
