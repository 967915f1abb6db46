// The module "auth": builds the first snapshot while the server starts, provides both services, and on reload builds
// the next one off the workers. A reload whose files are wrong is stopped by check(); should the users file break
// between that and apply_reload(), the snapshot in force stays, and the log says so.
#include <fmt/format.h>

#include "authenticator.h"
#include "directory.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "postern/nursery.h"
#include "postern/sync.h"

namespace postern::auth {

namespace {

class AuthModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override {
    schemas.add<AuthSettings>();
    schemas.add<DirectorySettings>();
  }

  void check(Core& core, Diagnostics& diagnostics) override { load(*core.config, diagnostics); }

  Result<void> prepare(Core& core, Log&) override {
    core_ = &core;
    Diagnostics diagnostics;
    auto first = load(*core.config, diagnostics);
    if (!first) return fault("auth.settings", diagnostics.render());
    directory_ = std::make_unique<SnapshotDirectory>(std::move(first));
    authenticator_ = std::make_unique<PasswordAuthenticator>(*directory_, core.runtime, core.metrics,
                                                             limits_of(core.config->get<AuthSettings>()));
    core.services.provide<Directory>(*directory_);
    core.services.provide<Authenticator>(*authenticator_);
    return {};
  }

  void start(Worker& worker) override {
    authenticator_->set_worker(worker.index, worker.log, limits_of(core_->config->get<AuthSettings>()));
    if (worker.index == 0) reloads_ = std::make_unique<Nursery>(worker.executor);
  }

  void apply_reload(Worker& worker) override {
    authenticator_->set_limits(worker.index, limits_of(core_->config->get<AuthSettings>()));
    if (worker.index == 0) reloads_->spawn(reload(core_->config, worker.log));
  }

  Task<void> drain(Worker& worker, Deadline) override {
    if (worker.index != 0 || !reloads_) co_return;
    co_await reloads_->join();  // ends by itself: it reads one file
    reloads_.reset();
  }

 private:
  static std::shared_ptr<const Snapshot> load(const Config& config, Diagnostics& diagnostics) {
    return load_snapshot(config.get<AuthSettings>(), config.get<DirectorySettings>(), diagnostics);
  }

  Task<void> reload(std::shared_ptr<const Config> config, Log log) {
    while (reloading_) co_await sleep_for(10ms);  // two reloads in a row: one after the other
    reloading_ = true;
    try {
      Diagnostics diagnostics;
      auto next = co_await run_blocking(Pool::kDisk, [&] { return load(*config, diagnostics); });
      if (next) {
        std::size_t accounts = next->accounts();
        co_await directory_->publish(std::move(next), core_->runtime);
        log.info("auth.reloaded", {{"accounts", accounts}});
      } else {
        log.error("auth.reload_failed", {{"problems", diagnostics.render()}});
      }
    } catch (const Overloaded&) {
      log.error("auth.reload_failed", {{"problems", "the disk pool is full"}});
    }
    reloading_ = false;
  }

  Core* core_ = nullptr;
  std::unique_ptr<SnapshotDirectory> directory_;
  std::unique_ptr<PasswordAuthenticator> authenticator_;
  std::unique_ptr<Nursery> reloads_;  // on worker 0
  bool reloading_ = false;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "auth",
    .purpose = "domains, accounts, aliases and passwords, from TOML and a users file",
    .provides = {"directory", "auth"},
    .needs = {},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<AuthModule>(); },
};

}  // namespace

}  // namespace postern::auth

POSTERN_MODULE(postern::auth::kInfo)
