// The configuration in force: `show config`, and what a reload would change.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/config/scalar.h"
#include "postern/config.h"

namespace postern {
namespace {

constexpr std::string_view kHidden = "\"(hidden)\"";
constexpr std::size_t kOriginColumn = 48;  // where comments of origins begin

using Origins = std::map<std::string, Origin, std::less<>>;

// One setting, or the header of a table that begins.
struct Row {
  std::string header;  // "[pop3]", "[[listener]]"; empty for a setting
  std::string path, key, text;
  Apply apply = Apply::kRestart;
  bool secret = false;
};

// All settings of a table and those below it, in the order of TOML: keys first, then tables.
class Flattener {
 public:
  explicit Flattener(std::vector<Row>& rows) : rows_(rows) {}

  void keys(const SchemaBase& schema, const void* settings, const std::string& path, Apply outer) {
    for (const FieldInfo& field : schema.fields()) {
      if (field.child) continue;
      Apply apply = field.apply.value_or(schema.default_apply().value_or(outer));
      std::string field_path = joined_path(path, field.name);
      std::string text;
      if (field.shape == FieldShape::kMap) {
        text = map_to_toml(field, field.entries(settings));
      } else {
        text = scalars_to_toml(field, field.get(settings));
        if (text.empty()) continue;  // an optional that is not set
      }
      rows_.push_back({"", field_path, field.name, text, apply, field.secret});
    }
  }

  // `header_path` is the name in headers, where elements of lists have no number.
  void tables(const SchemaBase& schema, const void* settings, const std::string& path, const std::string& header_path,
              Apply outer) {
    for (const FieldInfo& field : schema.fields()) {
      if (!field.child) continue;
      Apply apply = field.apply.value_or(schema.default_apply().value_or(outer));
      std::size_t at = 0;
      for (const auto& [key, child] : field.children(settings)) {
        std::string child_path = joined_path(path, field.name), child_header = joined_path(header_path, field.name);
        bool is_list = field.shape == FieldShape::kTables;
        if (is_list) child_path += fmt::format("[{}]", at++);
        if (field.shape == FieldShape::kTableMap) {
          child_path = joined_path(child_path, key);
          child_header = joined_path(child_header, key);
        }
        rows_.push_back({is_list ? fmt::format("[[{}]]", child_header) : fmt::format("[{}]", child_header), child_path,
                         "", "", apply});
        keys(*field.child, child, child_path, apply);
        tables(*field.child, child, child_path, child_header, apply);
      }
    }
  }

 private:
  std::vector<Row>& rows_;
};

const Origin* origin_of(const Origins& origins, const std::string& path) {
  auto found = origins.find(path);
  return found == origins.end() ? nullptr : &found->second;
}

void write_row(std::string& out, const Row& row, const Origins& origins, bool with_origins) {
  const Origin* origin = origin_of(origins, row.path);
  std::string line =
      row.header.empty() ? fmt::format("{} = {}", toml_key(row.key), row.secret ? kHidden : row.text) : row.header;
  if (!row.header.empty()) out += '\n';
  out += line;
  if (with_origins && (row.header.empty() || origin != nullptr)) {
    out.append(line.size() < kOriginColumn ? kOriginColumn - line.size() : 1, ' ');
    out += "# " + (origin != nullptr ? origin->to_string() : std::string("default"));
  }
  out += '\n';
}

}  // namespace

std::string Config::render(bool with_origins) const {
  std::string out;
  auto write = [&](const Part& part, const std::vector<Row>& rows) {
    for (const Row& row : rows) write_row(out, row, part.origins, with_origins);
  };
  // Keys of the top level must stand above all tables.
  for (const Part& part : parts_) {
    std::vector<Row> rows;
    if (part.schema->path().empty()) Flattener(rows).keys(*part.schema, part.settings.get(), "", Apply::kRestart);
    write(part, rows);
  }
  for (const Part& part : parts_) {
    const std::string& path = part.schema->path();
    std::vector<Row> rows;
    if (!path.empty()) {
      rows.push_back({fmt::format("[{}]", path), path, "", ""});
      Flattener(rows).keys(*part.schema, part.settings.get(), path, Apply::kRestart);
    }
    Flattener(rows).tables(*part.schema, part.settings.get(), path, path, Apply::kRestart);
    write(part, rows);
  }
  if (out.starts_with('\n')) out.erase(0, 1);
  return out;
}

std::string Config::text(std::string_view path) const {
  for (const Part& part : parts_) {
    std::vector<Row> rows;
    Flattener(rows).keys(*part.schema, part.settings.get(), part.schema->path(), Apply::kRestart);
    for (const Row& row : rows)
      if (row.path == path && !row.secret) return row.text;
  }
  return {};
}

std::vector<ConfigChange> Config::compare(const Config& next) const {
  auto flat = [](const Config& config) {
    std::map<std::string, Row> all;
    for (const Part& part : config.parts_) {
      std::vector<Row> rows;
      Flattener(rows).keys(*part.schema, part.settings.get(), part.schema->path(), Apply::kRestart);
      Flattener(rows).tables(*part.schema, part.settings.get(), part.schema->path(), part.schema->path(),
                             Apply::kRestart);
      for (Row& row : rows)
        if (row.header.empty() || row.header.starts_with("[[")) all.emplace(row.path, std::move(row));
    }
    return all;
  };
  auto shown = [](const Row& row) {
    if (!row.header.empty()) return row.header;
    return row.secret ? std::string(kHidden) : row.text;
  };
  std::map<std::string, Row> before = flat(*this), after = flat(next);
  std::vector<ConfigChange> changes;
  for (const auto& [path, row] : before) {
    auto found = after.find(path);
    if (found == after.end())
      changes.push_back({path, shown(row), "", row.apply});
    else if (found->second.text != row.text)
      changes.push_back({path, shown(row), shown(found->second), found->second.apply});
  }
  for (const auto& [path, row] : after)
    if (!before.contains(path)) changes.push_back({path, "", shown(row), row.apply});
  std::ranges::sort(changes, {}, &ConfigChange::path);
  return changes;
}

}  // namespace postern
