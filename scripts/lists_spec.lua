-- What lists.lua does as it is shipped: crew@ is for members, friends@ has a moderator.
local spec = require "postern.spec"
spec.scripts "lists.lua"

local function as(user)
  return { role = "submission", auth = user .. "@example.org", tls = true, ip = "198.51.100.7" }
end
local function text(fields)
  return "From: <ann@example.org>\nTo: <crew@example.org>\nSubject: plan\n" .. (fields or "") .. "\nhello\n"
end

spec.before(function(t)
  for _, name in ipairs { "ann", "ben", "robot", "crew", "friends" } do
    t:account(name .. "@example.org", name .. "@example.org")
  end
end)

spec.case("a post goes to the members, with the fields of a list", function(t)
  local r = t:mail { from = "ann@example.org", to = "crew@example.org", client = as "ann", text = text() }
  r:expect_accepted():expect_discarded "sent to the list":expect_brought(1)
  local post = r.brought[1]
  post:expect_sender "crew-bounces@example.org":expect_delivered():expect_body "hello"
  post:to("ann@example.org"):expect_delivered("ann@example.org", "INBOX")
  post:to("ben@example.org"):expect_header("Subject", "[crew] plan")
    :expect_header("List-Id", "The crew <crew.example.org>")
    :expect_header("List-Post", "<mailto:crew@example.org>"):expect_header("Precedence", "list")
    :expect_header("List-Help", "<mailto:crew-owner@example.org?subject=help>")
    :expect_header("List-Unsubscribe", "<mailto:crew-owner@example.org?subject=unsubscribe>")
    :expect_no_header "Reply-To"
  spec.equal(#post.outcomes, 2, "who gets it (a writer gets nothing)")
end)

spec.case("somebody beside the list gets the mail as it was", function(t)
  t:account("zoe@example.org", "zoe@example.org")
  local r = t:mail { from = "ann@example.org", to = { "crew@example.org", "zoe@example.org" }, client = as "ann",
           text = text() }
  r:to("zoe@example.org"):expect_delivered():expect_no_header "List-Id":expect_header("Subject", "plan")
  r:expect_brought(1)
end)

spec.case("a tag, capitals and an alias lead to the same list", function(t)
  t:alias("all@example.org", "crew@example.org")
  t:account("crew+x@example.org", "crew@example.org"):account("CREW@example.org", "crew@example.org")
  for _, to in ipairs { "crew+x@example.org", "CREW@example.org", "all@example.org" } do
    t:mail { from = "ann@example.org", to = to, client = as "ann" }:expect_discarded "sent":expect_brought(1)
  end
end)

spec.case("strangers are refused at RCPT, and so are reports", function(t)
  t:mail { from = "x@far.example", to = "crew@example.org" }:expect_refused(550, "5.7.2"):expect_stage "rcpt"
    :expect_brought(0)
  t:mail { from = "", to = "crew@example.org" }:expect_refused(550, "5.7.2"):expect_stage "rcpt":expect_brought(0)
end)

spec.case("a stranger who uses an alias is refused as well", function(t)
  t:alias("all@example.org", "crew@example.org")
  t:mail { from = "x@far.example", to = "all@example.org" }:expect_refused(550, "5.7.2"):expect_brought(0)
end)

spec.case("a stranger who says that he is ann is refused; so is somebody in the middle of other recipients", function(t)
  t:mail { from = "ann@example.org", to = "crew@example.org" }:expect_refused(550, "5.7.2")
  local r = t:mail { from = "x@far.example", to = { "ann@example.org", "crew@example.org" } }
  r:to("crew@example.org"):expect_refused(550, "5.7.2")
  r:to("ann@example.org"):expect_delivered()
end)

spec.case("members of a domain of ours write only when they have logged in", function(t)
  t:mail { from = "ben@example.org", to = "crew@example.org" }:expect_refused(550, "5.7.2")
  t:mail { from = "ben@example.org", to = "crew@example.org", client = as "ben" }:expect_discarded "sent"
end)

spec.case("a writer writes, a reader does not", function(t)
  t:mail { from = "robot@example.org", to = "crew@example.org", client = as "robot" }:expect_discarded "sent"
    :expect_brought(1)
  local r = t:mail { from = "ben@example.org", to = "friends@example.org", client = as "ben" }
  r.brought[1]:expect_header("Subject", "[to approve] a spec's mail")
end)

spec.case("a stranger's mail to a moderated list goes to the moderator, and hers to all", function(t)
  local r = t:mail { from = "x@far.example", to = "friends@example.org" }
  r:expect_accepted():expect_brought(1)
  r.brought[1]:expect_delivered("ann@example.org"):expect_no_header "List-Id"
    :expect_sender "friends-bounces@example.org"
  r = t:mail { from = "ann@example.org", to = "friends@example.org", client = as "ann" }
  spec.equal(#r.brought[1].outcomes, 2, "readers get it")
  r.brought[1]:expect_header("Reply-To", "friends@example.org"):expect_header("Subject", "a spec's mail")
end)

spec.case("what has been through the list ends, and nobody hears of it", function(t)
  t:mail { from = "ann@example.org", to = "crew@example.org", client = as "ann",
           text = text "List-Id: Crew <CREW.example.org>\n" }
    :expect_discarded "from this list":expect_brought(0)
end)

spec.case("mail of another list may be sent on, under our name", function(t)
  local r = t:mail { from = "ann@example.org", to = "crew@example.org", client = as "ann",
                     text = text "List-Id: <other.far.example>\n" }
  r.brought[1]:expect_header("List-Id", "The crew <crew.example.org>")
  spec.equal(r.brought[1].outcomes[1].header:find("other.far.example", 1, true), nil, "the other list's field")
end)

spec.case("automatic answers go to nobody", function(t)
  t:mail { from = "ben@example.org", to = "crew@example.org", client = as "ben",
           text = text "Auto-Submitted: auto-replied (vacation)\n" }
    :expect_discarded "automatic":expect_brought(0)
  t:mail { from = "", to = "friends@example.org" }:expect_discarded "automatic":expect_brought(0)
end)

spec.case("what is too big is refused while the session waits", function(t)
  t:mail { from = "ann@example.org", to = "crew@example.org", client = as "ann",
           text = text() .. ("x"):rep(70):rep(20000, "\n") }
    :expect_refused(550, "5.3.4"):expect_brought(0)
end)

spec.case("what goes in circles ends", function(t)
  local loop = ("Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n"):rep(30)
  t:mail { from = "ann@example.org", to = "crew@example.org", client = as "ann",
           text = loop .. text() }:expect_refused(550, "5.4.6")
end)

spec.case("members open no relay", function(t)
  t:mail { from = "ann@example.org", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)
