// Diagnostics as JSON, for commands with --json: severity, code, file, line, column, message, hint.
#pragma once

#include <nlohmann/json.hpp>

#include "postern/diagnostics.h"

namespace postern {

/// Those of one severity, in the order in which they were found. `line` and `column` are 0 where there is no place.
inline nlohmann::ordered_json diagnostics_json(const Diagnostics& diagnostics, Diagnostic::Severity severity) {
  auto all = nlohmann::ordered_json::array();
  for (const Diagnostic& d : diagnostics.items()) {
    if (d.severity != severity) continue;
    all.push_back({{"severity", severity == Diagnostic::Severity::kError ? "error" : "warning"},
                   {"code", d.code},
                   {"file", d.origin.source ? d.origin.source->name() : ""},
                   {"line", d.origin.line},
                   {"column", d.origin.column},
                   {"message", d.text},
                   {"hint", d.hint}});
  }
  return all;
}

}  // namespace postern
