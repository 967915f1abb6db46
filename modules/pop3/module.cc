// The module "pop3": binds its listeners while privileged, then runs one Shard per worker.
//
// A reload gives new sessions the new settings; added or moved listeners need a restart, since binding needs
// privileges.
#include <fmt/format.h>

#include "postern/fingerprint.h"
#include "postern/module.h"
#include "server.h"

namespace postern::pop3 {

namespace {

class Pop3Module final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<Pop3Settings>(); }

  void check(Core& core, Diagnostics& diagnostics) override {
    // A reload reads its certificates after this: prepare_reload looks then.
    auto* tls = core.services.find<TlsService>();
    if (tls && !core_) check_certificates(core.config->get<Pop3Settings>(), *tls, diagnostics);
  }

  Result<void> prepare_reload(Core& core, Log&) override {
    Diagnostics diagnostics;
    check_certificates(core.config->get<Pop3Settings>(), core.services.need<TlsService>(), diagnostics);
    if (diagnostics.has_errors()) return fault("pop3.tls", diagnostics.render());
    return {};
  }

  Result<void> prepare(Core& core, Log& log) override {
    core_ = &core;
    const auto& settings = core.config->get<Pop3Settings>();
    auto& tls = core.services.need<TlsService>();
    for (const ListenerSettings& listener : settings.listeners) {
      if (listener.tls != TlsMode::kNone && !tls.server(listener.certificate))
        return fault("pop3.tls", fmt::format("{}: listener {} wants TLS, and there is no certificate{}{}",
                                             listener.origin().to_string(), listener.address.to_string(),
                                             listener.certificate.empty() ? "" : " named ", listener.certificate));
      auto bound = core.runtime.bind(listener.address);
      if (!bound) return std::unexpected(bound.error());
      log.info("pop3.listen", {{"name", listener.name}, {"address", (*bound)->endpoint().to_string()}});
      bound_.push_back(std::move(*bound));
    }
    server_ = std::make_unique<Server>(ServerParts{.runtime = core.runtime,
                                                   .store = core.services.need<MailStore>(),
                                                   .auth = core.services.need<Authenticator>(),
                                                   .tls = &tls,
                                                   .metrics = core.metrics,
                                                   .hostname = core.hostname});
    make_shards(core);
    return {};
  }

  void start(Worker& worker) override {
    Shard& shard = *server_->shard(worker.index);
    shard.set_log(worker.log);
    for (std::size_t i = 0; i < bound_.size(); ++i) shard.listen(*bound_[i], i);
  }

  void apply_reload(Worker& worker) override {
    // Sessions name their listener by its number: settings whose listeners differ wait for the restart they need.
    auto next = settings_of(core_->config);
    Shard& shard = *server_->shard(worker.index);
    if (next->listeners.size() == bound_.size())
      shard.set_settings(std::move(next));
    else
      worker.log.warn("pop3.reload_needs_restart", {{"listeners", bound_.size()}, {"wanted", next->listeners.size()}});
  }

  Task<void> drain(Worker& worker, Deadline deadline) override {
    if (server_ && server_->shard(worker.index)) co_await server_->shard(worker.index)->drain(deadline);
  }

  void stop() override {
    if (server_) server_->clear();
    bound_.clear();
  }

 private:
  // Shares the configuration's life.
  static std::shared_ptr<const Pop3Settings> settings_of(const std::shared_ptr<const Config>& config) {
    return {config, &config->get<Pop3Settings>()};
  }
  // All shards stand before the first worker accepts: a session may ask any of them.
  void make_shards(Core& core) {
    for (unsigned i = 0; i < core.runtime.workers(); ++i)
      server_->start(core.runtime.worker(i), Log(), settings_of(core.config));
  }

  Core* core_ = nullptr;
  std::vector<std::unique_ptr<BoundEndpoint>> bound_;
  std::unique_ptr<Server> server_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "pop3",
    .purpose = "POP3 server (RFC 1939) over the mail store",
    .provides = {},
    .needs = {"auth", "mailstore", "tls"},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<Pop3Module>(); },
};

}  // namespace

}  // namespace postern::pop3

POSTERN_MODULE(postern::pop3::kInfo)
