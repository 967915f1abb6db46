#include "engine.h"

#include "loader.h"
#include "postern/hash.h"
#include "spec.h"

namespace postern::lua {

std::shared_ptr<RuleSet> LuaEngine::load(const std::vector<std::string>& files, const RuleRegistry& registry,
                                         Diagnostics& diagnostics) {
  const std::size_t errors_before = diagnostics.errors();
  auto rules = std::make_shared<RuleSet>();
  auto state = std::make_shared<ScriptState>(limits_);
  {
    Loader loader(*state, registry, *rules, diagnostics, folders_);
    for (const std::string& file : files) {
      loader.run(file);
      if (state->load_doom() != Doom::kNone) break;  // the next file would be blamed for what this one used up
    }
    if (state->load_doom() == Doom::kNone)
      loader.finish();
    else if (diagnostics.errors() == errors_before)
      diagnostics.error({}, "loading: " + load_doom_text(state->load_doom()));
    rules->hash =
        hash_number(static_cast<std::uint64_t>(limits_.instructions), hash_number(limits_.memory, loader.hash()));
  }
  if (diagnostics.errors() != errors_before) return nullptr;  // the rules refer to the state, which outlives them here
  rules->engine = std::move(state);
  return rules;
}

bool LuaEngine::run_specs(const std::vector<std::string>& files,
                          const std::function<std::unique_ptr<SpecWorld>()>& make_world, SpecReport& report,
                          Diagnostics& diagnostics) {
  const auto until = report.limit == Duration{} ? std::chrono::steady_clock::time_point::max()
                                                : std::chrono::steady_clock::now() + report.limit;
  bool all = true;
  for (const std::string& file : files)
    all = run_spec_file(file, limits_, folders_, make_world, until, report, diagnostics) && all;
  return all;
}

}  // namespace postern::lua
