-- Every matcher of recipients and senders, and what combines matchers: whom one selects gets a header field of its name.
local postern = require "postern"
local match, act = postern.match, postern.act
local mark = require("rules").mark

postern.pipeline "root" {
  mark("all", match.all),
  mark("all_of", match.all_of { match.user_is "ann", match.sender_is_null }),
  mark("any_of", match.any_of { match.user_is "ann", match.user_is "ben" }),
  mark("none_of", match.none_of { match.user_is "ann", match.user_is "ben" }),
  mark("operators", match.user_is "ann" * -match.sender_is_null + match.user_is "cid"),

  mark("recipient_is", match.recipient_is { "ann@example.org", "cid@example.org" }),
  mark("recipient_is_regex", match.recipient_is_regex ".*-noreply@example\\.org"),
  mark("recipient_domain_is", match.recipient_domain_is { "example.org", "far.example" }),
  mark("user_is", match.user_is { "ann", "abuse" }),
  mark("host_is_local", match.host_is_local),
  mark("recipient_is_local", match.recipient_is_local),
  mark("relay_allowed", match.relay_allowed),
  mark("is_single_recipient", match.is_single_recipient),
  mark("recipient_count_exceeds", match.recipient_count_exceeds(2)),
  mark("is_in_drop_list", match.is_in_drop_list {
    ["ann@example.org"] = { "ex@far.example", "@spam.example" }, ["@example.net"] = "x@far.example", ["*"] = "@bad.example" }),

  mark("sender_is", match.sender_is { "x@far.example", "ann@example.org" }),
  mark("sender_is_regex", match.sender_is_regex "bounce-[0-9]+@.*"),
  mark("sender_domain_is", match.sender_domain_is "far.example"),
  mark("sender_host_is_local", match.sender_host_is_local),
  mark("sender_is_local", match.sender_is_local),
  mark("sender_is_null", match.sender_is_null),
  { name = "fake", when = match.user_is "fake", act.go "fake" },

  { when = match.recipient_is_local, act.deliver },
  { act.relay },
}

-- Asks the DNS, so that it is for one recipient only.
postern.pipeline "fake" {
  mark("sender_in_fake_domain", match.sender_in_fake_domain),
  { act.deliver },
}
