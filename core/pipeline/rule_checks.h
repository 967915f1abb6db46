// What can be known of a rule set before a mail meets it (pipeline.md, rules of the language).
//
// Errors: no pipeline "root"; a `go` to a pipeline that does not exist; a cycle of `go`; a pipeline that does not end
// in a rule that always ends; a rule that cannot be reached. Lints, each with a code that a script may waive by name
// with a reason:
//   lint.no_loop_guard            nothing on the way from root bounds the number of Received fields (RFC 5321 §6.3)
//   lint.denial_after_acceptance  a recipient is refused in a pipeline and not at RCPT: the sender may get a bounce
//   lint.unused_pipeline          no rule leads to it
// Unknown names are the script engine's to report.
#pragma once

#include "postern/pipeline.h"

namespace postern {

void check_rules(const RuleSet& rules, Diagnostics& diagnostics);

}  // namespace postern
