// The plugin "memory": provides the kv store "memory".
#include "postern/module.h"
#include "postern/fingerprint.h"
#include "postern/random.h"
#include "settings.h"
#include "store.h"

namespace postern::memory {
namespace {

constexpr std::string_view kName = "memory";

class MemoryModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<MemorySettings>(); }
  void provide(Core& core) override {
    const auto& settings = core.config->get<MemorySettings>();
    store_ = std::make_unique<MemoryStore>(core.runtime, ShardLimits{settings.keys, settings.size.bytes}, random_u64(),
                                           core.metrics);
    if (!core.services.find<KeyValueStore>(kName)) core.services.provide<KeyValueStore>(*store_, kName);
  }

 private:
  std::unique_ptr<MemoryStore> store_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = kName,
    .purpose = "the kv store \"memory\", for what rules keep between mails",
    .provides = {"kv:memory"},
    .needs = {},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<MemoryModule>(); },
};

}  // namespace
}  // namespace postern::memory

POSTERN_MODULE(postern::memory::kInfo)
