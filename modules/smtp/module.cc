// The module "smtp": declares its settings, binds its addresses while privileged, and runs one Server per worker.
#include <map>

#include "postern/fingerprint.h"
#include "postern/module.h"
#include "server.h"

namespace postern::smtp {

namespace {

class SmtpModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<Settings>(); }

  void check(Core& core, Diagnostics& diagnostics) override {
    TlsService* tls = core.services.find<TlsService>();
    // `check` runs before other modules' prepare; a service that is provided later cannot be missed here.
    const bool have_auth = core.check_only || core.services.find<Authenticator>() != nullptr || !prepared_;
    const bool have_tls = core.check_only || (tls && tls->server() != nullptr) || !prepared_;
    check_settings(core.config->get<Settings>(), have_auth, have_tls, diagnostics);
    // A reload reads its certificates after this: prepare_reload looks then.
    if (tls && !prepared_) check_certificates(core.config->get<Settings>(), *tls, diagnostics);
  }

  Result<void> prepare(Core& core, Log& log) override {
    core_ = &core;
    prepared_ = true;
    metrics_.emplace(core.metrics);
    limiter_.emplace(core.runtime);
    const Settings& settings = core.config->get<Settings>();
    for (const ListenerSettings& listener : settings.listeners) {
      if (listener.offers_auth() && !core.services.find<Authenticator>())
        return fault("smtp.no-auth", "listener " + listener.name + " offers AUTH, and no module provides \"auth\"");
      if (auto ready = check_tls(core, listener); !ready) return ready;
      auto bound = core.runtime.bind(listener.address, listener.socket_mode());
      if (!bound) return std::unexpected(bound.error());
      log.info("smtp.listening", {{"listener", listener.name},
                                  {"address", (*bound)->endpoint().to_string()},
                                  {"role", to_string(listener.role)}});
      bound_.emplace(listener.name, std::move(*bound));
    }
    servers_.resize(core.runtime.workers());
    return {};
  }

  Result<void> prepare_reload(Core& core, Log&) override {
    Diagnostics diagnostics;
    if (auto* tls = core.services.find<TlsService>())
      check_certificates(core.config->get<Settings>(), *tls, diagnostics);
    if (diagnostics.has_errors()) return fault("smtp.no-certificate", diagnostics.render());
    for (const ListenerSettings& listener : core.config->get<Settings>().listeners)
      if (auto ready = check_tls(core, listener); !ready) return ready;
    return {};
  }

  void start(Worker& worker) override {
    Core& core = *core_;
    auto server = std::make_unique<Server>(worker.executor, worker.log,
                                           ServerParts{.policy = core.services.need<Policy>(),
                                                       .spool = core.services.need<Spool>(),
                                                       .auth = core.services.find<Authenticator>(),
                                                       .tls = core.services.find<TlsService>(),
                                                       .dns = core.services.find<Resolvers>(),
                                                       .overload = core.services.find<Overload>(),
                                                       .queue = core.services.find<Queue>(),
                                                       .limiter = *limiter_,
                                                       .metrics = *metrics_,
                                                       .workers = core.runtime.workers()});
    server->configure(core.config, core.hostname);
    for (auto& [name, bound] : bound_) server->listen(name, *bound);
    servers_[worker.index] = std::move(server);
  }

  Task<void> drain(Worker& worker, Deadline deadline) override {
    if (servers_[worker.index]) co_await servers_[worker.index]->drain(deadline);
  }

  void apply_reload(Worker& worker) override {
    if (servers_[worker.index]) servers_[worker.index]->configure(core_->config, core_->hostname);
  }

  void stop() override {
    servers_.clear();
    bound_.clear();
  }

 private:
  /// A listener that cannot do without TLS must have a certificate before anything starts.
  static Result<void> check_tls(Core& core, const ListenerSettings& listener) {
    const TlsMode mode = listener.tls_mode();
    if (mode != TlsMode::kImplicit && mode != TlsMode::kRequired) return {};
    TlsService* tls = core.services.find<TlsService>();
    if (tls && tls->server(listener.certificate)) return {};
    return fault("smtp.no-certificate", "listener " + listener.name + " needs TLS, and there is no certificate for it");
  }

  Core* core_ = nullptr;
  bool prepared_ = false;
  std::optional<SmtpMetrics> metrics_;
  std::optional<ConnectionLimiter> limiter_;
  std::map<std::string, std::unique_ptr<BoundEndpoint>> bound_;
  std::vector<std::unique_ptr<Server>> servers_;  // by worker; each entry is touched by its worker alone
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "smtp",
    .purpose = "SMTP, submission and LMTP server",
    .provides = {},
    .needs = {"policy", "spool"},
    .uses = {"auth", "tls", "overload", "dns", "queue"},
    .create = []() -> std::unique_ptr<Module> { return std::make_unique<SmtpModule>(); },
};

}  // namespace

}  // namespace postern::smtp

POSTERN_MODULE(postern::smtp::kInfo)
