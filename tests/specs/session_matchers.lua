-- Every matcher of the client and its session: what one selects gets a header field of its name.
local postern = require "postern"
local match, act = postern.match, postern.act
local mark = require("rules").mark

postern.pipeline "root" {
  mark("smtp_auth_successful", match.smtp_auth_successful),
  mark("smtp_auth_user_is", match.smtp_auth_user_is { "robot@example.org", "ann@example.org" }),
  mark("smtp_is_auth_network", match.smtp_is_auth_network),
  mark("remote_addr_in_network", match.remote_addr_in_network { "192.0.2.0/24", "2001:db8::/32" }),
  mark("remote_addr_not_in_network", match.remote_addr_not_in_network { "192.0.2.0/24" }),
  mark("remote_addr_not_in_any", match.remote_addr_not_in_network {}),
  mark("tls_is", match.tls_is "TLSv1.3"),
  mark("tls_at_all", match.tls_is),
  mark("sent_by_mailet", match.sent_by_mailet),
  { name = "listed", when = match.user_is "listed", act.go "listed" },
  { name = "copy", when = match.user_is "copied", act.copy_to "ann@example.org" },
  -- The queue's reporter leaves this note with its reports; here a mail that a rule brought in has one.
  { name = "reports", when = match.user_is "reported",
    act.copy_to "ann@example.org", act.discard "reported" },
  { when = match.sender_is "5.1.1@far.example", act.set_note("delivery-failed", "550 5.1.1") },
  { when = match.sender_is "5.2.2@far.example", act.set_note("delivery-failed", "552 5.2.2") },
  { when = match.sender_is "4.4.1@far.example", act.set_note("delivery-failed", "451 4.4.1; 452 4.2.2") },
  mark("delivery_failed", match.delivery_failed),
  mark("failed_for_good", match.delivery_failed { permanent = true }),
  mark("failed_for_a_while", match.delivery_failed { temporary = true }),
  mark("failed_with_code", match.delivery_failed { code = { "550", "4.2" } }),
  mark("failed_otherwise", match.delivery_failed { code = "5.2" }),
  { act.deliver },
}

-- Asks the DNS, so that it is for one recipient only.
postern.pipeline "listed" {
  mark("in_dnsbl", match.in_dnsbl "bl.example.net"),
  mark("in_policy_list", match.in_dnsbl { "bl.example.net", codes = { "127.0.0.10", "127.0.1.0/24" } }),
  { act.deliver },
}
