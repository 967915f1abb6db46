// The module "relay": carries mail to other servers; one Courier per worker behind the service "transport".
#include <mutex>
#include <vector>

#include "courier.h"
#include "explain.h"
#include "postern/control.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "worker_tls.h"

namespace postern::relay {

namespace {

/// Leads each attempt to the courier of the worker that makes it.
class RelayTransport final : public Transport {
 public:
  std::vector<std::unique_ptr<Courier>> couriers;  // by worker; each entry is touched by its worker alone

  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override {
    Executor& here = co_await this_executor();
    co_return co_await couriers.at(here.index())->attempt(std::move(request));
  }

  /// A gateway or a route with hosts of its own is one destination, whatever domains go there.
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override {
    const Address& to = envelope.recipients.at(recipient).address;
    if (!outbound || step.options.contains("gateway")) return Transport::next_hop(envelope, step, recipient);
    const Route* route = outbound->routes.find(envelope.sender, to);
    return route && !route->settings.to.empty() ? route->settings.name : to.domain().to_string();
  }

  std::vector<std::string> route_names(const Config& config) const override {
    std::vector<std::string> names;
    for (const RouteSettings& one : config.get<DeliverySettings>().routes) names.push_back(one.name);
    return names;
  }

  std::shared_ptr<const Outbound> outbound;  // from prepare on
};

class RelayModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<DeliverySettings>(); }

  void provide(Core& core) override {
    core_ = &core;
    metrics_.emplace(core.metrics);
    core.services.provide<Transport>(transport_);
  }

  Result<void> prepare(Core& core, Log&) override {
    auto outbound = Outbound::make(core.config->get<DeliverySettings>(), core.hostname, core.runtime.workers(),
                                   interface_addresses());
    if (!outbound) return std::unexpected(outbound.error());
    outbound_ = std::move(*outbound);
    transport_.outbound = outbound_;
    auto client = make_client_tls({});
    if (!client) return std::unexpected(client.error());
    client_ = std::move(*client);
    warm_up_ = std::make_shared<WarmUp>(outbound_->settings.sources);
    transport_.couriers.resize(core.runtime.workers());
    if (auto* control = core.services.find<Control>())
      control->add(
          "relay.explain",
          "Where mail goes and under which TLS (domain or recipient; sender, gateway, tls); connects to nobody.",
          [this](ControlRequest request, ControlRows& rows) { return explain(std::move(request), rows); });
    tls_.resize(core.runtime.workers());
    return {};
  }

  void start(Worker& worker) override {
    // The state folder is this user's only after privileges were dropped; the first worker to come makes what is in it.
    std::call_once(shared_made_, [this, &worker] {
      shared_ = SharedTls::make(client_, core_->state_dir, outbound_->settings.tls_reports, worker.log);
      WarmUpKeeper(shared_->env, warm_up_folder(), warm_up_, worker.log).load(utc_day(worker.executor.wall()));
      worker.log.info("relay.ready", {{"routes", outbound_->settings.routes.size()}, {"ehlo", outbound_->ehlo()}});
    });
    Resolver& dns = core_->services.need<Resolvers>().of(worker.executor);
    Spool& spool = core_->services.need<Spool>();
    tls_[worker.index] = std::make_unique<WorkerTls>(worker.executor, worker.log,
                                                     WorkerTlsParts{.shared = *shared_,
                                                                    .outbound = *outbound_,
                                                                    .dns = dns,
                                                                    .spool = spool,
                                                                    .queue = core_->services.find<Queue>()});
    transport_.couriers[worker.index] =
        std::make_unique<Courier>(worker.executor, worker.log,
                                  CourierParts{.outbound = outbound_,
                                               .spool = spool,
                                               .dns = dns,
                                               .policies = tls_[worker.index]->policies(),
                                               .metrics = *metrics_,
                                               .warm_up = *warm_up_});
    if (worker.index != 0) return;
    keeper_ = std::make_unique<WarmUpKeeper>(shared_->env, warm_up_folder(), warm_up_, worker.log);
    keeping_ = std::make_unique<Nursery>(worker.executor);
    keeping_->on_error = [log = worker.log](std::exception_ptr) {
      log.error("relay.warm_up_write", {{"why", "an unexpected error"}});
    };
    keeping_->spawn(keeper_->run());
  }

  Task<void> drain(Worker& worker, Deadline deadline) override {
    if (!transport_.couriers[worker.index]) co_return;
    co_await transport_.couriers[worker.index]->drain(deadline);
    co_await tls_[worker.index]->drain(deadline);
    if (worker.index != 0) co_return;
    keeping_->cancel();
    co_await keeping_->join_until(deadline);
  }

  void stop() override {
    if (keeper_)
      keeper_->save(utc_day(std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())));
    transport_.couriers.clear();
    tls_.clear();
    keeping_.reset();
    keeper_.reset();
    shared_.reset();
  }

 private:
  /// On worker 0, whose courier it asks.
  Task<Result<void>> explain(ControlRequest request, ControlRows& rows) {
    if (!transport_.couriers[0]) co_return fault("relay.explain", "the server is starting or stopping");
    co_return co_await explain_command(*transport_.couriers[0], std::move(request), rows);
  }
  std::string warm_up_folder() const { return core_->state_dir + "/warm-up"; }

  Core* core_ = nullptr;
  std::optional<RelayMetrics> metrics_;
  std::shared_ptr<const Outbound> outbound_;
  std::shared_ptr<TlsContext> client_;
  std::unique_ptr<SharedTls> shared_;
  std::shared_ptr<WarmUp> warm_up_;
  std::unique_ptr<WarmUpKeeper> keeper_;  // worker 0's, and so is
  std::unique_ptr<Nursery> keeping_;
  std::once_flag shared_made_;
  std::vector<std::unique_ptr<WorkerTls>> tls_;
  RelayTransport transport_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "relay",
    .purpose = "carries mail to other servers: MX and routes, SMTP and LMTP client",
    .provides = {"transport"},
    .needs = {"spool", "dns"},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<RelayModule>(); },
};

}  // namespace

}  // namespace postern::relay

POSTERN_MODULE(postern::relay::kInfo)
