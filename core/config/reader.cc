#include "core/config/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/config/describe.h"
#include "core/config/scalar.h"

namespace postern {
namespace {

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < path.size();) {
    std::size_t end = std::min(path.find('.', start), path.size());
    parts.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

std::string in_table(const std::string& path) {
  if (path.empty()) return "at the top level";
  return path.ends_with(']') ? "in " + path : fmt::format("in [{}]", path);
}

void note(Located* located, std::map<std::string, Origin, std::less<>>& keys, const std::string& key,
          const Origin& origin) {
  if (located != nullptr) keys.insert_or_assign(key, origin);
}

}  // namespace

std::shared_ptr<const Config> ConfigReader::read() {
  auto config = std::make_shared<Config>();
  std::size_t before = diagnostics_.errors();
  known_[&root_] = {"include", "waive"};
  for (const auto& entry : schemas_.entries())
    config->parts_.push_back({entry.schema, entry.type, entry.schema->make(), {}});
  for (Config::Part& part : config->parts_) read_part(part);
  report_unknown(root_, "");
  return diagnostics_.errors() == before ? config : nullptr;
}

void ConfigReader::read_part(Config::Part& part) {
  origins_ = &part.origins;
  const ConfigValue* table = &root_;
  Origin where = root_.origin;
  std::string path;
  for (const std::string& component : components(part.schema->path())) {
    path = joined_path(path, component);
    if (table == nullptr) continue;
    known_[table].push_back(component);
    const ConfigEntry* entry = table->find(component);
    table = nullptr;
    if (entry == nullptr) continue;
    if (entry->value.table() == nullptr) {
      diagnostics_.error(entry->origin, fmt::format("{} should be a table, but is {}", path, entry->value.describe()),
                         fmt::format("write [{}] on a line of its own, its settings below", path));
      return;
    }
    table = &entry->value;
    where = entry->origin;
  }
  fill({*part.schema, table, part.settings.get(), path, where});
}

void ConfigReader::fill(const Frame& frame) {
  std::size_t before = diagnostics_.errors();
  Located* located = frame.schema.located(frame.settings);
  if (located != nullptr) located->table_ = frame.where;
  if (frame.value != nullptr) {
    auto& known = known_[frame.value];
    for (const FieldInfo& field : frame.schema.fields()) known.push_back(field.name);
  }
  for (const FieldInfo& field : frame.schema.fields()) fill_field(frame, field, located);
  if (diagnostics_.errors() == before) frame.schema.run_checks(frame.settings, diagnostics_);
}

void ConfigReader::fill_field(const Frame& frame, const FieldInfo& field, Located* located) {
  const ConfigEntry* entry = frame.value != nullptr ? frame.value->find(field.name) : nullptr;
  if (entry != nullptr) {
    origins_->insert_or_assign(joined_path(frame.path, field.name), entry->origin);
    if (located != nullptr)
      located->keys_.insert_or_assign(field.name, field.child ? entry->origin : entry->value.origin);
    read_value(frame, field, *entry, located);
  } else if (field.shape == FieldShape::kTable) {
    read_table(field, nullptr, frame);  // its defaults are checked, and its required keys are missed
  } else {
    missing(frame, field);
    resolve_default_paths(field, frame.settings);
  }
}

void ConfigReader::missing(const Frame& frame, const FieldInfo& field) {
  bool needs_items =
      field.min_items > 0 && (field.shape == FieldShape::kTables || field.shape == FieldShape::kTableMap);
  if (needs_items) {
    std::string path = joined_path(frame.path, field.name);
    std::string header =
        field.shape == FieldShape::kTables ? fmt::format("[[{}]]", path) : fmt::format("[{}.NAME]", path);
    diagnostics_.error(frame.where, fmt::format("{} is missing; at least {} needed", header, field.min_items));
  } else if (field.required) {
    std::string example =
        field.example.empty() ? "" : fmt::format("for example: {} = {}", field.name, example_text(field));
    diagnostics_.error(frame.where, fmt::format("the key \"{}\" is missing {}", field.name, in_table(frame.path)),
                       example);
  }
}

void ConfigReader::resolve_default_paths(const FieldInfo& field, void* settings) {
  if (field.kind != ScalarKind::kPath || !field.get || folder_.empty()) return;
  std::vector<ConfigScalar> scalars = field.get(settings);
  for (ConfigScalar& scalar : scalars)
    if (auto& path = std::get<std::filesystem::path>(scalar); !path.empty()) path = (folder_ / path).lexically_normal();
  if (!scalars.empty()) field.set(settings, scalars);
}

void ConfigReader::read_value(const Frame& frame, const FieldInfo& field, const ConfigEntry& entry, Located* located) {
  switch (field.shape) {
    case FieldShape::kOne:
    case FieldShape::kOptional: {
      std::string path = joined_path(frame.path, field.name);
      if (auto scalar = read_scalar(entry.value, {field, path, folder_, diagnostics_}))
        field.set(frame.settings, {*scalar});
      return;
    }
    case FieldShape::kList:
      return read_list(field, entry, frame, located);
    case FieldShape::kMap:
      return read_map(field, entry, frame, located);
    case FieldShape::kTable:
    case FieldShape::kOptionalTable:
      return read_table(field, &entry, frame);
    case FieldShape::kTables:
      return read_tables(field, entry, frame);
    case FieldShape::kTableMap:
      return read_table_map(field, entry, frame);
  }
}

void ConfigReader::read_list(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame, Located* located) {
  std::string path = joined_path(frame.path, field.name);
  const ConfigValue::List* list = entry.value.list();
  if (list == nullptr) return wrong_shape(path, field, entry.value);
  if (!count_is_right(path, field, entry.value.origin, list->size())) return;
  std::vector<ConfigScalar> scalars;
  for (std::size_t at = 0; at < list->size(); ++at) {
    const ConfigValue& element = (*list)[at];
    if (located != nullptr) note(located, located->keys_, fmt::format("{}[{}]", field.name, at), element.origin);
    if (auto scalar = read_scalar(element, {field, fmt::format("{}[{}]", path, at), folder_, diagnostics_}))
      scalars.push_back(*std::move(scalar));
  }
  if (scalars.size() == list->size()) field.set(frame.settings, scalars);
}

void ConfigReader::read_map(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame, Located* located) {
  std::string path = joined_path(frame.path, field.name);
  const ConfigValue::Table* table = entry.value.table();
  if (table == nullptr) return wrong_shape(path, field, entry.value);
  open_.insert(&entry.value);
  if (!count_is_right(path, field, entry.origin, table->size())) return;
  for (const ConfigEntry& item : *table) {
    std::string item_path = joined_path(path, item.key);
    origins_->insert_or_assign(item_path, item.origin);
    if (located != nullptr) note(located, located->keys_, joined_path(field.name, item.key), item.value.origin);
    if (auto scalar = read_scalar(item.value, {field, item_path, folder_, diagnostics_}))
      field.put(frame.settings, item.key, *scalar);
  }
}

void ConfigReader::read_table(const FieldInfo& field, const ConfigEntry* entry, const Frame& frame) {
  std::string path = joined_path(frame.path, field.name);
  if (entry != nullptr && entry->value.table() == nullptr) return wrong_shape(path, field, entry->value);
  const ConfigValue* value = entry != nullptr ? &entry->value : nullptr;
  fill({*field.child, value, field.emplace(frame.settings, ""), path, entry != nullptr ? entry->origin : frame.where});
}

void ConfigReader::read_tables(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame) {
  std::string path = joined_path(frame.path, field.name);
  const ConfigValue::List* list = entry.value.list();
  if (list == nullptr || (!list->empty() && !entry.value.is_tables())) return wrong_shape(path, field, entry.value);
  open_.insert(&entry.value);
  if (!count_is_right(path, field, entry.origin, list->size())) return;
  for (std::size_t at = 0; at < list->size(); ++at) {
    const ConfigValue& element = (*list)[at];
    std::string item_path = fmt::format("{}[{}]", path, at);
    origins_->insert_or_assign(item_path, element.origin);
    fill({*field.child, &element, field.emplace(frame.settings, ""), item_path, element.origin});
  }
}

void ConfigReader::read_table_map(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame) {
  std::string path = joined_path(frame.path, field.name);
  const ConfigValue::Table* table = entry.value.table();
  if (table == nullptr) return wrong_shape(path, field, entry.value);
  open_.insert(&entry.value);
  if (!count_is_right(path, field, entry.origin, table->size())) return;
  for (const ConfigEntry& item : *table) {
    std::string item_path = joined_path(path, item.key);
    if (item.value.table() == nullptr) {
      diagnostics_.error(item.origin, fmt::format("{} should be a table, but is {}", item_path, item.value.describe()),
                         fmt::format("write [{}] on a line of its own, its settings below", item_path));
      continue;
    }
    origins_->insert_or_assign(item_path, item.origin);
    fill({*field.child, &item.value, field.emplace(frame.settings, item.key), item_path, item.origin});
  }
}

void ConfigReader::wrong_shape(const std::string& path, const FieldInfo& field, const ConfigValue& value) {
  std::string expected, hint;
  switch (field.shape) {
    case FieldShape::kList:
      expected = "a list of " + kind_name(field.kind, true);
      hint = field.secret || value.table() != nullptr ? "" : "lists stand in brackets: [\"one\", \"two\"]";
      break;
    case FieldShape::kTables:
      expected = "a list of tables";
      hint = fmt::format("write [[{}]], once for each", path);
      break;
    case FieldShape::kMap:
    case FieldShape::kTableMap:
      expected = "a table of names";
      hint = field.shape == FieldShape::kMap ? fmt::format("write [{}] and below it lines of NAME = value", path)
                                             : fmt::format("write [{}.NAME], once for each", path);
      break;
    default:
      expected = "a table";
      hint = fmt::format("write [{}] on a line of its own, its settings below", path);
  }
  std::string found = field.secret ? "something else (not shown, being a secret)" : value.describe();
  diagnostics_.error(field.secret ? without_text(value.origin) : value.origin,
                     fmt::format("{} should be {}, but is {}", path, expected, found), hint);
  open_.insert(&value);  // its content has been reported as a whole
}

bool ConfigReader::count_is_right(const std::string& path, const FieldInfo& field, const Origin& origin,
                                  std::size_t items) {
  if (items >= field.min_items && items <= field.max_items) return true;
  bool few = items < field.min_items;
  Origin shown = field.secret ? without_text(origin) : origin;
  diagnostics_.error(shown, fmt::format("{} has {} item{}; the {} allowed is {}", path, items, items == 1 ? "" : "s",
                                        few ? "least" : "most", few ? field.min_items : field.max_items));
  return false;
}

void ConfigReader::report_unknown(const ConfigValue& table, const std::string& path) {
  auto known = known_.find(&table);
  for (const ConfigEntry& entry : *table.table()) {
    std::string entry_path = joined_path(path, entry.key);
    bool is_known = known == known_.end() || std::ranges::find(known->second, entry.key) != known->second.end();
    if (!is_known) {
      bool is_table = entry.value.table() != nullptr || entry.value.is_tables();
      std::string what = is_table ? fmt::format("unknown table [{}]", entry_path)
                                  : fmt::format("unknown key \"{}\" {}", entry.key, in_table(path));
      // Nobody has said that an unknown key holds no secret; its line is shown all the same, being the administrator's
      // own.
      diagnostics_.error(entry.origin, what, hint_for_unknown(entry, known->second));
      continue;
    }
    if (entry.value.table() != nullptr && (known_.contains(&entry.value) || open_.contains(&entry.value)))
      report_unknown(entry.value, entry_path);
    if (const auto* list = entry.value.list(); list != nullptr && entry.value.is_tables())
      for (const ConfigValue& element : *list)
        if (known_.contains(&element)) report_unknown(element, entry_path);
  }
}

std::string ConfigReader::hint_for_unknown(const ConfigEntry& entry, const std::vector<std::string>& known) const {
  std::vector<std::string_view> words(known.begin(), known.end());
  std::string hint = did_you_mean(entry.key, words);
  if (!hint.empty()) return hint;
  // The right key in the wrong table, often after a [table] line that came too early.
  for (const auto& other : schemas_.entries())
    if (other.schema->find(entry.key) != nullptr)
      return other.schema->path().empty()
                 ? fmt::format("\"{}\" belongs at the top level, above the first [table]", entry.key)
                 : fmt::format("\"{}\" belongs in [{}]", entry.key, other.schema->path());
  return {};
}

}  // namespace postern
