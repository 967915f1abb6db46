// The module "auth": provides both services, with the accounts as they are in the files while the server starts. A
// reload's check() reads the files anew, off the workers; apply_reload() swaps one pointer and cannot fail.
#include "postern/module.h"
#include "authenticator.h"
#include "directory.h"
#include "postern/fingerprint.h"
#include "postern/nursery.h"

namespace postern::auth {

namespace {

class AuthModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override {
    schemas.add<AuthSettings>();
    schemas.add<DirectorySettings>();
  }

  void provide(Core& core) override {
    core_ = &core;
    Diagnostics ignored;  // check() comes before anything is asked, and reports the same
    auto first = load(*core.config, ignored);
    if (!first) first = std::make_shared<const Snapshot>();
    directory_ = std::make_unique<SnapshotDirectory>(std::move(first));
    authenticator_ = std::make_unique<PasswordAuthenticator>(*directory_, core.runtime, core.metrics, limits(core));
    core.services.provide<Directory>(*directory_);
    core.services.provide<Authenticator>(*authenticator_);
  }

  // At the start and in each reload; what it built is what apply_reload() puts in force, files read once.
  void check(Core& core, Diagnostics& diagnostics) override { directory_->stage(load(*core.config, diagnostics)); }

  Result<void> prepare(Core&, Log&) override {
    directory_->publish();  // as checked a moment ago; no worker runs yet
    return {};
  }

  void start(Worker& worker) override {
    authenticator_->set_worker(worker.index, worker.log, limits(*core_));
    if (worker.index == 0) retiring_ = std::make_unique<Nursery>(worker.executor);
  }

  void apply_reload(Worker& worker) override {
    authenticator_->set_limits(worker.index, limits(*core_));
    if (worker.index != 0 || !directory_->publish()) return;
    worker.log.info("auth.reloaded", {{"accounts", directory_->current().accounts()}});
    if (retiring_) retiring_->spawn(directory_->retire(core_->runtime));
  }

  Task<void> drain(Worker& worker, Deadline) override {
    if (worker.index != 0 || !retiring_) co_return;
    co_await retiring_->join();  // ends by itself, after one turn of each loop
    retiring_.reset();
  }

 private:
  static std::shared_ptr<const Snapshot> load(const Config& config, Diagnostics& diagnostics) {
    return load_snapshot(config.get<AuthSettings>(), config.get<DirectorySettings>(), diagnostics);
  }
  static AuthLimits limits(const Core& core) { return limits_of(core.config->get<AuthSettings>()); }

  Core* core_ = nullptr;
  std::unique_ptr<SnapshotDirectory> directory_;
  std::unique_ptr<PasswordAuthenticator> authenticator_;
  std::unique_ptr<Nursery> retiring_;  // on worker 0
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
