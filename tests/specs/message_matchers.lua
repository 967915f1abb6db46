-- Every matcher of the message, its header, notes and parts: what one selects gets a header field of its name.
local postern = require "postern"
local match, act = postern.match, postern.act
local mark = require("rules").mark

postern.pipeline "root" {
  { when = match.user_is "spam", act.set_note("spam", true) },
  { when = match.user_is "maybe", act.set_note("spam", "perhaps") },
  { when = match.subject_is "score", act.set_note("score", 5) },
  { when = match.subject_is "high score", act.set_note("score", 6) },
  { when = match.subject_is "urgent", act.priority(5) },
  { when = match.subject_is "slow", act.priority(-3) },

  mark("relay_limit", match.relay_limit(3)),
  mark("size_over", match.size_over "1 KiB"),
  mark("has_header", match.has_header "X-Loop"),
  mark("has_header_value", match.has_header("X-Loop", "küche")),
  mark("compare_numeric_header", match.compare_numeric_header("X-Score", ">=", 5)),
  mark("score_below", match.compare_numeric_header("X-Score", "<", 0)),
  mark("subject_is", match.subject_is "Grüße"),
  mark("subject_starts_with", match.subject_starts_with "[ticket"),
  mark("has_mime_type", match.has_mime_type { "multipart/report", "image/*" }),
  mark("has_plain_text", match.has_mime_type "text/plain"),
  mark("is_smime_signed", match.is_smime_signed),
  mark("is_smime_encrypted", match.is_smime_encrypted),
  mark("has_note", match.has_note "score"),
  mark("has_note_value", match.has_note("score", 5)),
  mark("has_note_other", match.has_note("score", 6)),
  mark("is_marked_as_spam", match.is_marked_as_spam),
  mark("has_priority", match.has_priority { at_least = 3 }),
  mark("has_low_priority", match.has_priority { at_least = -5, at_most = -1 }),
  mark("has_no_priority", match.has_priority(0)),
  mark("has_attachment", match.has_attachment),
  mark("has_mime_type_any_part", match.has_mime_type_any_part { "application/pdf", "image/*" }),
  mark("attachment_name_is", match.attachment_name_is { "*.exe", "?.js" }),
  mark("attachment_name_in_zip", match.attachment_name_is { "*.exe", inside_zip = true }),
  { name = "counted", when = match.user_is "counted", act.go "counted" },
  { act.deliver },
}

-- Counts each mail that comes to it, so that it is for one recipient only.
postern.pipeline "counted" {
  mark("at_most", match.at_most(2, "probe")),
  { act.deliver },
}
