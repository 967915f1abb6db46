#include "core/loader/assembly.h"

#include <unistd.h>

#include "core/pipeline/settings.h"

namespace postern {

Result<std::unique_ptr<Assembly>> Assembly::make(const std::vector<std::filesystem::path>& module_folders) {
  auto assembly = std::make_unique<Assembly>();
  auto modules = ModuleSet::load(module_folders);
  if (!modules) return std::unexpected(modules.error());
  assembly->modules = std::move(*modules);
  add_core_schemas(assembly->schemas);
  describe_pipeline(assembly->schemas);
  for (const LoadedModule& loaded : assembly->modules.all()) loaded.module->describe(assembly->schemas);
  return assembly;
}

bool Assembly::read(const std::filesystem::path& file, Diagnostics& diagnostics) {
  config = Config::load(schemas, file, diagnostics);
  return config != nullptr;
}

std::filesystem::path control_socket(const ServerSettings& settings) {
  return settings.control.empty() ? settings.state / "control.sock" : settings.control;
}

std::string host_name(const ServerSettings& settings) {
  if (!settings.hostname.empty()) return settings.hostname;
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name[0] ? name : "localhost";
}

}  // namespace postern
