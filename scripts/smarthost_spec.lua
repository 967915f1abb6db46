-- What smarthost.lua does as it is shipped.
local spec = require "postern.spec"
spec.scripts "smarthost.lua"

local ANN = { role = "submission", auth = "ann@example.org", tls = true, ip = "198.51.100.7" }

spec.before(function(t)
  t:account("ann@example.org", "ann@example.org")
end)

spec.case("mail of people who have logged in leaves through the provider", function(t)
  t:mail { from = "ann@example.org", to = "x@far.example", client = ANN }
    :expect_relayed { gateway = "provider" }:expect_rule "provider"
end)

spec.case("mail for mailboxes here stays here, also beside mail for the world", function(t)
  local r = t:mail { from = "ann@example.org", to = { "ann@example.org", "x@far.example" }, client = ANN }
  r:to("ann@example.org"):expect_delivered("ann@example.org", "INBOX")
  r:to("x@far.example"):expect_relayed { gateway = "provider" }
end)

spec.case("mail from the world is delivered", function(t)
  t:mail { from = "x@far.example", to = "ann@example.org" }:expect_delivered("ann@example.org")
end)

spec.case("strangers do not relay, not even in our name", function(t)
  t:mail { from = "x@far.example", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
  t:mail { from = "ann@example.org", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
  t:mail { from = "", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)

spec.case("a network that may relay uses the provider, too", function(t)
  t:relay_network "192.0.2.0/24"
  t:mail { from = "printer@example.org", to = "x@far.example", client = { ip = "192.0.2.9" } }
    :expect_relayed { gateway = "provider" }
end)

spec.case("what goes in circles ends", function(t)
  local text = ("Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n"):rep(100) .. "Subject: x\n\nhi\n"
  t:mail { from = "ann@example.org", to = "x@far.example", client = ANN, text = text }:expect_refused(550, "5.4.6")
end)
