-- Mailets that change header fields, recipients, notes and bodies, and those that only say something. The recipient's
-- local part says which one runs.
local postern = require "postern"
local match, act = postern.match, postern.act
local of = require("rules").of

postern.pipeline "root" {
  -- Header fields.
  of("set", act.set_header("X-Checked", "yes, grüße")),
  of("remove", act.remove_header { "Bcc", "X-Old" }),
  of("prefix", act.remove_header_prefix "X-Spam-"),
  of("subject", act.subject_prefix "[external]"),
  of("id", act.require_message_id),

  -- Recipients.
  of("postmaster", act.postmaster_alias "admin@example.org"),
  { name = "case", when = match.recipient_is_regex "(?i)case@.*", act.lower_case_recipient },
  { when = match.recipient_is_regex "case@.*", act.set_header("X-Folded", "yes") },
  { name = "tag", when = match.recipient_is_regex "tag\\+.*", act.sub_addressing },
  { name = "tag-", when = match.recipient_is_regex "tag-.*", act.sub_addressing { delimiters = "-" } },
  of("delivered", act.add_delivered_to),
  { name = "rewrite", when = match.user_is { "info", "ben" },
    act.rewrite { ["info@example.org"] = "bob@example.org", ["@example.net"] = "@example.org" } },

  -- Notes.
  of("note", act.set_note("colour", "red"), act.set_note("number", 7), act.set_note "flag",
    act.notes_to_headers { colour = "X-Colour", number = "X-Number", flag = "X-Flag", none = "X-None" }),
  of("forgetful", act.set_note("colour", "red"), act.set_note("number", 7), act.remove_note { "colour", "none" },
    act.notes_to_headers { colour = "X-Colour", number = "X-Number" }),
  of("report", act.classify_bounce, act.notes_to_headers { bounce = "X-Bounce", bounce_status = "X-Status" }),

  -- Bodies.
  of("footer", act.add_footer { text = "Example Inc. & Söhne", html = "<p>Example Inc.</p>" }),
  of("replace", act.replace_content {
    subject = { pattern = "(?i)\\[spam\\] *", with = "" },
    text = { { pattern = "secret(\\d)", with = "hidden\\1" }, { pattern = "a", with = "b" } },
    html = { pattern = "<script>", with = "" } }),
  of("wrap", act.wrap(30)),
  of("unwrap", act.unwrap),
  of("strip", act.strip_attachment { "*.exe", types = { "image/*" }, text = "[%s is gone]", note = "stripped" },
    act.notes_to_headers { stripped = "X-Stripped" }),
  of("strip-all", act.strip_attachment),
  of("text", act.only_text),
  of("seven", act.convert_to_7bit),

  -- What only says something.
  of("log", act.log("seen", "warn")),
  of("count", act.count("archived", 2)),
  of("post", act.http_post { url = "https://hooks.example.net/mail", send = "message", note = "answer" },
    act.notes_to_headers { answer = "X-Answer" }),
  of("post-header", act.http_post { url = "https://hooks.example.net/header" }),

  { act.deliver },
}
