// A mail transaction as a session keeps it: from MAIL to its end, one object, so that no exit leaves half of one
// behind.
//
// Thread: the session's worker. RFC: 5321 §3.3, §4.1.4.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "body_scanner.h"
#include "header_check.h"
#include "postern/pipeline.h"
#include "postern/spool.h"

namespace postern::smtp {

/// The text on its way into the spool: from DATA, or the first BDAT.
struct Intake {
  Intake(Draft into, BodyScanner scan) : draft(std::move(into)), scanner(scan) {}
  Draft draft;
  BodyScanner scanner;
  OpeningCheck opening;
  std::string undecided;  ///< first octets that may be a header or not; not yet in the draft
  HeaderFacts header;
  Instant until{};           ///< the whole text must be here by then
  std::uint64_t octets = 0;  ///< of text
  bool opened = false;       ///< it is certain how the text begins
  bool header_seen = false;
  /// Set once, by the first thing that is wrong; the rest of the text is then read and dropped.
  std::optional<Verdict> refusal;

  void refuse(int code, std::string enhanced, std::string text, std::string rule) {
    if (refusal) return;
    refusal = code < 500 ? Verdict::defer(code, std::move(enhanced), std::move(text))
                         : Verdict::reject(code, std::move(enhanced), std::move(text));
    refusal->rule = std::move(rule);
  }
};

struct Mail {
  explicit Mail(SessionState& session) : transaction(session) {}
  Transaction transaction;
  bool prdr = false;
  bool some_refused = false;   ///< a recipient was refused: its trail is kept even if nothing else comes
  bool chunks_failed = false;  ///< one was refused: only RSET and its like go on (RFC 3030 §2)
  bool within_chunks() const { return intake.has_value() || chunks_failed; }
  std::optional<Intake> intake;
};

}  // namespace postern::smtp
