// The plugin "sqlite": provides a Database for each [[sqlite]], under its name.
#include <algorithm>
#include <filesystem>

#include "database.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "settings.h"

namespace postern::sqlite {
namespace {

DatabaseOptions options_of(const FileSettings& settings) {
  return {.handle = {.file = settings.file.string(),
                     .read_only = settings.read_only,
                     .busy = settings.busy,
                     .statements = settings.statements},
          .timeout = settings.timeout,
          .handles = settings.handles,
          .waiting = settings.waiting};
}

class SqliteModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<SqliteSettings>(); }

  void provide(Core& core) override {
    for (const FileSettings& one : core.config->get<SqliteSettings>().files) {
      if (core.services.find<Database>(one.name)) {
        twice_.push_back(one.name);
        continue;
      }
      databases_.push_back(std::make_unique<SqliteDatabase>(core.runtime.workers(), options_of(one)));
      core.services.provide<Database>(*databases_.back(), one.name);
    }
  }

  void check(Core& core, Diagnostics& diagnostics) override {
    for (const FileSettings& one : core.config->get<SqliteSettings>().files) {
      if (std::ranges::find(twice_, one.name) != twice_.end())
        diagnostics.error(one.origin("name"), "there are two databases with this name");
      std::error_code ignored;
      if (!std::filesystem::exists(one.file, ignored))
        diagnostics.warning(one.origin("file"), "sqlite-file",
                            one.file.string() + " does not exist, or cannot be seen from here");
    }
  }

 private:
  std::vector<std::unique_ptr<SqliteDatabase>> databases_;
  std::vector<std::string> twice_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "sqlite",
    .purpose = "SQLite files that scripts may ask",
    .provides = {"database"},
    .needs = {},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<SqliteModule>(); },
};

}  // namespace
}  // namespace postern::sqlite

POSTERN_MODULE(postern::sqlite::kInfo)
