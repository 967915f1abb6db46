-- What mailserver.lua does as it is shipped.
local spec = require "postern.spec"
spec.scripts "mailserver.lua"

local ANN = { role = "submission", auth = "ann@example.org", tls = true, ip = "198.51.100.7" }

spec.before(function(t)
  t:account("ann@example.org", "ann@example.org"):account("spamtrap@example.org", "ann@example.org")
end)

spec.case("mail for mailboxes here goes to INBOX, whatever its header says of itself", function(t)
  t:mail { from = "x@far.example", to = "ann@example.org" }:expect_delivered("ann@example.org", "INBOX")
  t:mail { from = "x@far.example", to = "ann@example.org", text = "X-Spam: yes\n\nbuy\n" }
    :expect_delivered(nil, "INBOX")
  t:mail { from = "", to = "ann@example.org" }:expect_delivered()
end)

spec.case("unknown users are refused at RCPT", function(t)
  t:mail { from = "x@far.example", to = "nobody@example.org" }:expect_refused(550, "5.1.1"):expect_stage "rcpt"
end)

spec.case("people who have logged in send to the world, strangers do not", function(t)
  t:mail { from = "ann@example.org", to = "x@far.example", client = ANN }:expect_relayed():expect_rule "relay"
  t:mail { from = "ann@example.org", to = "x@far.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)

spec.case("the trap refuses strangers", function(t)
  local r = t:mail { from = "x@far.example", to = { "ann@example.org", "spamtrap@example.org" } }
  r:to("spamtrap@example.org"):expect_refused(550, "5.7.1"):expect_rule "trap"
  r:to("ann@example.org"):expect_delivered()
end)

spec.case("what goes in circles ends", function(t)
  local loop = ("Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n"):rep(100)
  t:mail { from = "x@far.example", to = "ann@example.org", text = loop .. "\nhi\n" }:expect_refused(550, "5.4.6")
end)
