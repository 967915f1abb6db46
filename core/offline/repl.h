// `postern lua repl`: lines of Lua against one mail, as a hook at `message` would see it.
//
// Each line is made a script of its own together with the lines before it, which run again in silence: so `local x = 1`
// holds for the lines below, and nothing is kept in a Lua state that could differ from what scripts are allowed.
// Questions are answered from the record; what it does not have is told, not asked. Nothing is delivered.
//
// Owner:  the CLI. Thread: one, no worker's. Limits: those of a script's call, for all lines together.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/offline/machine.h"
#include "core/pipeline/settings.h"
#include "postern/log.h"

namespace postern {

class OfflineRepl {
 public:
  struct Parts {
    const RuleRegistry& registry;
    ScriptEngine& engine;
    Directory& directory;
    PipelineSettings settings;
  };
  /// What one line came to.
  struct Answer {
    bool incomplete = false;  ///< more lines are needed
    std::vector<std::string> output;
    std::string error;
    std::vector<std::string> unanswered;
  };
  /// `folder`: where scripts may be written meanwhile; its own. `entries`: the record that answers; may be empty.
  OfflineRepl(Parts parts, std::filesystem::path folder, OfflineMail mail, std::vector<TrailEntry> entries);
  ~OfflineRepl();

  Answer run(std::string_view line);

 private:
  std::string script(std::string_view line, bool expression) const;
  std::unique_ptr<PreparedRules> load(const std::string& text, Metrics& metrics, Diagnostics& diagnostics);
  Answer run_rules(const PreparedRules& rules, OfflineMachine& machine, CaptureLog& log);

  Parts parts_;
  std::filesystem::path folder_;
  OfflineMail mail_;
  std::vector<TrailEntry> entries_;
  std::vector<std::string> kept_;  ///< statements so far
  std::set<std::string> told_;     ///< unanswered questions
};

}  // namespace postern
