// What is put together before anything runs: modules, their schemas, the configuration, and all that is wrong with it.
//
// `postern check` ends here; `postern run` goes on with Server. Owner: main. Thread: main.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/loader/module_set.h"
#include "core/loader/settings.h"
#include "postern/config.h"
#include "postern/diagnostics.h"

namespace postern {

class Assembly {
 public:
  /// Opens the modules and gathers all schemas.
  static Result<std::unique_ptr<Assembly>> make(const std::vector<std::filesystem::path>& module_folders);

  /// Reads the configuration; false when it has errors (they are in `diagnostics`).
  bool read(const std::filesystem::path& file, Diagnostics& diagnostics);

  ModuleSet modules;
  ConfigSchemas schemas;
  std::shared_ptr<const Config> config;
};

/// The control socket's path, as [server] says.
std::filesystem::path control_socket(const ServerSettings& settings);
/// [server] hostname, or the system's name.
std::string host_name(const ServerSettings& settings);

}  // namespace postern
