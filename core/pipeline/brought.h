// Mails beside the one that a client sent: those that rules bring in, and the same mail with another body for some of
// its recipients.
//
// All of them have been through "root" when message() answers, wait in Transaction::settled, and are written by
// commit() before the main mail, so that one 250 covers all: as many as went well stay when one fails, the client gets
// 451 and tries again. What a refused mail brought in is forgotten with it.
//
// Brought in (Transaction::brought, core/pipeline/brought.cc): a mail of its own, in a session of its own that nobody
// connected (SessionState::made_here, role local, not logged in). It has a trace field of ours on top, and its
// recipients are asked about in the directory. Who may have it:
//   ours, relay domains    anybody, if they exist
//   elsewhere              addresses that the configuration or a script names: where [relay] forward_aliases lets
//                          aliases lead there, or the mail is a notice (null sender, about a mail that has one); and
//                          the sender of the mail that a notice is about
// Its answer: where "root" refuses it for all recipients, or one of them may not have it, that is the answer to the
// main mail too; but a notice is dropped then (RFC 5321 §6.1: nobody is told about a report), and the trail says so.
//
// Another body (ActionResult::body): what the plan says for those recipients moves into the mail with their body. Where
// nobody keeps the body that came, the first of the others becomes the main mail.
//
// The trails name each other: "brought" and "beside" with an id in the main mail's, "brought-by" and "beside" in the
// other's. A main mail that is refused has no message id: its "draft" is the name that "brought-by" has. Every mail
// that was brought in and is not committed leaves a record all the same, since a replay of the main mail asks its
// questions again.
//
// Limits: Transaction::kMaxBrought mails in all and kMaxBroughtDepth deep, RootRun::kMaxBodies; for the waits of the
//         main mail and of all that it brings in one [pipeline] time_limit.
// Owner: PipelinePolicy. Thread: the worker of the transaction. RFC: 5321 §4.4, 3834 (nothing here answers by itself).
#pragma once

#include "core/pipeline/root_run.h"
#include "postern/pipeline.h"

namespace postern {

/// Moves recipients who have bodies of their own into mails of their own. `decision` is complete otherwise.
void settle_bodies(RootRun& run, Transaction& mail, Decision& decision);

}  // namespace postern
