// The server: everything that runs, in the order of its life (postern/module.h has a module's side of it).
//
//   Server::make   modules and configuration were read (Assembly); makes runtime, metrics, log, services; modules
//   provide check()        modules look at their settings, scripts are loaded, the gate is proved; nothing outside is
//   touched run()          prepare (bind, keys, spool), privileges dropped, start on all workers, serve, drain, stop
//
// Signals: TERM and INT drain and stop (a second one stops at once), HUP reloads.
//
// Thread: main, which becomes worker 0. Errors: Faults, said once on standard error by the CLI.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "core/control/control_server.h"
#include "core/loader/assembly.h"
#include "core/loader/overload_monitor.h"
#include "core/loader/tls_keeper.h"
#include "core/pipeline/archive.h"
#include "core/pipeline/gate_proof.h"
#include "core/pipeline/policy.h"
#include "core/pipeline/trail_log.h"
#include "postern/env.h"
#include "postern/module.h"
#include "postern/nursery.h"

namespace postern {

class Server {
 public:
  static Result<std::unique_ptr<Server>> make(std::unique_ptr<Assembly> assembly, std::filesystem::path config_file,
                                              bool check_only);
  ~Server();

  /// Adds what is wrong to `diagnostics`; false when there are errors.
  bool check(Diagnostics& diagnostics);
  /// Serves until told to stop. `ready` is called once all is listening.
  Result<void> run(std::function<void()> ready);

  /// The proof that check() made.
  const GateReport& gate_report() const { return gate_report_; }
  const RuleRegistry& rules() const { return *rules_; }
  const Services& services() const { return services_; }
  const Config& config() const { return *core_->config; }

 private:
  class ResolverSet;
  struct PerWorker {
    PerWorker(Executor& executor, Log its_log)
        : log(std::move(its_log)), worker{executor, log, executor.index()}, nursery(executor) {
      nursery.on_error = [this](std::exception_ptr error) {
        try {
          std::rethrow_exception(error);
        } catch (const std::exception& e) {
          log.error("server.background_failed", {{"why", e.what()}});
        }
      };
    }
    Log log;
    Worker worker;
    Nursery nursery;
  };
  Server();

  Result<void> make_parts(bool check_only);
  KnownTargets known_targets(const Config& config) const;
  Result<void> prepare();
  Result<void> open_the_spool();
  Result<void> make_http_context();
  Result<void> make_state_folder();
  Result<void> bind_control();
  Result<void> drop_privileges();
  void start_worker(unsigned index);
  void all_started();
  void watch_signals();
  void begin_drain();
  void end_parts();
  void report(const SpoolReport& report);
  Task<void> drain_worker(PerWorker* worker, Duration limit);
  Task<void> watch_overload();

  // server_reload.cc
  void reload_on_signal();
  Task<void> reload_logged();
  Task<Result<void>> reload();
  Task<void> look_at_specs();
  bool may_reload() const;
  struct NextEpoch;
  Result<std::unique_ptr<NextEpoch>> read_next();

  // server_trail.cc
  void make_trails();
  void add_trail_commands();
  Task<void> tidy_trails();
  Task<bool> flush_trails(Executor& worker);
  Task<Result<void>> trail_stats(ControlRequest request, ControlRows& rows);
  Task<Result<void>> trail_erase(ControlRequest request, ControlRows& rows);
  Task<Result<void>> trail_reindex(ControlRequest request, ControlRows& rows);

  // server_commands.cc
  void add_commands();
  Task<Result<void>> status(ControlRequest request, ControlRows& rows);
  Task<Result<void>> spool_stats(ControlRequest request, ControlRows& rows);
  Task<Result<void>> metrics_text(ControlRequest request, ControlRows& rows);
  Task<Result<void>> reload_command(ControlRequest request, ControlRows& rows);

  std::unique_ptr<Assembly> assembly_;
  std::filesystem::path config_file_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<LogSystem> logs_;
  Log log_;
  std::unique_ptr<Metrics> metrics_;
  Services services_;
  std::unique_ptr<Core> core_;
  PosixEnv env_;
  std::unique_ptr<FileLock> lock_;  ///< of the state folder
  TlsKeeper tls_;
  std::unique_ptr<OverloadMonitor> overload_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<RuleRegistry> rules_;
  std::unique_ptr<TrailLog> trails_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<PipelinePolicy> policy_;
  std::unique_ptr<PreparedRules> prepared_;
  std::unique_ptr<ResolverSet> resolvers_;
  std::shared_ptr<TlsContext> http_tls_;
  std::vector<std::unique_ptr<HttpClient>> http_;  ///< by worker, made and ended on its thread
  std::unique_ptr<Spool> spool_;
  std::vector<std::unique_ptr<BoundEndpoint>> bound_;
  std::vector<std::unique_ptr<PerWorker>> workers_;
  GateReport gate_report_;
  std::function<void()> ready_;
  std::optional<Fault> start_fault_;
  unsigned started_ = 0;  // of worker 0, like all below
  unsigned drained_ = 0;
  unsigned lane_work_ = 0;  ///< commands that wait for a lane, which cannot be cancelled
  bool stopping_ = false;
  bool reloading_ = false;
  Instant started_at_{};
};

}  // namespace postern
