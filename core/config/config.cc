// Loading: files to tree, waivers, tree to settings. Looking at what was loaded is in effective.cc.
#include "postern/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/config/files.h"
#include "core/config/reader.h"

namespace postern {
namespace {

// [[waive]] warning = "code", reason = "why". A waiver without a reason is a waiver nobody will dare to remove.
void read_waivers(const ConfigValue& root, Diagnostics& diagnostics) {
  const ConfigEntry* entry = root.find("waive");
  if (entry == nullptr) return;
  if (!entry->value.is_tables())
    return diagnostics.error(entry->value.origin, "waive should be a list of tables, but is " + entry->value.describe(),
                             "write [[waive]], once for each");
  for (const ConfigValue& item : *entry->value.list()) {
    std::string code;
    for (std::string_view key : {"warning", "reason"}) {
      const ConfigEntry* found = item.find(key);
      const auto* text = found != nullptr ? std::get_if<std::string>(&found->value.data) : nullptr;
      if (text == nullptr || text->empty())
        diagnostics.error(found != nullptr ? found->value.origin : item.origin,
                          fmt::format("[[waive]] needs a text \"{}\"", key),
                          "write: warning = \"the.code\" and reason = \"why it does not matter here\"");
      else if (key == "warning")
        code = *text;
    }
    for (const ConfigEntry& other : *item.table())
      if (other.key != "warning" && other.key != "reason")
        diagnostics.error(other.origin, fmt::format("unknown key \"{}\" in [[waive]]", other.key),
                          "it has warning and reason");
    if (!code.empty()) diagnostics.waive(code);
  }
}

}  // namespace

std::shared_ptr<const Config> Config::load(const ConfigSchemas& schemas, const std::filesystem::path& file,
                                           Diagnostics& diagnostics) {
  auto text = read_config_file(file, {}, diagnostics);
  if (!text) return nullptr;
  std::error_code error;
  std::filesystem::path folder = std::filesystem::absolute(file, error).parent_path();
  if (error) {
    diagnostics.error({}, fmt::format("{} cannot be read: {}", file.string(), error.message()));
    return nullptr;
  }
  return parse(schemas, file.string(), *std::move(text), diagnostics, folder);
}

std::shared_ptr<const Config> Config::parse(const ConfigSchemas& schemas, std::string name, std::string text,
                                            Diagnostics& diagnostics, const std::filesystem::path& folder) {
  auto tree = read_config_tree(name, std::move(text), folder, diagnostics);
  if (!tree) return nullptr;
  std::size_t before = diagnostics.errors();
  read_waivers(*tree, diagnostics);
  auto config = ConfigReader(schemas, *tree, folder, diagnostics).read();
  return diagnostics.errors() == before ? config : nullptr;
}

const void* Config::find(std::type_index type) const {
  auto found = std::ranges::find(parts_, type, &Part::type);
  if (found == parts_.end()) throw Error(fmt::format("no settings of type {} were declared", type.name()));
  return found->settings.get();
}

}  // namespace postern
