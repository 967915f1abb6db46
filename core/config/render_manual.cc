// The settings reference as Markdown.
#include <fmt/format.h>

#include "core/config/describe.h"
#include "core/config/scalar.h"

namespace postern {
namespace {

constexpr std::string_view kIntroduction =
    "# Settings\n"
    "\n"
    "Generated from the declarations of the modules (`postern show settings`); do not edit.\n"
    "\n"
    "Durations and sizes are texts with units: `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"2h\"`, `\"1d\"`, `\"1h30m\"`; "
    "`\"512 B\"`, "
    "`\"64 KiB\"`, `\"25 MiB\"`, `\"1 GiB\"`, `\"25 MB\"`.\n"
    "Relative paths start at the folder of the main configuration file.\n"
    "`include = [\"conf.d/*.toml\"]` at the top of the main file reads further files: `[[tables]]` are appended, a key "
    "may be "
    "defined only once.\n"
    "`[[waive]]` with `warning = \"code\"` and `reason = \"...\"` silences a warning.\n";

class Manual {
 public:
  std::string out;

  void section(const SchemaBase& schema, const void* settings, const std::string& header, const std::string& doc,
               Apply outer) {
    out += fmt::format("\n## {}\n", header.empty() ? "Top level" : fmt::format("`{}`", header));
    if (!doc.empty()) out += fmt::format("\n{}\n", doc);
    for (const FieldInfo& field : schema.fields())
      if (!field.child) key(field, settings, field.apply.value_or(schema.default_apply().value_or(outer)));
  }

  void tables(const SchemaBase& schema, const void* settings, const std::string& path, Apply outer) {
    for (const FieldInfo& field : schema.fields()) {
      if (!field.child) continue;
      std::string name = joined_path(path, field.name);
      Apply apply = field.apply.value_or(schema.default_apply().value_or(outer));
      std::string child_path = field.shape == FieldShape::kTableMap ? name + ".NAME" : name;
      std::string header =
          field.shape == FieldShape::kTables ? fmt::format("[[{}]]", name) : fmt::format("[{}]", child_path);
      std::string doc = field.doc;
      if (field.shape != FieldShape::kTable) doc += fmt::format(" *({})*", describe_type(field));
      bool fixed = field.shape == FieldShape::kTable;
      std::shared_ptr<void> made = fixed ? nullptr : field.child->make();
      const void* child = fixed ? field.children(settings).front().second : made.get();
      section(*field.child, child, header, doc, apply);
      tables(*field.child, child, child_path, apply);
    }
  }

 private:
  void key(const FieldInfo& field, const void* settings, Apply apply) {
    std::string value = default_text(field, settings);
    std::string standard = field.required  ? "**required**"
                           : value.empty() ? "not set by default"
                                           : fmt::format("default `{}`", value);
    out += fmt::format("\n### `{}`\n\n{}; {}; {}.{}\n\n{}\n", toml_key(field.name), describe_type(field), standard,
                       describe_apply(apply), field.secret ? " Secret: never shown." : "", field.doc);
    if (!field.example.empty()) out += fmt::format("\n    {} = {}\n", toml_key(field.name), example_text(field));
  }
};

}  // namespace

std::string ConfigSchemas::render_manual() const {
  Manual manual{std::string(kIntroduction)};
  for (const Entry& entry : entries_) {
    std::shared_ptr<void> settings = entry.schema->make();
    const std::string& path = entry.schema->path();
    bool has_keys = false;
    for (const FieldInfo& field : entry.schema->fields()) has_keys = has_keys || !field.child;
    if (has_keys || !path.empty())
      manual.section(*entry.schema, settings.get(), path.empty() ? "" : fmt::format("[{}]", path), entry.schema->doc(),
                     Apply::kRestart);
    manual.tables(*entry.schema, settings.get(), path, Apply::kRestart);
  }
  return manual.out;
}

}  // namespace postern
