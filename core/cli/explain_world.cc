#include "core/cli/explain_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "postern/database.h"
#include "postern/key_value.h"
#include "postern/nursery.h"
#include "postern/tls.h"

namespace postern {
namespace {

constexpr Duration kNameTimeout = 5s;
constexpr Duration kDrainTime = 1s;  // of the modules, when the mail has been led

/// "database", "kv", "kv:memory".
bool provides_stores(const ModuleInfo& info) {
  return std::ranges::any_of(info.provides, [](std::string_view name) {
    name = name.substr(0, name.find(':'));
    return name == Database::kService || name == KeyValueStore::kService;
  });
}

}  // namespace

/// Service "dns" of this world.
class ExplainWorld::OneResolver final : public Resolvers {
 public:
  explicit OneResolver(std::unique_ptr<Resolver> resolver) : resolver_(std::move(resolver)) {}
  Resolver& of(const Executor&) override { return *resolver_; }

 private:
  std::unique_ptr<Resolver> resolver_;
};

ExplainWorld::ExplainWorld(const Assembly& assembly, Server& server)
    : assembly_(assembly),
      server_(server),
      runtime_(make_uv_runtime({.workers = 1, .pin_workers = false})),
      policy_({.workers = 1, .metrics = metrics_, .services = &services_}) {}

ExplainWorld::~ExplainWorld() {
  for (auto one = stores_.rbegin(); one != stores_.rend(); ++one) (*one)->stop();
}

bool ExplainWorld::asked_memory(const SpecResult& result) {
  return std::ranges::any_of(result.trail, [](const TrailEntry& entry) {
    return entry.name.starts_with("kv.") && entry.question.starts_with("memory ");
  });
}

void ExplainWorld::make_stores() {
  const Config& config = server_.config();
  core_ = std::make_unique<Core>(Core{.config = assembly_.config,
                                      .runtime = *runtime_,
                                      .services = services_,
                                      .metrics = metrics_,
                                      .hostname = host_name(config.get<ServerSettings>()),
                                      .state_dir = config.get<ServerSettings>().state,
                                      .check_only = false});
  for (const LoadedModule& loaded : assembly_.modules.all()) {
    if (!provides_stores(*loaded.info)) continue;
    auto own = loaded.info->create();
    ConfigSchemas described;  // a module's life begins with it; the configuration has been parsed with the same
    own->describe(described);
    own->provide(*core_);
    if (auto prepared = own->prepare(*core_, log_); !prepared)
      missing_.push_back({"explain.module", fmt::format("{}: {}", loaded.info->name, prepared.error().detail)});
    stores_.push_back(std::move(own));
  }
}

void ExplainWorld::start_http() {
  const auto& config = server_.config().get<HttpConfig>();
  TlsClientOptions options;
  options.ca_file = config.ca_file.string();
  auto context = make_client_tls(options);
  if (!context) {
    missing_.push_back({"explain.http", context.error().detail});
    return;
  }
  Executor& executor = runtime_->worker(0);
  http_ = make_http_client(executor, resolver_->of(executor), std::move(*context), http_settings(config));
}

Task<Result<SpecResult>> ExplainWorld::led(SpecMail mail) {
  Executor& executor = runtime_->worker(0);
  Worker worker{executor, log_, 0};
  for (const auto& store : stores_) store->start(worker);
  start_http();
  policy_.start(executor, resolver_->of(executor), log_, http_.get());
  policy_.pretend(executor, &pretence_);
  policy_.install(executor, *rules_);
  ClientInfo& client = mail.client;
  const ReverseName name = co_await resolver_->of(executor).reverse_name(client.ip, Deadline::after(kNameTimeout));
  client.reverse_name = name.name;
  client.reverse_verified = name.confirmed();
  auto described = offline_mail(mail);
  if (!described) co_return std::unexpected(described.error());
  described->reverse = SessionState::Reverse{.status = name.status};
  co_return co_await run_offline({policy_, *spool_}, &*described);
}

/// Whatever happens: the loop ends, and there is an answer.
Task<void> ExplainWorld::lead(SpecMail mail, Result<SpecResult>* out) {
  std::string threw;
  try {
    *out = co_await led(std::move(mail));
    Worker worker{runtime_->worker(0), log_, 0};
    for (const auto& store : stores_)
      co_await store->drain(worker, Deadline::after(kDrainTime).fixed(worker.executor.now()));
  } catch (const std::exception& error) {
    threw = error.what();
  } catch (...) {
    threw = "something that is no std::exception";
  }
  if (!threw.empty()) *out = fault("offline.threw", std::move(threw));
  http_.reset();  // on its thread, before its executor; so the resolver
  resolver_.reset();
  runtime_->stop();
}

Result<SpecResult> ExplainWorld::run(SpecMail mail, Diagnostics& diagnostics) {
  const Config& config = server_.config();
  const Services& services = server_.services();
  Executor& executor = runtime_->worker(0);
  auto resolver = make_resolver(executor, resolver_settings(config.get<DnsConfig>()));
  if (!resolver) return std::unexpected(resolver.error());
  resolver_ = std::make_unique<OneResolver>(std::move(*resolver));
  services_.provide<Resolvers>(*resolver_);
  const auto* return_paths = services.find<ReturnPaths>();
  rules_ = prepare_rules(config.get<PipelineSettings>(), make_gate(config.get<RelaySettings>(), return_paths),
                         server_.rules(), services.find<ScriptEngine>(), metrics_, 1, diagnostics);
  if (!rules_) return fault("explain.scripts", "the scripts cannot be loaded");
  make_stores();
  policy_.attach(services.need<Directory>(), nullptr, return_paths);
  policy_.attach_spool(*spool_, host_name(config.get<ServerSettings>()));
  Result<SpecResult> out = fault("explain.stopped", "it did not come to an end");
  Nursery nursery(executor);
  nursery.spawn(lead(std::move(mail), &out));
  runtime_->run();
  return out;
}

}  // namespace postern
