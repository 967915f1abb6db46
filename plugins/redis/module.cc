// The plugin "redis": provides a kv store for each [[redis]], under its name.
#include <algorithm>

#include "postern/file.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "postern/text.h"
#include "settings.h"
#include "store.h"

namespace postern::redis {
namespace {

constexpr std::size_t kMaxPasswordFile = 4096;

StoreOptions options_of(const ServerSettings& settings) {
  return {.connection = {.name = settings.name,
                         .address = settings.address,
                         .user = settings.user,
                         .password = {},
                         .database = settings.database,
                         .pending = settings.pending},
          .prefix = settings.prefix,
          .timeout = settings.timeout,
          .connections = settings.connections};
}

class RedisModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<RedisSettings>(); }

  void provide(Core& core) override {
    for (const ServerSettings& one : core.config->get<RedisSettings>().servers) {
      const bool known = core.services.find<KeyValueStore>(one.name) != nullptr || one.name == "memory";
      if (known) twice_.push_back(one.name);
      stores_.push_back(std::make_unique<RedisStore>(core.runtime.workers(), options_of(one)));
      if (!known) core.services.provide<KeyValueStore>(*stores_.back(), one.name);
    }
  }

  void check(Core& core, Diagnostics& diagnostics) override {
    for (const ServerSettings& one : core.config->get<RedisSettings>().servers)
      if (std::ranges::find(twice_, one.name) != twice_.end())
        diagnostics.error(one.origin("name"), "there is another kv store with this name");
  }

  Result<void> prepare(Core& core, Log&) override {
    const auto& servers = core.config->get<RedisSettings>().servers;
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (servers[i].password_file.empty()) continue;
      auto text = read_regular_file(servers[i].password_file, kMaxPasswordFile);
      if (!text) return fault(text.error().code, servers[i].password_file.string() + ": " + text.error().detail);
      stores_[i]->set_password(std::string(trim(*text)));
    }
    return {};
  }

  void start(Worker& worker) override {
    for (const auto& store : stores_) store->start(worker.executor, worker.log);
  }
  void stop() override {
    for (const auto& store : stores_) store->stop();
  }

 private:
  std::vector<std::unique_ptr<RedisStore>> stores_;
  std::vector<std::string> twice_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "redis",
    .purpose = "Redis servers as kv stores, for what rules keep between mails",
    .provides = {"kv"},
    .needs = {},
    .uses = {"kv:memory"},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<RedisModule>(); },
};

}  // namespace
}  // namespace postern::redis

POSTERN_MODULE(postern::redis::kInfo)
