#include "core/offline/specs.h"

#include <algorithm>
#include <set>

namespace postern {
namespace {

namespace fs = std::filesystem;

bool is_spec(const fs::path& file) {
  return file.filename().string().ends_with(kSpecSuffix);
}

template <class Iterator>
void add_specs(const fs::path& folder, std::set<fs::path>& found) {
  std::error_code error;
  for (Iterator at(folder, fs::directory_options::skip_permission_denied, error), end; !error && at != end;
       at.increment(error))
    if (at->is_regular_file(error) && is_spec(at->path())) found.insert(at->path().lexically_normal());
}

}  // namespace

std::vector<fs::path> specs_beside(const PipelineSettings& settings) {
  std::set<fs::path> folders, found;
  for (const fs::path& script : settings.scripts)
    folders.insert(script.has_parent_path() ? script.parent_path() : fs::path("."));
  for (const fs::path& folder : folders) add_specs<fs::directory_iterator>(folder, found);
  return {found.begin(), found.end()};
}

Result<std::vector<fs::path>> specs_at(const std::vector<fs::path>& paths) {
  std::set<fs::path> found;
  for (const fs::path& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error))
      add_specs<fs::recursive_directory_iterator>(path, found);
    else if (fs::is_regular_file(path, error))
      found.insert(path.lexically_normal());
    else
      return fault("specs.path", path.string() + " is neither a file nor a folder");
  }
  return std::vector<fs::path>(found.begin(), found.end());
}

bool run_specs(const std::vector<fs::path>& files, const Config& config, const RuleRegistry& registry,
               ScriptEngine* engine, SpecReport& report, Diagnostics& diagnostics) {
  if (!engine) {
    diagnostics.error({}, "there are specs, but no module that runs them", "load the module \"lua\"");
    return false;
  }
  const OfflineSetup setup{registry, engine, config.get<PipelineSettings>(), make_gate(config.get<RelaySettings>())};
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.string());
  return engine->run_specs(names, [&] { return std::make_unique<OfflineWorld>(setup); }, report, diagnostics);
}

}  // namespace postern
