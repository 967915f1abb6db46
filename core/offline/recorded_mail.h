// A transaction of a trail as a mail that can be led through the policy again.
//
// Thread: any. Errors, which say why it cannot be: "replay.cut" (the trail was full), "replay.damaged",
// "replay.brought" (a rule brought it in: it comes with the mail that it was brought in for), "replay.other" (no
// session of a client).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/offline/mail_run.h"
#include "core/pipeline/trail_log.h"

namespace postern {

struct RecordedMail {
  OfflineMail mail;
  std::vector<TrailEntry> entries;
  std::string name;              ///< by which mails that it brought in know it: its message id, else its draft's
  WallTime when{};               ///< of MAIL, or of the connection
  std::uint64_t rules = 0;       ///< hash of the configuration and scripts that it ran under
  bool reached_message = false;  ///< the whole text was there, and rules saw it
};

/// `text`: of the archive, when there is one.
Result<RecordedMail> recorded_mail(const TrailRecord& record, std::optional<std::string> text);

}  // namespace postern
