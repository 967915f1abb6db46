// The module "lua": provides the service that turns scripts into rules.
#include "postern/module.h"

#include "engine.h"
#include "postern/fingerprint.h"
#include "settings.h"

namespace postern::lua {
namespace {

Limits limits_of(const LuaSettings& settings) {
  return {settings.instructions, settings.memory.bytes, settings.wall_clock};
}

class LuaModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<LuaSettings>(); }

  void provide(Core& core) override {
    const LuaSettings& settings = core.config->get<LuaSettings>();
    engine_ = std::make_unique<LuaEngine>(limits_of(settings), settings.script_folders);
    core.services.provide<ScriptEngine>(*engine_);
  }

  // Before the scripts are loaded, at the start and in each reload.
  void check(Core& core, Diagnostics& diagnostics) override {
    const LuaSettings& settings = core.config->get<LuaSettings>();
    for (std::size_t i = 0; i < settings.script_folders.size(); ++i) {
      std::error_code ignored;
      if (!std::filesystem::is_directory(settings.script_folders[i], ignored))
        diagnostics.error(settings.origin("script_folders[" + std::to_string(i) + "]"),
                          "there is no folder " + settings.script_folders[i].string());
    }
    engine_->configure(limits_of(settings), settings.script_folders);
  }

 private:
  std::unique_ptr<LuaEngine> engine_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "lua",
    .purpose = "hooks, pipelines, matchers and actions in Lua",
    .provides = {"scripts"},
    .needs = {},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<LuaModule>(); },
};

}  // namespace
}  // namespace postern::lua

POSTERN_MODULE(postern::lua::kInfo)
