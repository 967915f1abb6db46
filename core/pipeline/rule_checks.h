// What can be known of a rule set before a mail meets it (pipeline.md, rules of the language).
//
// Errors: no pipeline "root"; a `go` to a pipeline that does not exist; a cycle of `go`; a pipeline that does not end
// in a rule that always ends; a rule or an action that cannot be reached; a waiver of a code that is none of these:
//   lint.no_loop_guard            mail can be sent on, by some way through the pipelines, before anything has looked at
//                                 the number of its Received fields (RFC 5321 §6.3)
//   lint.denial_after_acceptance  a recipient is refused in a pipeline and not at RCPT: the sender may get a bounce
//   lint.unused_pipeline          no rule leads to it
//   lint.skip_at_end              a pipeline's last rule lets mail pass where it fails: there is nothing behind it
//   lint.unused_waiver            a waiver that silences nothing
// and those of target_checks.h, where what is outside of the scripts is known.
// These are warnings, at the place of their rule; a script may waive each by code and reason, which says it for all
// rules. Unknown names are the script engine's to report. Not among them: Bcc of submitted mail, which the submission
// listener takes out itself, and a missing postmaster, which whoever keeps the users reports.
//
// Thread: any. Nothing is kept.
#pragma once

#include "core/pipeline/target_checks.h"
#include "postern/pipeline.h"

namespace postern {

/// `known`: nothing where only the rules are looked at (replay, specs).
void check_rules(const RuleSet& rules, Diagnostics& diagnostics, const KnownTargets* known = nullptr);

}  // namespace postern
