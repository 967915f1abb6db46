#include "core/config/files.h"

#include <fmt/format.h>
#include <glob.h>

#include <iterator>
#include <system_error>
#include <utility>

#include "core/config/toml_reader.h"
#include "postern/config.h"
#include "postern/file.h"

namespace postern {
namespace {

// Joins what another file says into the tree.
void merge(ConfigValue& into, ConfigValue from, const std::string& path, Diagnostics& diagnostics) {
  for (ConfigEntry& entry : *from.table()) {
    std::string entry_path = joined_path(path, entry.key);
    ConfigEntry* present = into.find(entry.key);
    if (present == nullptr) {
      into.table()->push_back(std::move(entry));
    } else if (present->value.table() != nullptr && entry.value.table() != nullptr) {
      merge(present->value, std::move(entry.value), entry_path, diagnostics);
    } else if (present->value.is_tables() && entry.value.is_tables()) {
      for (ConfigValue& element : *entry.value.list()) present->value.list()->push_back(std::move(element));
    } else {
      diagnostics.error(entry.origin, fmt::format("{} is defined twice", entry_path),
                        fmt::format("it was first defined at {}", present->origin.to_string()));
    }
  }
}

class Includer {
 public:
  Includer(ConfigValue& root, const std::filesystem::path& folder, Diagnostics& diagnostics)
      : root_(root), folder_(folder), diagnostics_(diagnostics) {}

  void run() {
    const ConfigEntry* entry = root_.find("include");
    if (entry == nullptr) return;
    ConfigValue patterns = entry->value;  // merging moves entries about
    if (patterns.list() == nullptr)
      return diagnostics_.error(patterns.origin, "include should be a list of texts, but is " + patterns.describe(),
                                "lists stand in brackets: [\"conf.d/*.toml\"]");
    for (const ConfigValue& pattern : *patterns.list()) {
      const auto* text = std::get_if<std::string>(&pattern.data);
      if (text == nullptr || text->empty() || text->find('\0') != std::string::npos)
        diagnostics_.error(pattern.origin, "include should list the names of files, but has " + pattern.describe());
      else if (folder_.empty())
        diagnostics_.error(pattern.origin, "include works in files only");
      else
        expand(*text, pattern.origin);
    }
  }

 private:
  void expand(const std::string& pattern, const Origin& origin) {
    std::filesystem::path full = folder_ / pattern;
    glob_t found{};
    int result = ::glob(full.c_str(), 0, nullptr, &found);
    std::vector<std::string> files(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    // A pattern may match nothing (an empty conf.d); a plain name must exist.
    if (files.empty() && (result == GLOB_NOMATCH ? pattern.find_first_of("*?[") == std::string::npos : result != 0))
      return diagnostics_.error(origin, fmt::format("there is no file {}", toml_quoted(pattern)));
    for (const std::string& file : files) include(file, origin);
  }

  void include(const std::filesystem::path& file, const Origin& origin) {
    if (++files_ > Config::kMaxFiles - 1) {
      if (files_ == Config::kMaxFiles)
        diagnostics_.error(origin, fmt::format("more than {} files are included", Config::kMaxFiles - 1));
      return;
    }
    auto text = read_config_file(file, origin, diagnostics_);
    if (!text) return;
    auto source = std::make_shared<SourceText>(file.lexically_relative(folder_).string(), *std::move(text));
    auto tree = read_toml(source, diagnostics_);
    if (!tree) return;
    if (const ConfigEntry* inner = tree->find("include"))
      return diagnostics_.error(inner->origin, "only the main file may include others");
    merge(root_, *std::move(tree), "", diagnostics_);
  }

  ConfigValue& root_;
  const std::filesystem::path& folder_;
  Diagnostics& diagnostics_;
  std::size_t files_ = 0;
};

}  // namespace

std::optional<std::string> read_config_file(const std::filesystem::path& file, const Origin& asked_at,
                                            Diagnostics& diagnostics) {
  auto refuse = [&](std::string_view why) {
    diagnostics.error(asked_at, fmt::format("{} cannot be read: {}", toml_quoted(file.string()), why));
    return std::nullopt;
  };
  auto text = read_regular_file(file, Config::kMaxFileBytes);
  if (text) return *std::move(text);
  if (text.error().code == "file.large")
    return refuse(fmt::format("it is larger than {}", to_text(Size{Config::kMaxFileBytes})));
  return refuse(text.error().detail);
}

std::optional<ConfigValue> read_config_tree(const std::string& name, std::string text,
                                            const std::filesystem::path& folder, Diagnostics& diagnostics) {
  if (text.size() > Config::kMaxFileBytes) {
    diagnostics.error({std::make_shared<SourceText>(name, ""), 0, 0},
                      fmt::format("the text is larger than {}", to_text(Size{Config::kMaxFileBytes})));
    return {};
  }
  std::size_t before = diagnostics.errors();
  auto tree = read_toml(std::make_shared<SourceText>(name, std::move(text)), diagnostics);
  if (!tree) return {};
  Includer(*tree, folder, diagnostics).run();
  if (diagnostics.errors() != before) return {};
  return tree;
}

}  // namespace postern
