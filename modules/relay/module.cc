// The module "relay": carries mail to other servers; one Courier per worker behind the service "transport".
#include <vector>

#include "courier.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "static_tls.h"

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
};

class RelayModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<DeliverySettings>(); }

  void provide(Core& core) override {
    core_ = &core;
    metrics_.emplace(core.metrics);
    core.services.provide<Transport>(transport_);
  }

  Result<void> prepare(Core& core, Log& log) override {
    auto outbound = Outbound::make(core.config->get<DeliverySettings>(), core.hostname, core.runtime.workers(),
                                   interface_addresses());
    if (!outbound) return std::unexpected(outbound.error());
    outbound_ = std::move(*outbound);
    auto context = make_client_tls({});
    if (!context) return std::unexpected(context.error());
    context_ = std::move(*context);
    transport_.couriers.resize(core.runtime.workers());
    policies_.resize(core.runtime.workers());
    log.info("relay.ready", {{"routes", outbound_->settings.routes.size()}, {"ehlo", outbound_->ehlo()}});
    return {};
  }

  void start(Worker& worker) override {
    policies_[worker.index] = std::make_unique<StaticTlsPolicies>(context_, worker.log);
    transport_.couriers[worker.index] =
        std::make_unique<Courier>(worker.executor, worker.log,
                                  CourierParts{.outbound = outbound_,
                                               .spool = core_->services.need<Spool>(),
                                               .dns = core_->services.need<Resolvers>().of(worker.executor),
                                               .policies = *policies_[worker.index],
                                               .metrics = *metrics_});
  }

  Task<void> drain(Worker& worker, Deadline deadline) override {
    if (transport_.couriers[worker.index]) co_await transport_.couriers[worker.index]->drain(deadline);
  }

  void stop() override {
    transport_.couriers.clear();
    policies_.clear();
  }

 private:
  Core* core_ = nullptr;
  std::optional<RelayMetrics> metrics_;
  std::shared_ptr<const Outbound> outbound_;
  std::shared_ptr<TlsContext> context_;
  std::vector<std::unique_ptr<TlsPolicies>> policies_;
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
