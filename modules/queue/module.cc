// The module "queue": takes accepted mail over, and sees it to its last recipient.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "commands.h"
#include "pickup.h"
#include "postern/env.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "queue.h"
#include "report_settings.h"
#include "screened_transport.h"
#include "secrets.h"
#include "srs_paths.h"
#include "suppress.h"
#include "suppress_feedback.h"

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
    schemas.add<SuppressionSettings>();
    schemas.add<PickupSettings>();
    schemas.add<SrsSettings>();
  }

  void provide(Core& core) override {
    core_ = &core;
    queue_ = std::make_unique<QueueService>(core.runtime, core.metrics);
    // Commands are registered here, where there is no other thread; they are asked only once all workers run.
    const auto& suppression = core.config->get<SuppressionSettings>();
    if (suppression.enabled)
      suppressed_ = std::make_unique<SuppressionList>(env_, core.state_dir, core.runtime.worker(0), suppression);
    if (suppressed_ && !suppression.feedback_address.empty())
      feedback_ = std::make_unique<FeedbackIntake>(*queue_, *suppressed_);
    if (feedback_)
      core.services.provide<Queue>(*feedback_);
    else
      core.services.provide<Queue>(*queue_);
    if (const auto& srs = core.config->get<SrsSettings>(); srs.enabled()) {
      srs_ = std::make_unique<SrsPaths>(srs, core.state_dir);
      core.services.provide<ReturnPaths>(*srs_);
    }
    auto* control = core.services.find<Control>();
    if (control == nullptr) return;
    add_commands(*control, *queue_);
    if (suppressed_) add_suppression_commands(*control, *suppressed_);
  }

  /// Senders are made for a domain whose mail comes here, else their reports would go astray.
  void check(Core& core, Diagnostics& diagnostics) override {
    const auto& srs = core.config->get<SrsSettings>();
    const auto* directory = core.services.find<Directory>();
    const auto domain = Domain::parse(srs.domain);
    if (!srs.enabled() || directory == nullptr || !domain) return;
    const auto domains = directory->facts().domains;
    const bool local = std::ranges::any_of(domains, [&](const DirectoryFacts::Domain& one) {
      return one.kind == DomainKind::kLocal && one.name == domain->ascii();
    });
    if (!local)
      diagnostics.error(srs.origin("domain"), fmt::format("{} is no local domain", domain->ascii()),
                        "declare it as a [[domain]] of kind local");
  }

  Result<void> prepare(Core& core, Log& log) override {
    if (feedback_) {
      auto secrets = load_secrets(core.state_dir + "/feedback.secret", true);
      if (!secrets) return std::unexpected(secrets.error());
      proof_.emplace(std::move(secrets->all));
    }
    return load_srs(log);
  }
  Result<void> prepare_reload(Core&, Log& log) override { return load_srs(log); }

  void start(Worker& worker) override {
    // The spool is opened after privileges were dropped, so the first worker to come makes the shards of all.
    std::call_once(made_, [this, &worker] { make_shards(worker); });
    queue_->set_log(worker.index, worker.log);
    if (worker.index != 0) return;
    if (suppressed_) queue_->shard(0).begin(open_suppressed());
    queue_->begin();
    begin_pickup(worker);
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
    Transport* transport = services.find<Transport>();
    if (transport != nullptr && srs_) {
      sending_ = std::make_unique<SenderTransport>(*transport);
      transport = sending_.get();
    }
    if (transport != nullptr && suppressed_) {
      screened_ = std::make_unique<ScreenedTransport>(*transport, *suppressed_);
      if (const auto* directory = services.find<Directory>(); directory != nullptr && proof_)
        screened_->prove_with(*proof_, *directory);
      transport = screened_.get();
    }
    queue_->make_shards(services.need<Spool>(), services.need<MailStore>(), transport, services.find<Directory>(),
                        teller_.get(), config.get<QueueSettings>(), config.get<SubmissionSettings>(),
                        services.find<Policy>());
    queue_->mark_own(worker.executor);
    if (feedback_)
      feedback_->begin({.spool = services.need<Spool>(),
                        .home = core_->runtime.worker(0),
                        .proof = *proof_,
                        .spawn = background(),
                        .log = [this]() -> const Log& { return queue_->shard(0).log(); }});
  }

  /// Runs what is to run beside all mail, on worker 0.
  std::function<void(Task<void>)> background() {
    return [this](Task<void> task) { queue_->shard(0).begin(std::move(task)); };
  }

  Result<void> load_srs(Log& log) {
    if (!srs_) return {};
    const auto loaded = srs_->load();
    if (!loaded) return std::unexpected(loaded.error());
    if (*loaded) log.info("srs.secret_made", {{"file", srs_->file()}, {"domain", srs_->domain().ascii()}});
    return {};
  }

  Task<void> open_suppressed() {
    suppressed_->set_background(background());
    if (auto opened = co_await suppressed_->open(); !opened)
      queue_->shard(0).log().error("suppress.open", {{"code", opened.error().code}, {"why", opened.error().detail}});
  }

  /// Mail from the drop folder; without a policy there is nobody to judge it.
  void begin_pickup(Worker& worker) {
    const Services& services = core_->services;
    const auto& settings = core_->config->get<PickupSettings>();
    auto* policy = services.find<Policy>();
    if (!settings.enabled || policy == nullptr) return;
    pickup_ = std::make_unique<Pickup>(PickupParts{.spool = services.need<Spool>(),
                                                   .policy = *policy,
                                                   .directory = services.find<Directory>(),
                                                   .hostname = core_->hostname,
                                                   .folder = Pickup::folder_for(settings, core_->state_dir),
                                                   .settings = settings,
                                                   .log = worker.log});
    queue_->shard(0).begin(pickup_->run());
  }

  Core* core_ = nullptr;
  PosixEnv env_;
  std::unique_ptr<SuppressionList> suppressed_;
  std::unique_ptr<ScreenedTransport> screened_;
  std::unique_ptr<FeedbackIntake> feedback_;
  std::optional<FeedbackProof> proof_;
  std::unique_ptr<SrsPaths> srs_;
  std::unique_ptr<SenderTransport> sending_;
  std::unique_ptr<Pickup> pickup_;
  std::unique_ptr<QueueService> queue_;
  std::unique_ptr<ReportingTeller> teller_;
  std::once_flag made_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "queue",
    .purpose = "schedule, delivery into mailboxes, retry, reports to senders, hold and recall of accepted mail",
    .provides = {"queue", "return-paths"},
    .needs = {"mailstore", "spool"},
    .uses = {"control", "transport", "directory"},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<QueueModule>(); },
};

}  // namespace

}  // namespace postern::queue

POSTERN_MODULE(postern::queue::kInfo)
