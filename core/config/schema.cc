// What is wrong with a declaration is a programmer's mistake and ends the start with an Error.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/config/value.h"
#include "postern/config.h"

namespace postern {
namespace {

// Keys that the loader itself reads at the top level.
constexpr std::array<std::string_view, 2> kOwnKeys{"include", "waive"};

// A table is declared by the schema at its path, or by a table_field of another; both at once would fight for it.
void check_fields(const SchemaBase& schema, const std::string& path) {
  for (const FieldInfo& field : schema.fields()) {
    std::string at = joined_path(path, field.name);
    if (field.kind == ScalarKind::kEnum && !field.child && field.allowed.empty())
      throw Error(fmt::format("the declaration of {} lacks names()", at));
    if (field.doc.empty()) throw Error(fmt::format("the declaration of {} lacks its documentation", at));
    if (field.child) check_fields(*field.child, at);
  }
}

bool is_within(std::string_view path, std::string_view table) {
  return path == table || (path.size() > table.size() && path.starts_with(table) && path[table.size()] == '.');
}

}  // namespace

SchemaBase::~SchemaBase() = default;

FieldInfo& SchemaBase::add(std::string_view name, std::string_view doc) {
  if (find(name) != nullptr) throw Error(fmt::format("the key {} is declared twice in [{}]", name, path_));
  FieldInfo& info = fields_.emplace_back();
  info.name = name;
  info.doc = doc;
  return info;
}

const FieldInfo* SchemaBase::find(std::string_view name) const {
  auto found = std::ranges::find(fields_, name, &FieldInfo::name);
  return found == fields_.end() ? nullptr : &*found;
}

const Origin& Located::origin(std::string_view key) const {
  auto found = keys_.find(key);
  return found == keys_.end() ? table_ : found->second;
}

ConfigSchemas::ConfigSchemas() = default;

void ConfigSchemas::add(std::shared_ptr<const SchemaBase> schema, std::type_index type) {
  check_fields(*schema, schema->path());
  for (const Entry& other : entries_) {
    if (other.type == type) throw Error(fmt::format("the settings of [{}] are declared twice", schema->path()));
    // Each key has one declaration: a field's full path lies within no table that another schema declares.
    for (const FieldInfo& mine : schema->fields())
      for (const FieldInfo& theirs : other.schema->fields()) {
        std::string a = joined_path(schema->path(), mine.name), b = joined_path(other.schema->path(), theirs.name);
        if (is_within(a, b) || is_within(b, a)) throw Error(fmt::format("two modules declare the setting {}", a));
      }
  }
  if (schema->path().empty())
    for (std::string_view own : kOwnKeys)
      if (schema->find(own) != nullptr) throw Error(fmt::format("the key {} belongs to the loader", own));
  entries_.push_back({std::move(schema), type});
}

}  // namespace postern
