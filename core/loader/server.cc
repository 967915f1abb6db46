#include "core/loader/server.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "core/loader/privileges.h"
#include "postern/key_value.h"
#include "postern/sync.h"
#include "postern/transport.h"

namespace postern {

/// Service "dns": a resolver per worker, made and ended on that worker's thread.
class Server::ResolverSet final : public Resolvers {
 public:
  explicit ResolverSet(unsigned workers) : resolvers_(workers) {}
  Resolver& of(const Executor& worker) override { return *resolvers_[worker.index()]; }
  void put(unsigned index, std::unique_ptr<Resolver> resolver) { resolvers_[index] = std::move(resolver); }

 private:
  std::vector<std::unique_ptr<Resolver>> resolvers_;
};

namespace {

SpoolSettings spool_settings(const SpoolConfig& config, const std::filesystem::path& state) {
  return SpoolSettings{.dir = config.directory.empty() ? state / "spool" : config.directory,
                       .segment_size = config.segment_size.bytes,
                       .large_body_threshold = config.large_body_threshold.bytes,
                       .max_blank_body_bytes = config.max_blank_body_bytes.bytes,
                       .header_limit = config.header_limit.bytes,
                       .lazy_flush_interval = config.lazy_flush_interval,
                       .min_free = config.min_free.bytes,
                       .hot_bodies = config.hot_bodies.bytes};
}

LogOptions log_options(const LogSettings& settings) {
  return LogOptions{
      .format = settings.format, .file = settings.file, .journald = settings.journald, .level = settings.level};
}

Instant precise_now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Server::Server() = default;

Result<std::unique_ptr<Server>> Server::make(std::unique_ptr<Assembly> assembly, std::filesystem::path config_file,
                                             bool check_only) {
  std::unique_ptr<Server> server(new Server);
  server->assembly_ = std::move(assembly);
  server->config_file_ = std::move(config_file);
  if (auto made = server->make_parts(check_only); !made) return std::unexpected(made.error());
  return server;
}

Result<void> Server::make_parts(bool check_only) {
  const Config& config = *assembly_->config;
  const auto& settings = config.get<ServerSettings>();
  runtime_ = make_uv_runtime({.workers = check_only ? 1 : settings.workers,
                              .pin_workers = settings.pin_workers,
                              .disk_threads = settings.disk_threads,
                              .cpu_threads = settings.cpu_threads,
                              .pool_queue = settings.pool_queue,
                              .backlog = static_cast<int>(settings.backlog)});
  auto logs =
      LogSystem::make(check_only ? LogOptions{.level = LogLevel::kOff} : log_options(config.get<LogSettings>()));
  if (!logs) return std::unexpected(logs.error());
  logs_ = std::move(*logs);
  for (const auto& [prefix, word] : config.get<LogSettings>().levels)
    if (auto set = logs_->set_level(prefix, parse_log_level(word)); !set) return set;
  log_ = logs_->make_shared_log("main");
  const unsigned workers = runtime_->workers();
  metrics_ = std::make_unique<Metrics>(workers);
  core_ = std::make_unique<Core>(Core{.config = assembly_->config,
                                      .runtime = *runtime_,
                                      .services = services_,
                                      .metrics = *metrics_,
                                      .hostname = host_name(settings),
                                      .state_dir = settings.state,
                                      .check_only = check_only});
  overload_ = std::make_unique<OverloadMonitor>(config.get<LimitSettings>());
  control_ = std::make_unique<ControlServer>(*metrics_);
  rules_ = make_rule_registry();
  resolvers_ = std::make_unique<ResolverSet>(workers);
  if (!check_only) make_trails();
  policy_ =
      std::make_unique<PipelinePolicy>(PipelinePolicy::Options{.workers = workers,
                                                               .metrics = *metrics_,
                                                               .trails = trails_.get(),
                                                               .keep_accepted = config.get<TrailSettings>().accepted,
                                                               .keep_silent = config.get<TrailSettings>().silent,
                                                               .services = &services_,
                                                               .archive = archive_.get(),
                                                               .precise_clock = &precise_now});
  services_.provide<TlsService>(tls_);
  services_.provide<Overload>(*overload_);
  services_.provide<Control>(*control_);
  services_.provide<RuleRegistry>(*rules_);
  services_.provide<Resolvers>(*resolvers_);
  services_.provide<Policy>(*policy_);
  for (const LoadedModule& loaded : assembly_->modules.all()) loaded.module->provide(*core_);
  return {};
}

Server::~Server() {
  end_parts();
}

/// What scripts may name outside of themselves, as `config` and what was read with it have it.
KnownTargets Server::known_targets(const Config& config) const {
  KnownTargets known;
  known.directory = services_.find<Directory>();
  if (const auto* transport = services_.find<Transport>()) {
    known.relays = true;
    known.routes = transport->route_names(config);
  }
  return known;
}

bool Server::check(Diagnostics& diagnostics) {
  const Config& config = *core_->config;
  // Before the modules, whose listeners name certificates.
  if (config.get<TlsSettings>().certificate.empty() == false)
    if (auto loaded = tls_.load(config.get<TlsSettings>()); !loaded)
      diagnostics.error(config.get<TlsSettings>().origin("certificate"), loaded.error().detail);
  for (const LoadedModule& loaded : assembly_->modules.all()) loaded.module->check(*core_, diagnostics);
  auto* directory = services_.find<Directory>();
  if (!directory) {
    diagnostics.error({}, "no module provides the service \"directory\": load the module auth");
    return false;
  }
  const auto& pipeline = config.get<PipelineSettings>();
  if (pipeline.is_set("kv") && !services_.find<KeyValueStore>(pipeline.kv))
    diagnostics.error(pipeline.origin("kv"), fmt::format("no module provides a kv store \"{}\"", pipeline.kv),
                      "[memory] is \"memory\"; a [[redis]] has its name");
  GateConfig gate = make_gate(config.get<RelaySettings>(), services_.find<ReturnPaths>());
  gate_report_ = prove_gate(gate, directory->facts());
  report_gate(gate_report_, diagnostics);
  const KnownTargets known = known_targets(config);
  prepared_ = prepare_rules(config.get<PipelineSettings>(), std::move(gate), *rules_, services_.find<ScriptEngine>(),
                            *metrics_, runtime_->workers(), diagnostics, &known);
  if (prepared_) note_script_targets(gate_report_, *prepared_->gate, *prepared_->workers.front()->rules, *directory);
  return !diagnostics.has_errors();
}

Result<void> Server::prepare() {
  if (auto made = make_state_folder(); !made) return made;
  if (auto bound = bind_control(); !bound) return bound;
  for (const LoadedModule& loaded : assembly_->modules.all())
    if (auto prepared = loaded.module->prepare(*core_, log_); !prepared)
      return fault(prepared.error().code, fmt::format("{}: {}", loaded.info->name, prepared.error().detail));
  if (auto made = make_http_context(); !made) return made;
  if (auto dropped = drop_privileges(); !dropped) return dropped;
  return open_the_spool();
}

Result<void> Server::make_state_folder() {
  const auto& state = core_->config->get<ServerSettings>().state;
  std::error_code error;
  std::filesystem::create_directories(state, error);
  if (error) return fault("server.state", fmt::format("{}: {}", state.string(), error.message()));
  std::filesystem::permissions(state, std::filesystem::perms::owner_all, error);
  // Before any socket in it is bound anew: a second server must not take the first one's away.
  int holder = 0;
  auto lock = env_.lock((state / "server.lock").string(), holder);
  if (!lock)
    return fault("server.locked",
                 holder ? fmt::format("{} is in use by another server (process {})", state.string(), holder)
                        : fmt::format("{}: {}", (state / "server.lock").string(), std::strerror(lock.error())));
  lock_ = std::move(*lock);
  return {};
}

Result<void> Server::bind_control() {
  const auto& settings = core_->config->get<ServerSettings>();
  std::vector<Endpoint> endpoints(2);
  endpoints[0].path = control_socket(settings);
  endpoints[1].path = settings.state / "metrics.sock";
  if (const auto& listen = core_->config->get<MetricsSettings>().listen) endpoints.push_back(*listen);
  for (const Endpoint& endpoint : endpoints) {
    auto bound = runtime_->bind(endpoint, 0600);
    if (!bound) return std::unexpected(bound.error());
    bound_.push_back(std::move(*bound));
  }
  return {};
}

Result<void> Server::drop_privileges() {
  const auto& settings = core_->config->get<ServerSettings>();
  auto dropped = become_user(settings.user, settings.group, settings.state);
  if (dropped && *dropped) log_.info("server.privileges_dropped", {{"user", settings.user}});
  return dropped ? Result<void>() : std::unexpected(dropped.error());
}

Result<void> Server::make_http_context() {
  TlsClientOptions options;
  options.ca_file = core_->config->get<HttpConfig>().ca_file.string();
  auto made = make_client_tls(options);
  if (!made) return std::unexpected(made.error());
  http_tls_ = std::move(*made);
  http_.resize(runtime_->workers());
  return {};
}

Result<void> Server::open_the_spool() {
  const Config& config = *core_->config;
  auto opened = open_spool(spool_settings(config.get<SpoolConfig>(), config.get<ServerSettings>().state),
                           SpoolHost{.env = env_,
                                     .journal = runtime_->make_lane("journal"),
                                     .keeper = runtime_->make_lane("keeper"),
                                     .report = [this](const SpoolReport& r) { report(r); }});
  if (!opened) return std::unexpected(opened.error());
  spool_ = std::move(opened->spool);
  services_.provide<Spool>(*spool_);
  return {};
}

void Server::report(const SpoolReport& report) {
  static constexpr std::string_view kNames[] = {"torn_tail", "damage", "missing_body", "poison", "latched", "full"};
  const bool harmless = report.kind == SpoolReport::Kind::kTornTail;
  log_.at(harmless ? LogLevel::kInfo : LogLevel::kError, fmt::format("spool.{}", kNames[static_cast<int>(report.kind)]),
          {{"id", report.id ? report.id.to_string() : ""}, {"detail", report.detail}});
}

Result<void> Server::run(std::function<void()> ready) {
  ready_ = std::move(ready);
  logs_->start();
  log_.info("server.starting", {{"workers", runtime_->workers()}, {"hostname", core_->hostname}});
  if (auto prepared = prepare(); !prepared) {
    log_.error("server.start_failed", {{"code", prepared.error().code}, {"detail", prepared.error().detail}});
    end_parts();
    return prepared;
  }
  policy_->attach(services_.need<Directory>(), services_.find<Queue>(), services_.find<ReturnPaths>());
  policy_->attach_spool(*spool_, core_->hostname);
  add_commands();
  services_.freeze();
  watch_signals();
  for (unsigned i = 0; i < runtime_->workers(); ++i) {
    Executor& executor = runtime_->worker(i);
    workers_.push_back(std::make_unique<PerWorker>(
        executor, logs_->make_log(fmt::format("worker{}", i), [&executor] { return executor.wall(); })));
    executor.post_remote_fn([this, i] { start_worker(i); });
  }
  runtime_->run();
  log_.info("server.stopped");
  end_parts();
  if (start_fault_) return std::unexpected(*start_fault_);
  return {};
}

void Server::start_worker(unsigned index) {
  PerWorker& mine = *workers_[index];
  Executor& executor = mine.worker.executor;
  auto resolver = make_resolver(executor, resolver_settings(core_->config->get<DnsConfig>()));
  if (!resolver) {
    runtime_->worker(0).post_remote_fn([this, fault = resolver.error()] {
      start_fault_ = fault;
      begin_drain();
    });
    return;
  }
  resolvers_->put(index, std::move(*resolver));
  http_[index] =
      make_http_client(executor, resolvers_->of(executor), http_tls_, http_settings(core_->config->get<HttpConfig>()));
  policy_->start(executor, resolvers_->of(executor), mine.log, http_[index].get());
  policy_->install(executor, *prepared_);
  for (const LoadedModule& loaded : assembly_->modules.all()) loaded.module->start(mine.worker);
  if (index == 0) {
    started_at_ = executor.now();
    std::vector<BoundEndpoint*> metrics;
    for (std::size_t i = 1; i < bound_.size(); ++i) metrics.push_back(bound_[i].get());
    control_->start(executor, mine.log, *bound_[0], metrics);
    mine.nursery.spawn(watch_overload());
    mine.nursery.spawn(tidy_trails());
  }
  runtime_->worker(0).post_remote_fn([this] { all_started(); });
}

void Server::all_started() {
  if (++started_ != runtime_->workers()) return;
  log_.info("server.ready");
  workers_[0]->nursery.spawn(look_at_specs());
  notify_service_manager("READY=1");
  if (ready_) ready_();
}

Task<void> Server::watch_overload() {
  static constexpr std::string_view kLevels[] = {"normal", "slow", "refuse"};
  for (;;) {
    if (overload_->measure())
      log_.warn("server.overload", {{"level", kLevels[static_cast<int>(overload_->level())]},
                                    {"memory", overload_->memory()},
                                    {"descriptors", overload_->descriptors()}});
    co_await sleep_for(250ms);
  }
}

void Server::watch_signals() {
  for (const int signal : {SIGTERM, SIGINT}) runtime_->on_signal(signal, [this] { begin_drain(); });
  runtime_->on_signal(SIGHUP, [this] { reload_on_signal(); });
}

void Server::begin_drain() {
  if (stopping_) {  // asked twice: at once. Nothing is lost, for a crash loses nothing.
    if (drained_ < workers_.size() && !start_fault_) std::_Exit(130);
    return;
  }
  stopping_ = true;
  const Duration limit = core_->config->get<ServerSettings>().drain;
  log_.info("server.draining", {{"limit", limit}});
  notify_service_manager("STOPPING=1");
  for (auto& worker : workers_)
    worker->worker.executor.post_remote_fn(
        [this, limit, one = worker.get()] { one->nursery.spawn(drain_worker(one, limit)); });
}

Task<void> Server::drain_worker(PerWorker* worker, Duration limit) {
  const Deadline deadline = Deadline::after(limit).fixed(worker->worker.executor.now());
  const auto& modules = assembly_->modules.all();
  for (auto loaded = modules.rbegin(); loaded != modules.rend(); ++loaded) {
    try {
      co_await loaded->module->drain(worker->worker, deadline);
    } catch (const std::exception& e) {
      worker->log.warn("server.drain_failed", {{"module", loaded->info->name}, {"why", e.what()}});
    }
  }
  if (worker->worker.index == 0) co_await control_->drain(deadline);
  // A reload's work on a pool, or the start's look at specs, cannot be ended from here; [pipeline] specs_time_limit
  // bounds it. Nor can an erasure that a lane has begun.
  while (worker->worker.index == 0 && (reloading_ || lane_work_ != 0)) co_await sleep_for(20ms);
  if (trails_) trails_->flush(worker->worker.executor);
  http_[worker->worker.index].reset();
  resolvers_->put(worker->worker.index, nullptr);
  runtime_->worker(0).post_remote_fn([this] {
    if (++drained_ == workers_.size()) runtime_->stop();
  });
  worker->nursery.cancel();  // what watches in the background; this coroutine ends now
}

void Server::end_parts() {
  if (!assembly_) return;
  const auto& modules = assembly_->modules.all();
  for (auto loaded = modules.rbegin(); loaded != modules.rend(); ++loaded) loaded->module->stop();
  if (control_) control_->stop();
  bound_.clear();
  policy_.reset();
  prepared_.reset();
  trails_.reset();
  archive_.reset();
  spool_.reset();
  workers_.clear();
  resolvers_.reset();
  if (logs_) logs_->stop();
}

}  // namespace postern
