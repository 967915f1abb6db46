// The plugin "maildir": makes the store of all mailboxes below one folder.
#include "postern/module.h"
#include "postern/fingerprint.h"
#include "settings.h"
#include "store.h"

namespace postern::maildir {

namespace {

std::string root_of(const Core& core) {
  const auto& root = core.config->get<MaildirSettings>().root;
  return root.empty() ? core.state_dir + "/mail" : root.string();
}

/// Services are registered before anything may be touched, the number of workers is known in prepare: this stands
/// for the store in between.
class LateStore final : public MailStore {
 public:
  Task<Result<std::string>> stage(DeliveryRequest request, MessageReader& message) override {
    return store->stage(std::move(request), message);
  }
  Task<Result<void>> publish(std::string token) override { return store->publish(std::move(token)); }
  Task<Result<bool>> is_staged(std::string token) override { return store->is_staged(std::move(token)); }
  Task<void> discard(std::string token) override { return store->discard(std::move(token)); }
  Task<std::size_t> sweep(WallTime before) override { return store->sweep(before); }
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string account, std::string folder) override {
    return store->open(std::move(account), std::move(folder));
  }
  std::unique_ptr<MaildirStore> store;
};

class MaildirModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<MaildirSettings>(); }
  void provide(Core& core) override { core.services.provide<MailStore>(late_); }

  Result<void> prepare(Core& core, Log&) override {
    const auto& settings = core.config->get<MaildirSettings>();
    late_.store = std::make_unique<MaildirStore>(
        core.runtime.workers(), StoreOptions{.root = root_of(core), .host = core.hostname, .sync = settings.sync});
    return {};
  }

  void start(Worker& worker) override {
    auto started = late_.store->start(worker.executor);
    if (!started) worker.log.error("maildir.open", {{"root", late_.store->root()}, {"why", started.error().detail}});
  }

 private:
  LateStore late_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "maildir",
    .purpose = "mailboxes as Maildir++ folders; exactly-once delivery",
    .provides = {"mailstore"},
    .needs = {},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<MaildirModule>(); },
};

}  // namespace

}  // namespace postern::maildir

POSTERN_MODULE(postern::maildir::kInfo)
