// The module "queue": takes accepted mail over, and sees it to its last recipient.
#include <mutex>

#include "commands.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "queue.h"

namespace postern::queue {

namespace {

class QueueModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<QueueSettings>(); }

  void provide(Core& core) override {
    core_ = &core;
    queue_ = std::make_unique<QueueService>(core.runtime, core.metrics);
    core.services.provide<Queue>(*queue_);
    // Commands are registered here, where there is no other thread; they are asked only once all workers run.
    if (auto* control = core.services.find<Control>()) add_commands(*control, *queue_);
  }

  void start(Worker& worker) override {
    // The spool is opened after privileges were dropped, so the first worker to come makes the shards of all.
    std::call_once(made_, [this, &worker] {
      const Services& services = core_->services;
      queue_->make_shards(services.need<Spool>(), services.need<MailStore>(), services.find<Transport>(),
                          services.find<Directory>(), core_->config->get<QueueSettings>());
      queue_->mark_own(worker.executor);
    });
    queue_->set_log(worker.index, worker.log);
    if (worker.index == 0) queue_->begin();
  }

  Task<void> drain(Worker& worker, Deadline deadline) override { return queue_->drain(worker.index, deadline); }
  void stop() override { queue_->clear(); }

 private:
  Core* core_ = nullptr;
  std::unique_ptr<QueueService> queue_;
  std::once_flag made_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "queue",
    .purpose = "schedule, delivery into mailboxes, retry and hold of accepted mail",
    .provides = {"queue"},
    .needs = {"mailstore", "spool"},
    .uses = {"control", "transport", "directory"},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<QueueModule>(); },
};

}  // namespace

}  // namespace postern::queue

POSTERN_MODULE(postern::queue::kInfo)
