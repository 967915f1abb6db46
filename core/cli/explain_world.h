// The world that `postern explain` leads a mail through: the configuration's own rules, directory, resolver, databases,
// kv stores and web servers, which are asked and not changed (Pretence).
//
// Databases and stores belong to modules that are started on a server's workers. Those that provide any are therefore
// made anew here, started on this world's one worker, and ended with it; the server that may run beside is not touched.
// Its store "memory" is in its own memory and is empty here (asked_memory()).
//
// Owner:  the command, for one mail. Thread: main; run() is its loop. Blocks.
// Errors: "explain.scripts" (the scripts cannot be loaded), "explain.module" (a module cannot be prepared: then its
//         stores may not answer, which is told and not fatal), those of run_offline() and of the resolver; what is
//         thrown becomes "offline.threw".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/loader/server.h"
#include "core/offline/mail_run.h"
#include "core/pipeline/pretence.h"

namespace postern {

class ExplainWorld {
 public:
  /// Both outlive it. `assembly` is that of the server.
  ExplainWorld(const Assembly& assembly, Server& server);
  ~ExplainWorld();
  ExplainWorld(const ExplainWorld&) = delete;
  ExplainWorld& operator=(const ExplainWorld&) = delete;

  /// Once. What is wrong with the scripts is added to `diagnostics`.
  Result<SpecResult> run(SpecMail mail, Diagnostics& diagnostics);

  /// What rules would have done to the world.
  const std::vector<Pretence::Deed>& deeds() const { return pretence_.deeds(); }
  /// Why some databases, stores or web servers could not be asked.
  const std::vector<Fault>& missing() const { return missing_; }
  /// Whether the rules looked into the running server's own memory.
  static bool asked_memory(const SpecResult& result);

 private:
  class OneResolver;
  void make_stores();
  void start_http();
  Task<void> lead(SpecMail mail, Result<SpecResult>* out);
  Task<Result<SpecResult>> led(SpecMail mail);

  const Assembly& assembly_;
  Server& server_;
  std::unique_ptr<Runtime> runtime_;
  Metrics metrics_{1};
  Log log_;  ///< goes nowhere: what matters is in the answers
  Services services_;
  std::unique_ptr<OneResolver> resolver_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<Spool> spool_ = make_memory_spool();
  std::unique_ptr<Core> core_;
  std::vector<std::unique_ptr<Module>> stores_;
  std::vector<Fault> missing_;
  Pretence pretence_;
  std::unique_ptr<PreparedRules> rules_;
  PipelinePolicy policy_;
};

}  // namespace postern
