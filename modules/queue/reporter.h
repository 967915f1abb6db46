// Reporter: tells a sender what became of a message, in reports (DSN) that are mail themselves.
//
// The queue calls report() when recipients of one message came to an end in one turn, and when it wants to warn of a
// delay. NOTIFY, RET, ENVID and ORCPT decide whether and what is sent. A report has the null sender, so none is ever
// made about a report to its own sender; what fails with a null sender is told to the postmaster once ([report]
// double_bounces), and a report to the postmaster that fails is only logged. It is run through the pipeline's "root"
// like other mail, committed, and handed to the queue.
//
// Never lost, never both bounced and delivered. For a recipient that failed, or was served and whose sender asked for a
// word about that, in this order:
//
//   1. (caller)  owed     a mark whose note is "owed:..." (owed_note()): it is not tried again, and not done. It is
//                         a `placed` mark: a full disk takes those (and refuses attempt marks), compaction keeps them
//   2. intent    durable  an attempt mark whose note is "report:ID..." (ID: the report to be)
//   3. commit    durable  the report is in the spool under ID
//   4. done      lazily   behind each report; a crash may lose it
//
// A recipient that is read back with such a note has had its end. The queue makes an Outcome from it (from_note()) and
// calls report() again; if ID is in the spool, step 4 alone was lost and nothing is sent. A start looks for those
// before it begins anything (QueueService::recover), for a report that is delivered is gone; in the life of one process
// the done marks come before any mark of the report. Should one be sent twice all the same, both have one Message-ID,
// which names the original and the first of the recipients. Delay reports have no intent: a crash may repeat one.
//
// Owner: the QueueService; one for all workers (stateless but for its settings). Thread: any worker, in its context.
// Errors: a Fault means that not all was told: read the message again later, and call again with what its notes say.
// What had been told before the fault is done in the spool by then. A report that the pipeline refuses for good is
// logged ("report.refused") and counts as told. RFC: 3461 §4-6, 3464, 6522, 6533, 3834 §5.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/auth.h"
#include "postern/envelope.h"
#include "postern/error.h"
#include "postern/log.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/task.h"
#include "postern/time.h"
#include "postern/verdict.h"
#include "report_settings.h"

namespace postern::queue {

/// What became of one recipient of a message.
struct Outcome {
  enum class Kind : std::uint8_t {
    kFailed,     ///< given up: nothing more is tried
    kDelayed,    ///< not yet; the queue goes on trying
    kDelivered,  ///< in its mailbox
    kRelayed,    ///< taken by a server that does not report (no DSN in its EHLO)
    kExpanded,   ///< sent on to the members of a list or the targets of an alias
  };
  std::uint32_t recipient = 0;  ///< number in the envelope
  Kind kind = Kind::kFailed;
  Reply reply;       ///< the remote server's, or one made here
  std::string host;  ///< the remote server that gave `reply`; empty: it is our own
  std::uint32_t attempts = 0;
  WallTime last_attempt{};
  std::optional<WallTime> will_retry_until;  ///< kDelayed: when the queue gives up
  bool may_have_been_delivered = false;      ///< kFailed: the dot was sent, and no reply came (kDotSent)
  bool noted = false;                        ///< read back from a note: the spool knows of it (from_note())
  MessageId earlier;                         ///< after a crash: the report that an intent named (from_note())
};

/// Services that reports need. All outlive the Reporter; policy and directory are those of the server.
struct ReporterParts {
  Spool& spool;
  Policy* policy = nullptr;        ///< none (tests without pipeline): the plan is made here, by the directory
  Queue* queue = nullptr;          ///< takes the report over when there is no policy (the policy hands over itself)
  Directory* directory = nullptr;  ///< for the sender's address; none: every sender counts as foreign
  std::string hostname;            ///< [server] hostname: Reporting-MTA
  ReportSettings settings;
};

class Reporter {
 public:
  explicit Reporter(ReporterParts parts) : parts_(std::move(parts)) {}

  /// Sends what is to be sent about `outcomes`, one report for each kind among them (more when there are more than
  /// ReportSettings::max_recipients of a kind). All outcomes are of message `id`; `envelope` outlives the call.
  /// Returns how many reports were committed now.
  Task<Result<std::size_t>> report(MessageId id, const Envelope& envelope, std::vector<Outcome> outcomes, Log log);

  /// Whether a report about it would be sent to anybody: lets the queue skip report() for the usual successes.
  bool wanted(const Envelope& envelope, const Outcome& outcome) const;

  /// The end that a note tells of, owed or intended; nothing for other notes. `recipient` and `info` are as read back.
  static std::optional<Outcome> from_note(std::uint32_t recipient, const RecipientInfo& info);
  /// The note of an intent; cut at kNoteLimit.
  static std::string note_of(const Outcome& outcome, MessageId report);
  /// The note of a `placed` mark, before there is an intent.
  static std::string owed_note(const Outcome& outcome);
  static bool is_owed(const RecipientInfo& info);

 private:
  enum class Audience : std::uint8_t { kNobody, kSender, kPostmaster };
  struct Job;
  /// Outcomes that go into one report, or several when they are many.
  struct Group {
    Audience who;
    Outcome::Kind kind;
    MessageId earlier;  ///< what was to be one report before a crash is one again
    auto operator<=>(const Group&) const = default;
  };
  Audience audience(const Envelope& envelope, const Outcome& outcome) const;
  Task<Result<std::size_t>> send_group(MessageId id, const Envelope& envelope, Group group, std::vector<Outcome> all,
                                       Log log);
  bool returns_all(const Job& job, std::uint64_t size) const;
  void trace(const Job& job, Draft& draft) const;
  Task<Result<bool>> in_spool(MessageId id);
  Task<Result<void>> address_it(Job& job);
  Task<Result<std::size_t>> send(Job& job);
  Task<Result<void>> mark_intent(Job& job, MessageId report);
  Task<Result<void>> write(Job& job, Draft& draft);
  Task<Result<bool>> has_8bit(MessageReader& reader);
  Task<Result<bool>> commit_by_policy(Job& job, Draft draft);
  Task<Result<bool>> commit_directly(Job& job, Draft draft);
  Address postmaster() const;

  ReporterParts parts_;
};

}  // namespace postern::queue
