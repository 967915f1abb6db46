// JSON Schema (draft 7) of the configuration, for editors that complete and check TOML.
#include <nlohmann/json.hpp>

#include "core/config/describe.h"
#include "core/config/scalar.h"

namespace postern {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSizePattern = "^ *([0-9]+ *([Tt][Ii]?|[Gg][Ii]?|[Mm][Ii]?|[Kk][Ii]?)?[Bb]|0) *$";
constexpr const char* kDurationPattern = "^ *(([0-9]+ *(w|d|h|m|s|ms|us|ns) *)+|0 *)$";

Json scalar_schema(const FieldInfo& field) {
  Json out = Json::object();
  switch (field.kind) {
    case ScalarKind::kBool:
      out["type"] = "boolean";
      break;
    case ScalarKind::kInteger:
      out["type"] = "integer";
      if (field.min) out["minimum"] = *field.min;
      if (field.max) out["maximum"] = *field.max;
      break;
    case ScalarKind::kFloat:
      out["type"] = "number";
      if (field.float_min) out["minimum"] = *field.float_min;
      if (field.float_max) out["maximum"] = *field.float_max;
      break;
    case ScalarKind::kSize:
      out["type"] = Json::array({"string", "integer"});
      out["pattern"] = kSizePattern;
      out["maximum"] = 0;  // the one size that needs no unit
      break;
    case ScalarKind::kDuration:
      out["type"] = Json::array({"string", "integer"});
      out["pattern"] = kDurationPattern;
      out["maximum"] = 0;
      break;
    default:
      out["type"] = "string";
  }
  if (!field.allowed.empty()) out["enum"] = field.allowed;
  if (field.kind == ScalarKind::kString && field.allowed.empty()) {
    if (field.min_length > 0) out["minLength"] = 1;  // JSON Schema counts characters, we count octets
    out["maxLength"] = field.max_length;
  }
  return out;
}

Json table_schema(const SchemaBase& schema, const void* settings);

Json field_schema(const FieldInfo& field, const void* settings) {
  Json out;
  switch (field.shape) {
    case FieldShape::kOne:
    case FieldShape::kOptional:
      out = scalar_schema(field);
      break;
    case FieldShape::kList:
      out = {{"type", "array"}, {"items", scalar_schema(field)}};
      break;
    case FieldShape::kMap:
      out = {{"type", "object"}, {"additionalProperties", scalar_schema(field)}};
      break;
    case FieldShape::kTable:
      out = table_schema(*field.child, field.children(settings).front().second);
      break;
    case FieldShape::kOptionalTable:
      out = table_schema(*field.child, field.child->make().get());
      break;
    case FieldShape::kTables:
      out = {{"type", "array"}, {"items", table_schema(*field.child, field.child->make().get())}};
      break;
    case FieldShape::kTableMap:
      out = {{"type", "object"}, {"additionalProperties", table_schema(*field.child, field.child->make().get())}};
      break;
  }
  bool is_list = field.shape == FieldShape::kList || field.shape == FieldShape::kTables;
  bool is_map = field.shape == FieldShape::kMap || field.shape == FieldShape::kTableMap;
  if (is_list && field.min_items > 0) out["minItems"] = field.min_items;
  if (is_list) out["maxItems"] = field.max_items;
  if (is_map && field.min_items > 0) out["minProperties"] = field.min_items;
  if (is_map) out["maxProperties"] = field.max_items;
  std::string standard = default_text(field, settings);
  out["description"] =
      field.doc + " (" + describe_type(field) + (standard.empty() ? "" : "; default " + standard) + ")";
  return out;
}

Json table_schema(const SchemaBase& schema, const void* settings) {
  Json properties = Json::object(), required = Json::array();
  for (const FieldInfo& field : schema.fields()) {
    properties[field.name] = field_schema(field, settings);
    if (field.required) required.push_back(field.name);
  }
  Json out = {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

// Adds a module's properties to the table at its path, making tables on the way.
void place(Json& root, const SchemaBase& schema) {
  Json* table = &root;
  std::string path = schema.path();
  while (!path.empty()) {
    std::string component = path.substr(0, path.find('.'));
    path.erase(0, component.size() + 1);
    Json& properties = (*table)["properties"];
    if (!properties.contains(component))
      properties[component] = {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
    table = &properties[component];
  }
  Json mine = table_schema(schema, schema.make().get());
  for (auto& [key, value] : mine["properties"].items()) (*table)["properties"][key] = value;
  if (mine.contains("required"))
    for (auto& name : mine["required"]) (*table)["required"].push_back(name);
  if (!schema.path().empty() && !schema.doc().empty()) (*table)["description"] = schema.doc();
}

}  // namespace

std::string ConfigSchemas::render_json_schema() const {
  Json text = {{"type", "string"}, {"minLength", 1}};
  Json waiver = {{"type", "object"},
                 {"additionalProperties", false},
                 {"properties", {{"warning", text}, {"reason", text}}},
                 {"required", {"warning", "reason"}}};
  Json root = {
      {"$schema", "http://json-schema.org/draft-07/schema#"},
      {"title", "Postern's configuration"},
      {"type", "object"},
      {"additionalProperties", false},
      {"properties",
       {{"include", {{"type", "array"}, {"items", text}, {"description", "Further files, as patterns."}}},
        {"waive", {{"type", "array"}, {"items", waiver}, {"description", "Warnings that do not matter here."}}}}}};
  for (const Entry& entry : entries_) place(root, *entry.schema);
  return root.dump(2, ' ', false, decltype(root)::error_handler_t::replace) + "\n";
}

}  // namespace postern
