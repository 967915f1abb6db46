// The modules of one process: found in folders, opened, compared by fingerprint, ordered by what they provide and need.
//
// A shared object is never closed again: code, type names and key functions of it may be referred to until the end.
//
// Thread: main thread, before the workers run. Errors: each as a Fault that names the file and what to do.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "postern/error.h"
#include "postern/module.h"

namespace postern {

struct LoadedModule {
  const ModuleInfo* info = nullptr;
  std::filesystem::path file;
  std::unique_ptr<Module> module;
};

class ModuleSet {
 public:
  /// Opens every *.so of `folders` (missing folders are no error; a name found twice is). Then orders: a provider comes
  /// before those who need or use it.
  static Result<ModuleSet> load(const std::vector<std::filesystem::path>& folders);

  const std::vector<LoadedModule>& all() const { return modules_; }  ///< providers first
  LoadedModule* find(std::string_view name);

 private:
  static Result<LoadedModule> open(const std::filesystem::path& file);
  Result<void> order();
  std::vector<LoadedModule> modules_;
};

/// Services that the core itself provides, which need no module.
bool is_core_service(std::string_view name);

/// <program's folder>/../lib/postern (a build tree), its folders modules and plugins (an installation), and what
/// POSTERN_MODULES names (colon separated).
std::vector<std::filesystem::path> default_module_folders();

}  // namespace postern
