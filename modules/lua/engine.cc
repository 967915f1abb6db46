#include "engine.h"

#include "loader.h"
#include "postern/hash.h"

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

}  // namespace postern::lua
