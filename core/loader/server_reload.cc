// Reload: everything that may fail happens first, off the workers; then all workers take the new epoch, or none.
#include <fmt/format.h>

#include "core/loader/server.h"
#include "core/offline/specs.h"
#include "postern/sync.h"

namespace postern {

namespace {

constexpr std::size_t kMaxFailuresTold = 10;  // of specs, in one message

/// What failed, each with its file and line; empty when nothing did, or there is nothing to run.
std::string failed_specs(const Config& config, const RuleRegistry& rules, ScriptEngine* engine) {
  const auto& settings = config.get<PipelineSettings>();
  const auto files = settings.specs ? specs_beside(settings) : std::vector<std::filesystem::path>();
  if (files.empty()) return {};
  SpecReport report;
  report.limit = settings.specs_time_limit;
  Diagnostics diagnostics;
  std::string out;
  if (!run_specs(files, config, rules, engine, report, diagnostics)) out = diagnostics.render();
  std::size_t told = 0;
  for (const SpecReport::Case& one : report.cases)
    if (!one.passed && ++told <= kMaxFailuresTold)
      out += fmt::format("{}: \"{}\": {}\n", one.file, one.name, one.failure.substr(0, one.failure.find('\n')));
  if (told > kMaxFailuresTold) out += fmt::format("and {} more\n", told - kMaxFailuresTold);
  return out.empty() ? out : fmt::format("{} of {} cases failed:\n{}", report.failed(), report.cases.size(), out);
}

}  // namespace

/// What a reload read and checked, before anything of it is in force.
struct Server::NextEpoch {
  std::shared_ptr<const Config> config;
  std::unique_ptr<PreparedRules> rules;
  GateReport gate;
};

void Server::reload_on_signal() {
  logs_->reopen();
  if (!stopping_) workers_[0]->nursery.spawn(reload_logged());
}

Task<void> Server::reload_logged() {
  if (auto done = co_await reload(); !done)
    log_.error("reload.refused", {{"code", done.error().code}, {"why", done.error().detail}});
}

/// The start's look at the specs: what fails is told, and nothing else. No reload meanwhile, which would use the
/// engine.
Task<void> Server::look_at_specs() {
  const auto& settings = core_->config->get<PipelineSettings>();
  if (!settings.specs || specs_beside(settings).empty()) co_return;
  reloading_ = true;
  std::string failed;
  try {
    failed = co_await run_blocking(Pool::kDisk, [config = core_->config, this] {
      return failed_specs(*config, *rules_, services_.find<ScriptEngine>());
    });
  } catch (const std::exception& e) {
    failed = e.what();
  }
  reloading_ = false;
  if (!failed.empty()) log_.warn("specs.failed", {{"why", failed}});
}

/// On a pool's thread. Settings that need a restart are reported and left.
Result<std::unique_ptr<Server::NextEpoch>> Server::read_next() {
  Diagnostics diagnostics;
  auto next = std::make_unique<NextEpoch>();
  next->config = Config::load(assembly_->schemas, config_file_, diagnostics);
  if (!next->config) return fault("reload.config", diagnostics.render());
  Core core = *core_;
  core.config = next->config;
  for (const LoadedModule& loaded : assembly_->modules.all()) loaded.module->check(core, diagnostics);
  GateConfig gate = make_gate(next->config->get<RelaySettings>(), services_.find<ReturnPaths>());
  next->gate = prove_gate(gate, services_.need<Directory>().facts());
  report_gate(next->gate, diagnostics);
  const KnownTargets known = known_targets(*next->config);
  next->rules = prepare_rules(next->config->get<PipelineSettings>(), std::move(gate), *rules_,
                              services_.find<ScriptEngine>(), *metrics_, runtime_->workers(), diagnostics, &known);
  if (diagnostics.has_errors()) return fault("reload.refused", diagnostics.render());
  note_script_targets(next->gate, *next->rules->gate, *next->rules->workers.front()->rules,
                      services_.need<Directory>());
  if (const std::string failed = failed_specs(*next->config, *rules_, services_.find<ScriptEngine>()); !failed.empty())
    return fault("reload.specs", failed);
  const auto certificates = tls_.server();  // modules look at the new ones; a refusal brings these back
  if (auto loaded = tls_.load(next->config->get<TlsSettings>()); !loaded) return std::unexpected(loaded.error());
  for (const LoadedModule& loaded : assembly_->modules.all())
    if (auto prepared = loaded.module->prepare_reload(core, log_); !prepared) {
      tls_.restore(certificates);
      return fault(prepared.error().code, fmt::format("{}: {}", loaded.info->name, prepared.error().detail));
    }
  return next;
}

bool Server::may_reload() const {
  return !stopping_ && started_ == runtime_->workers();
}

Task<Result<void>> Server::reload() {
  if (reloading_) co_return fault("reload.busy", "another reload is under way");
  if (!may_reload()) co_return fault("reload.busy", "the server is starting or stopping");
  reloading_ = true;
  Result<std::unique_ptr<NextEpoch>> next = fault("reload.failed");
  try {
    next = co_await run_blocking(Pool::kDisk, [this] { return read_next(); });
  } catch (const std::exception& e) {
    next = fault("reload.failed", e.what());
  }
  if (next && !may_reload()) next = fault("reload.busy", "the server is stopping");
  if (!next) {
    reloading_ = false;
    metrics_->counter("postern_reload_failures_total", "Reloads that were refused; what was in force stayed.").add(0);
    co_return std::unexpected(next.error());
  }
  const Config& config = *(*next)->config;
  for (const ConfigChange& change : core_->config->compare(config))
    log_.at(change.apply == Apply::kRestart ? LogLevel::kWarn : LogLevel::kInfo,
            change.apply == Apply::kRestart ? "reload.needs_restart" : "reload.changed",
            {{"setting", change.path}, {"before", change.before}, {"after", change.after}});
  core_->config = (*next)->config;
  gate_report_ = std::move((*next)->gate);
  prepared_ = std::move((*next)->rules);
  logs_->set_level(config.get<LogSettings>().level);
  for (const auto& [prefix, word] : core_->config->get<LogSettings>().levels)
    static_cast<void>(logs_->set_level(prefix, parse_log_level(word)));
  overload_->set(config.get<LimitSettings>());
  for (auto& worker : workers_) {
    Worker& one = worker->worker;
    co_await run_on(one.executor, [this, &one] {
      policy_->install(one.executor, *prepared_);
      for (const LoadedModule& loaded : assembly_->modules.all()) loaded.module->apply_reload(one);
    });
  }
  log_.info("reload.done");
  reloading_ = false;
  co_return Result<void>();
}

}  // namespace postern
