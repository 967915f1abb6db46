#include "core/pipeline/epoch.h"

#include "core/pipeline/default_rules.h"
#include "core/pipeline/rule_checks.h"

namespace postern {
namespace {

std::string place_of(const Origin& origin) {
  if (origin.is_default()) return "built in";
  return origin.line ? origin.source->name() + ":" + std::to_string(origin.line) : origin.source->name();
}

std::shared_ptr<RuleSet> load_one(const PipelineSettings& settings, const RuleRegistry& registry, ScriptEngine* engine,
                                  Diagnostics& diagnostics) {
  if (settings.scripts.empty()) return make_default_rules();
  if (!engine) {
    diagnostics.error(settings.origin("scripts"), "there are scripts, but no module that runs them",
                      "load the module \"lua\"");
    return nullptr;
  }
  std::vector<std::string> files;
  for (const auto& path : settings.scripts) files.push_back(path.string());
  return engine->load(files, registry, diagnostics);
}

}  // namespace

std::shared_ptr<const RuleEpoch> compile_rules(std::shared_ptr<const RuleSet> rules,
                                               std::shared_ptr<const GateConfig> gate, const PipelineSettings& settings,
                                               Metrics& metrics) {
  auto epoch = std::make_shared<RuleEpoch>();
  epoch->rules = std::move(rules);
  epoch->gate = std::move(gate);
  epoch->time_limit = settings.time_limit;
  epoch->kv = settings.kv;
  if (!settings.postmaster.empty())
    if (auto address = Address::parse(settings.postmaster)) epoch->postmaster = std::move(*address);
  for (const auto& [name, pipeline] : epoch->rules->pipelines) {
    CompiledPipeline& compiled = epoch->pipelines[name];
    compiled.name = name;
    for (const Rule& rule : pipeline.rules)
      compiled.rules.push_back({&rule, place_of(rule.origin),
                                &metrics.counter("postern_pipeline_rule_hits_total", "Recipients that a rule selected.",
                                                 {{"rule", rule.name}})});
  }
  for (const Hook& hook : epoch->rules->hooks) {
    epoch->hooked_stages |= 1U << static_cast<unsigned>(hook.stage);
    epoch->hooks.push_back(
        {&hook, place_of(hook.origin),
         &metrics.counter("postern_pipeline_hook_refusals_total", "Refusals by a hook.", {{"hook", hook.name}})});
  }
  return epoch;
}

std::unique_ptr<PreparedRules> prepare_rules(const PipelineSettings& settings, GateConfig gate,
                                             const RuleRegistry& registry, ScriptEngine* engine, Metrics& metrics,
                                             unsigned workers, Diagnostics& diagnostics, const KnownTargets* known) {
  auto prepared = std::make_unique<PreparedRules>();
  prepared->gate = std::make_shared<const GateConfig>(std::move(gate));
  for (unsigned worker = 0; worker < workers; ++worker) {
    // What is wrong is wrong on every worker: the first one's diagnostics are enough.
    Diagnostics repeated;
    Diagnostics& sink = worker == 0 ? diagnostics : repeated;
    std::shared_ptr<RuleSet> rules = load_one(settings, registry, engine, sink);
    if (rules && worker == 0) check_rules(*rules, diagnostics, known);
    if (!rules || sink.has_errors()) {
      if (!diagnostics.has_errors())
        diagnostics.error({}, "the scripts could not be loaded a second time: " + repeated.render());
      return nullptr;
    }
    prepared->workers.push_back(compile_rules(std::move(rules), prepared->gate, settings, metrics));
  }
  return prepared;
}

}  // namespace postern
