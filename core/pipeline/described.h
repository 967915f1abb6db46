// What a trail says of the envelope, so that a replay can have the same one: parameters of MAIL and RCPT that differ
// from none at all, and the notes that earlier mails of the session left. TRAIL.md, "Facts of a session", is the
// contract of these texts.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/pipeline/trail_log.h"
#include "postern/pipeline.h"

namespace postern {

/// Sender and recipients of a record, of these the first TrailLog::kMaxRecipients.
void name_envelope(TrailRecord& record, const Envelope& envelope);
/// Facts "parameters" and "note" of the mail that begins; nothing for a plain one.
void note_mail(Transaction& transaction);
/// The fact "parameters" of a recipient, before its gate entry; nothing for a plain one.
void note_recipient(Trail& trail, const Recipient& recipient);

/// "size=4096 body=8bitmime smtputf8", and back; what is not known is passed over.
std::string mail_parameters(const Envelope& envelope, bool answers_each);
void read_mail_parameters(std::string_view text, Envelope& envelope, bool& answers_each);
std::string recipient_parameters(const Recipient& recipient);
void read_recipient_parameters(std::string_view text, Recipient& recipient);
/// "name=s:text"; b for true and false, i and d for numbers.
std::string note_text(std::string_view name, const NoteValue& value);
std::optional<std::pair<std::string, NoteValue>> read_note(std::string_view text);

}  // namespace postern
