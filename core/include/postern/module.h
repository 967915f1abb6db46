// What a module or plugin is to the core: one exported function, and an object with a life in steps.
//
//   load      its fingerprint is read from the file and compared, then the shared object is opened and info() read
//
//   describe  it declares its settings; then the configuration is parsed once, for all
//
//   provide   it makes its services from its settings and registers them (rules too); touches nothing outside
//
//   check     it looks at its settings and reports what is wrong, with places; touches nothing; `postern check` ends
//   here
//
//   prepare   privileged: binds addresses, reads keys, opens files; it may fail, and then nothing has started
//
//   start     on every worker's own thread, after privileges were dropped
//
//   drain     no new work; what runs may end, until the deadline
//
//   stop      everything of it has ended when it returns
//
// Thread: describe to prepare and stop on the main thread; start and drain on each worker's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/config.h"
#include "postern/error.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/services.h"
#include "postern/task.h"

namespace postern {

/// What every module may use; owned by main, outlives all modules.
struct Core {
  std::shared_ptr<const Config> config;  ///< of this epoch; replaced by a reload before apply_reload
  Runtime& runtime;
  Services& services;
  Metrics& metrics;
  std::string hostname;   ///< [server] hostname
  std::string state_dir;  ///< [server] state
  bool check_only = false;
};

/// One worker, as a module's start() gets it.
struct Worker {
  Executor& executor;
  Log& log;  ///< this worker's ring
  unsigned index;
};

class Module {
 public:
  virtual ~Module();
  /// Declares its settings; called once, before anything else.
  virtual void describe(ConfigSchemas& schemas) = 0;
  /// Registers its services and rules. Settings are those of core.config, which was parsed without errors.
  virtual void provide(Core& core);
  virtual void check(Core& core, Diagnostics& diagnostics);
  virtual Result<void> prepare(Core& core, Log& log);
  virtual void start(Worker& worker);
  virtual Task<void> drain(Worker& worker, Deadline deadline);
  virtual void stop();
  /// A reload's first half, on the main worker: everything that may fail (files, certificates). core.config is the new
  /// one.
  virtual Result<void> prepare_reload(Core& core, Log& log);
  /// A reload's second half, on each worker, after check and prepare_reload succeeded for all modules. It may not fail.
  virtual void apply_reload(Worker& worker);
};

struct ModuleInfo {
  std::string_view fingerprint;  ///< POSTERN_FINGERPRINT of the build
  std::string_view name;
  std::string_view purpose;                ///< one line, for `postern list modules`
  std::vector<std::string_view> provides;  ///< service names
  std::vector<std::string_view> needs;     ///< service names that must exist
  std::vector<std::string_view> uses;      ///< service names used when they exist; they only order the start
  std::unique_ptr<Module> (*create)();
};

}  // namespace postern

/// In exactly one file of a module: `POSTERN_MODULE(info)` after `#include "postern/fingerprint.h"`.
/// The fingerprint also stands in a section of its own, where the loader reads it before anything of the file runs.
#define POSTERN_MODULE(info)                                                                                    \
  [[gnu::used, gnu::section(".postern")]] static const char postern_module_fingerprint[] = POSTERN_FINGERPRINT; \
  extern "C" __attribute__((visibility("default"))) const ::postern::ModuleInfo* postern_module() {             \
    return &(info);                                                                                             \
  }
