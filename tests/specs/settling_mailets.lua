-- Mailets that refuse mail, settle where it goes, or when. The recipient's local part says which one runs.
local postern = require "postern"
local match, act = postern.match, postern.act
local of = require("rules").of

postern.pipeline "root" {
  of("bounce", act.bounce("5.7.1", "not accepted")),
  of("bounce-later", act.bounce("4.7.1", "not now")),
  of("defer", act.defer(452, "4.2.2", "come back later")),
  of("reject", act.reject(554, "5.6.0", "never")),
  of("discard", act.discard "honeypot"),
  of("quarantine", act.quarantine "looks like malware"),
  of("go", act.go "other"),
  of("deliver", act.deliver { folder = "Lists/crew", flags = { "\\Flagged", "$seen-by-rule" } }),
  of("relay", act.relay { gateway = "mx.partner.example:26", tls = "verify", source = "192.0.2.1" }),
  of("hold", act.hold "10m"),
  of("priority", act.priority(-3)),
  { name = "split", when = match.user_is { "one", "two", "three", "four", "five" }, act.split { 2, pause = "5m" } },
  -- What the two before have said, shown in the header: 1767225600 is now.
  { when = match.has_priority(-3), act.set_header("X-Slow", "yes") },
  { when = match.has_note("not-before", 1767225600 + 300), act.set_header("X-Second", "yes") },
  { when = match.has_note("not-before", 1767225600 + 600), act.set_header("X-Third", "yes") },
  of("limit-sender", act.rate_limit { per = "sender", count = 2, window = "1h" }),
  of("limit-user", act.rate_limit { per = "user", count = 200, window = "1h", of = "recipients", name = "people" }),
  of("limit-client", act.rate_limit { per = "client", count = 5, window = "10m", excess = "other" }),
  { when = match.recipient_is_local, act.deliver },
  { act.relay },
}

postern.pipeline "other" {
  { name = "elsewhere", act.deliver { folder = "Other" } },
}
