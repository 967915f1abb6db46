-- What gateway.lua does as it is shipped.
local spec = require "postern.spec"
spec.scripts "gateway.lua"

local LIST = ".zen.spamhaus.org"

spec.before(function(t)
  t:domain("example.org", "relay")
end)

spec.case("mail for our domains goes to the server behind", function(t)
  t:dns("1.113.0.203" .. LIST, "A")
  t:mail { from = "x@far.example", to = "anybody@example.org" }:expect_relayed { gateway = "10.0.0.25:25" }
    :expect_rule "inside"
end)

spec.case("a client on the list is refused, but may write to postmaster", function(t)
  t:dns("1.113.0.203" .. LIST, "A", "127.0.0.4")
  local r = t:mail { from = "x@far.example", to = { "postmaster@example.org", "ann@example.org" } }
  r:to("ann@example.org"):expect_refused(550, "5.7.1", "listed")
  r:to("postmaster@example.org"):expect_relayed()
end)

spec.case("a list that says \"do not ask me\", or says nothing, decides nothing", function(t)
  t:dns("1.113.0.203" .. LIST, "A", "127.255.255.254")
  t:mail { from = "x@far.example", to = "ann@example.org" }:expect_relayed()
  t:dns_fails("2.113.0.203" .. LIST, "A", "timeout")
  t:mail { from = "x@far.example", to = "ann@example.org", client = { ip = "203.0.113.2" } }:expect_relayed()
end)

spec.case("the server behind sends to the world by MX, strangers do not", function(t)
  t:relay_network "10.0.0.0/24"
  t:dns("25.0.0.10" .. LIST, "A"):dns("1.113.0.203" .. LIST, "A")
  t:mail { from = "ann@example.org", to = "x@far.example", client = { ip = "10.0.0.25" } }:expect_relayed()
    :expect_rule "outside"
  t:mail { from = "ann@example.org", to = "x@far.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)

spec.case("what goes in circles ends", function(t)
  t:dns("1.113.0.203" .. LIST, "A")
  local loop = ("Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n"):rep(100)
  t:mail { from = "x@far.example", to = "ann@example.org", text = loop .. "\nhi\n" }:expect_refused(550, "5.4.6")
end)
