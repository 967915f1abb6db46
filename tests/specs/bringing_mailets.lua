-- Mailets that bring in a mail: the mail again, or a notice about it. The recipient's local part says which one runs.
local postern = require "postern"
local match, act = postern.match, postern.act
local of = require("rules").of

-- An address list that depends on the mail: of a field, whoever wrote it; nothing where there is none.
local function as_named(mail)
  return mail:header "X-To"
end

local function away(mail)
  for _, r in ipairs(mail.recipients) do r.notes.vacation = "My own words." end
end

postern.pipeline "root" {
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  of("forward", act.forward { "ann@example.org", "ben@example.org" }),
  of("forward-keep", act.forward { "ann@example.org", keep = true }),
  of("copy", act.copy_to "ann@example.org"),
  of("redirect", act.redirect { to = { "ann@example.org", "ben@example.org" }, from = "team@example.org",
    reply_to = "list@example.org", sender = "bounces@example.org", prefix = "[team]", to_header = true }),
  of("redirect-keep", act.redirect { to = "ann@example.org", keep = true }),
  of("resend", act.resend { "ann@example.org", sender = "desk@example.org" }),
  of("notify-sender", act.set_note("why", "because of that"), act.notify_sender {
    text = "Your mail waits.", subject = "Please wait", note = "why", attach = "none", from = "desk@example.org",
    from_name = "The desk" }),
  of("notify-stranger", act.notify_sender { text = "Your mail waits.", strangers = true }),
  of("notify-postmaster", act.notify_postmaster { text = "A virus came in." }),
  of("notify-ann", act.notify_postmaster { text = "A virus came in.", to = "ann@example.org", attach = "message" }),
  of("vacation", act.vacation { text = "I am back on Monday.", days = 3, from_name = "Vera" }),
  of("vacation-own", away, act.vacation { subject = "Away", addresses = { "vera@example.org" } }),

  of("forward-asked", act.forward { as_named }),
  of("copy-asked", act.copy_to { as_named }),
  of("redirect-asked", act.redirect { to = as_named }),
  of("resend-asked", act.resend { as_named, keep = true }),

  { when = match.recipient_is_local, act.deliver },
  { act.relay },
}
