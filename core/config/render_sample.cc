// The annotated postern.toml: every setting with its documentation, commented out at its default.
//
// A line "# text" is prose; a line "#key = value" is a setting to be uncommented. Required keys stand uncommented when
// their declaration has an example, so that the sample loads as it is.
#include <fmt/format.h>

#include "core/config/describe.h"
#include "core/config/scalar.h"

namespace postern {
namespace {

constexpr std::size_t kWidth = 100;

class Sample {
 public:
  std::string out;

  void prose(std::string_view text) {
    for (const std::string& line : wrapped(text, kWidth)) out += line.empty() ? "#\n" : "# " + line + "\n";
  }

  void keys(const SchemaBase& schema, const void* settings, Apply outer, bool commented) {
    for (const FieldInfo& field : schema.fields()) {
      if (field.child) continue;
      out += '\n';
      prose(field.doc);
      Apply apply = field.apply.value_or(schema.default_apply().value_or(outer));
      std::string unset = !field.required && default_text(field, settings).empty() ? "; not set by default" : "";
      prose(fmt::format("({}; {}{}{})", describe_type(field), describe_apply(apply),
                        field.required ? "; required" : unset, field.secret ? "; secret" : ""));
      std::string value = default_text(field, settings);
      std::string example = example_text(field);
      if (value.empty())
        value = example.empty() ? placeholder(field) : example;
      else if (!example.empty() && example != value)
        out += fmt::format("# Example: {} = {}\n", toml_key(field.name), example);
      bool live = field.required && !example.empty() && !commented;
      out += fmt::format("{}{} = {}\n", live ? "" : "#", toml_key(field.name), value);
    }
  }

  void tables(const SchemaBase& schema, const void* settings, const std::string& path, Apply outer, bool commented) {
    for (const FieldInfo& field : schema.fields()) {
      if (!field.child) continue;
      std::string name = joined_path(path, field.name);
      Apply apply = field.apply.value_or(schema.default_apply().value_or(outer));
      bool fixed = field.shape == FieldShape::kTable;
      std::string header = fixed || field.shape == FieldShape::kOptionalTable ? fmt::format("[{}]", name)
                           : field.shape == FieldShape::kTables               ? fmt::format("[[{}]]", name)
                                                                              : fmt::format("[{}.NAME]", name);
      out += '\n';
      prose(field.doc);
      if (!fixed) prose(fmt::format("({})", describe_type(field)));
      out += fmt::format("{}{}\n", fixed && !commented ? "" : "#", header);
      std::string child_path = field.shape == FieldShape::kTableMap ? name + ".NAME" : name;
      std::shared_ptr<void> made = fixed ? nullptr : field.child->make();
      const void* child = fixed ? field.children(settings).front().second : made.get();
      keys(*field.child, child, apply, commented || !fixed);
      tables(*field.child, child, child_path, apply, commented || !fixed);
    }
  }

 private:
  static std::string placeholder(const FieldInfo& field) {
    if (field.shape == FieldShape::kMap) return "{}";
    switch (field.kind) {
      case ScalarKind::kBool:
        return "false";
      case ScalarKind::kInteger:
      case ScalarKind::kFloat:
        return "0";
      case ScalarKind::kSize:
        return "\"1 MiB\"";
      case ScalarKind::kDuration:
        return "\"1m\"";
      case ScalarKind::kEndpoint:
        return "\"127.0.0.1:25\"";
      case ScalarKind::kAddress:
        return "\"192.0.2.1\"";
      case ScalarKind::kNetwork:
        return "\"192.0.2.0/24\"";
      default:
        return field.allowed.empty() ? "\"...\"" : toml_quoted(field.allowed.front());
    }
  }
};

}  // namespace

std::string ConfigSchemas::render_sample() const {
  Sample sample;
  sample.prose(
      "Postern's configuration. Generated from the declarations of its modules; every setting stands here at its "
      "default, commented out. Uncomment what should differ, then run: postern check");
  sample.out +=
      "\n# Further files; their [[tables]] are appended to those of this file.\n#include = [\"conf.d/*.toml\"]\n";
  std::vector<std::shared_ptr<void>> made;
  for (const Entry& entry : entries_) {
    made.push_back(entry.schema->make());
    if (entry.schema->path().empty()) sample.keys(*entry.schema, made.back().get(), Apply::kRestart, false);
  }
  for (std::size_t at = 0; at < entries_.size(); ++at) {
    const SchemaBase& schema = *entries_[at].schema;
    sample.out += '\n';
    sample.prose(schema.doc());
    if (!schema.path().empty()) {
      sample.out += fmt::format("[{}]\n", schema.path());
      sample.keys(schema, made[at].get(), Apply::kRestart, false);
    }
    sample.tables(schema, made[at].get(), schema.path(), Apply::kRestart, false);
  }
  return sample.out;
}

}  // namespace postern
