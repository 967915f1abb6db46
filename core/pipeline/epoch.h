// One epoch of rules: what a (re)load made for all workers, checked as a whole, installed on all workers or on none.
//
// Each worker has its own RuleSet (its own Lua state). A RuleEpoch adds what would otherwise be computed for every
// mail: the text of a rule's place, its counter, the stages that have hooks. Immutable; coroutines that run under it
// keep it alive, so that an old epoch ends with its last one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/pipeline/gate.h"
#include "core/pipeline/settings.h"
#include "core/pipeline/target_checks.h"
#include "postern/metrics.h"
#include "postern/pipeline.h"

namespace postern {

struct CompiledRule {
  const Rule* rule = nullptr;
  std::string place;        ///< "gateway.lua:12"
  Counter* hits = nullptr;  ///< recipients that the rule selected
};
struct CompiledPipeline {
  std::string name;
  std::vector<CompiledRule> rules;
};
struct CompiledHook {
  const Hook* hook = nullptr;
  std::string place;
  Counter* refusals = nullptr;
};

struct RuleEpoch {
  std::shared_ptr<const RuleSet> rules;  ///< owns what the compiled forms point to
  std::shared_ptr<const GateConfig> gate;
  std::map<std::string, CompiledPipeline, std::less<>> pipelines;
  std::vector<CompiledHook> hooks;
  std::uint32_t hooked_stages = 0;  ///< bit per Stage
  Duration time_limit = 30s;
  std::optional<Address> postmaster;
  std::string kv;  ///< the store that rules ask when they name none

  bool hooked(Stage stage) const { return (hooked_stages >> static_cast<unsigned>(stage)) & 1; }
};

struct PreparedRules {
  std::shared_ptr<const GateConfig> gate;
  std::vector<std::shared_ptr<const RuleEpoch>> workers;  ///< by worker
};

/// Loads the scripts once per worker (or takes the built-in rules when there are none) and checks them. Nothing when
/// anything is wrong; what it is stands in `diagnostics`. `known`: what the rules may name beside themselves, to be
/// checked too.
/// Thread: not a worker's: loading may take long. Blocks.
std::unique_ptr<PreparedRules> prepare_rules(const PipelineSettings& settings, GateConfig gate,
                                             const RuleRegistry& registry, ScriptEngine* engine, Metrics& metrics,
                                             unsigned workers, Diagnostics& diagnostics,
                                             const KnownTargets* known = nullptr);

/// The compiled form of one rule set; for prepare_rules() and tests.
std::shared_ptr<const RuleEpoch> compile_rules(std::shared_ptr<const RuleSet> rules,
                                               std::shared_ptr<const GateConfig> gate, const PipelineSettings& settings,
                                               Metrics& metrics);

}  // namespace postern
