// The module "queue": takes accepted mail over, and sees it to its last recipient.
#include <mutex>

#include "commands.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "queue.h"
#include "report_settings.h"

namespace postern::queue {

namespace {

/// The Reporter as shards see it.
class ReportingTeller final : public Teller {
 public:
  explicit ReportingTeller(ReporterParts parts) : reporter_(std::move(parts)) {}
  Task<Result<std::size_t>> report(MessageId id, const Envelope& envelope, std::vector<Outcome> outcomes,
                                   Log log) override {
    return reporter_.report(id, envelope, std::move(outcomes), std::move(log));
  }
  bool wanted(const Envelope& envelope, const Outcome& outcome) const override {
    return reporter_.wanted(envelope, outcome);
  }
  std::optional<Outcome> half_told(std::uint32_t recipient, const RecipientInfo& info) const override {
    return Reporter::from_note(recipient, info);
  }

 private:
  Reporter reporter_;
};

class QueueModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override {
    schemas.add<QueueSettings>();
    schemas.add<SubmissionSettings>();
    schemas.add<ReportSettings>();
  }

  void provide(Core& core) override {
    core_ = &core;
    queue_ = std::make_unique<QueueService>(core.runtime, core.metrics);
    core.services.provide<Queue>(*queue_);
    // Commands are registered here, where there is no other thread; they are asked only once all workers run.
    if (auto* control = core.services.find<Control>()) add_commands(*control, *queue_);
  }

  void start(Worker& worker) override {
    // The spool is opened after privileges were dropped, so the first worker to come makes the shards of all.
    std::call_once(made_, [this, &worker] { make_shards(worker); });
    queue_->set_log(worker.index, worker.log);
    if (worker.index == 0) queue_->begin();
  }

  Task<void> drain(Worker& worker, Deadline deadline) override { return queue_->drain(worker.index, deadline); }
  void stop() override { queue_->clear(); }

 private:
  void make_shards(Worker& worker) {
    const Services& services = core_->services;
    const Config& config = *core_->config;
    teller_ = std::make_unique<ReportingTeller>(ReporterParts{.spool = services.need<Spool>(),
                                                              .policy = services.find<Policy>(),
                                                              .queue = queue_.get(),
                                                              .directory = services.find<Directory>(),
                                                              .hostname = core_->hostname,
                                                              .settings = config.get<ReportSettings>()});
    queue_->make_shards(services.need<Spool>(), services.need<MailStore>(), services.find<Transport>(),
                        services.find<Directory>(), teller_.get(), config.get<QueueSettings>(),
                        config.get<SubmissionSettings>());
    queue_->mark_own(worker.executor);
  }

  Core* core_ = nullptr;
  std::unique_ptr<QueueService> queue_;
  std::unique_ptr<ReportingTeller> teller_;
  std::once_flag made_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "queue",
    .purpose = "schedule, delivery into mailboxes, retry, reports to senders, hold and recall of accepted mail",
    .provides = {"queue"},
    .needs = {"mailstore", "spool"},
    .uses = {"control", "transport", "directory"},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<QueueModule>(); },
};

}  // namespace

}  // namespace postern::queue

POSTERN_MODULE(postern::queue::kInfo)
