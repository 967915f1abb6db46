// Fills the settings of all schemas from one tree, and reports everything in the tree that no schema knows.
//
// Owner:  one load. Errors: all into Diagnostics; it goes on after each, so that one run finds everything.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/value.h"
#include "postern/config.h"

namespace postern {

class ConfigReader {
 public:
  ConfigReader(const ConfigSchemas& schemas, const ConfigValue& root, std::filesystem::path folder,
               Diagnostics& diagnostics)
      : schemas_(schemas), root_(root), folder_(std::move(folder)), diagnostics_(diagnostics) {}

  std::shared_ptr<const Config> read();

 private:
  // One table that is being filled. `value` is null when no file has it: defaults, but required keys are missed.
  struct Frame {
    const SchemaBase& schema;
    const ConfigValue* value;
    void* settings;
    std::string path;
    Origin where;  // for what is missing
  };

  void read_part(Config::Part& part);
  void fill(const Frame& frame);
  void fill_field(const Frame& frame, const FieldInfo& field, Located* located);
  void missing(const Frame& frame, const FieldInfo& field);
  void resolve_default_paths(const FieldInfo& field, void* settings);
  void read_value(const Frame& frame, const FieldInfo& field, const ConfigEntry& entry, Located* located);
  void read_list(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame, Located* located);
  void read_map(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame, Located* located);
  void read_table(const FieldInfo& field, const ConfigEntry* entry, const Frame& frame);
  void read_tables(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame);
  void read_table_map(const FieldInfo& field, const ConfigEntry& entry, const Frame& frame);
  void wrong_shape(const std::string& path, const FieldInfo& field, const ConfigValue& value);
  bool count_is_right(const std::string& path, const FieldInfo& field, const Origin& origin, std::size_t items);
  void report_unknown(const ConfigValue& table, const std::string& path);
  std::string hint_for_unknown(const ConfigEntry& entry, const std::vector<std::string>& known) const;

  const ConfigSchemas& schemas_;
  const ConfigValue& root_;
  std::filesystem::path folder_;
  Diagnostics& diagnostics_;
  std::map<std::string, Origin, std::less<>>* origins_ = nullptr;  // of the part that is being filled
  std::map<const ConfigValue*, std::vector<std::string>> known_;   // the keys of each table that some schema reads
  std::set<const ConfigValue*> open_;                              // maps: any key is right, and has been read
};

}  // namespace postern
