-- Mailets that bring in a mail: the mail again, or a notice about it; and functions as their lists of addresses.
local spec = require "postern.spec"
spec.scripts "bringing_mailets.lua"

local ROBOT = { role = "submission", auth = "robot@example.org", tls = true }

local function at(user)
  return user .. "@example.org"
end
local ANN, BEN = at "ann", at "ben"

spec.before(function(t)
  for _, name in ipairs { "ann", "ben", "plain", "postmaster", "forward", "forward-keep", "copy", "redirect",
                          "redirect-keep", "resend", "notify-sender", "notify-stranger", "notify-postmaster", "notify-ann",
                          "vacation", "vacation-own", "forward-asked", "copy-asked", "redirect-asked", "resend-asked" } do
    t:account(at(name))
  end
end)

local function to(t, user, fields, from, client)
  local text = "From: <x@far.example>\nTo: <" .. at(user) .. ">\nSubject: lunch\n" .. (fields or "") .. "\nhello\n"
  return t:mail { from = from or "x@far.example", to = at(user), text = text, client = client }
end

-- The one mail that was brought in.
local function brought(r)
  return r:expect_accepted():expect_brought(1).brought[1]
end

spec.case("other mail brings in nothing", function(t)
  to(t, "plain"):expect_delivered():expect_brought(0)
end)

spec.case("forward: instead of the recipient, unchanged, with its sender", function(t)
  local r = to(t, "forward"):expect_discarded "sent on: forward"
  local mail = brought(r):expect_sender "x@far.example":expect_delivered():expect_header("Subject", "lunch"):expect_body "hello"
  mail:to(ANN):expect_delivered(ANN)
  mail:to(BEN):expect_delivered(BEN)
  spec.equal(#mail.outcomes, 2, "recipients")
end)

spec.case("forward with keep: the recipient gets it, too", function(t)
  local r = to(t, "forward-keep"):expect_delivered(at "forward-keep")
  brought(r):expect_delivered(ANN)
end)

spec.case("forward, beside somebody who is not forwarded", function(t)
  local r = t:mail { from = "x@far.example", to = { at "forward", at "plain" } }
  r:to(at "plain"):expect_delivered()
  r:to(at "forward"):expect_discarded()
  r:expect_brought(1)
end)

spec.case("copy_to: the recipient and another one", function(t)
  brought(to(t, "copy"):expect_delivered(at "copy")):expect_delivered(ANN):expect_sender "x@far.example":expect_body "hello"
end)

spec.case("redirect: with another face", function(t)
  local r = to(t, "redirect", "Sender: <s@far.example>\nCc: <c@far.example>\n"):expect_discarded "sent on: redirect"
  brought(r):expect_delivered():expect_sender "bounces@example.org":expect_header("Subject", "[team] lunch")
    :expect_header("From", "team@example.org"):expect_header("Reply-To", "list@example.org")
    :expect_header("To", "ann@example.org, ben@example.org"):expect_no_header "Cc":expect_no_header "Sender"
end)

spec.case("redirect with keep and no more: the face stays", function(t)
  local r = to(t, "redirect-keep"):expect_delivered(at "redirect-keep")
  brought(r):expect_delivered(ANN):expect_sender "x@far.example":expect_header("Subject", "lunch")
    :expect_header("To", "<redirect-keep@example.org>")
end)

spec.case("resend: with Resent fields before the others", function(t)
  local mail = brought(to(t, "resend"):expect_discarded "sent on: resend"):expect_delivered(ANN)
  mail:expect_sender "desk@example.org":expect_header("Resent-From", "desk@example.org"):expect_header("Resent-To", ANN)
    :expect_header "Resent-Date":expect_header "Resent-Message-ID":expect_header("To", "<resend@example.org>")
end)

spec.case("notify_sender: who has logged in is told, in the rule's words", function(t)
  t:account(at "robot")
  local r = to(t, "notify-sender", nil, at "robot", ROBOT):expect_delivered()
  local notice = brought(r):expect_sender "":expect_header("Subject", "Please wait"):expect_header "Auto-Submitted"
    :expect_body "Your mail waits.":expect_body "because of that":expect_body "lunch"
    :expect_header("From", "The desk <desk@example.org>")
  notice:to(at "robot"):expect_delivered(at "robot")
end)

spec.case("notify_sender: no stranger unless told so, no list, no report", function(t)
  to(t, "notify-sender"):expect_delivered():expect_brought(0)
  to(t, "notify-sender", "List-Id: <a.far.example>\n", at "robot", ROBOT):expect_brought(0)
  to(t, "notify-sender", nil, ""):expect_brought(0)
  brought(to(t, "notify-stranger")):expect_body "Your mail waits.":to "x@far.example":expect_relayed()
end)

spec.case("notify_postmaster: with the mail's header", function(t)
  local notice = brought(to(t, "notify-postmaster", "X-Virus: yes\n"):expect_delivered())
  notice:to(at "postmaster"):expect_delivered(at "postmaster"):expect_body "A virus came in.":expect_body "X-Virus: yes"
  notice:expect_sender ""
end)

spec.case("notify_postmaster: another one, with the whole mail", function(t)
  brought(to(t, "notify-ann")):to(ANN):expect_body "A virus came in.":expect_body "hello"
end)

spec.case("vacation: an answer", function(t)
  local r = to(t, "vacation"):expect_delivered(at "vacation")
  brought(r):expect_sender "":expect_header("Subject", "Auto: lunch"):expect_body "I am back on Monday."
    :expect_header("From", "Vera <vacation@example.org>"):expect_header("Auto-Submitted", "auto-replied (vacation)")
    :to "x@far.example":expect_relayed()
end)

-- The answer's commit counts it, and no mail of a spec gets that far.
spec.case("vacation: whoever has had the answer gets no other one", function(t)
  t:kv("vacation/vacation@example.org/36b62354/x@far.example", "1")
  to(t, "vacation"):expect_delivered():expect_brought(0)
  to(t, "vacation", nil, "y@far.example"):expect_brought(1)
end)

spec.case("vacation: nobody who was not named, no list, no report", function(t)
  t:mail { from = "x@far.example", to = at "vacation", text = "To: <all@far.example>\n\n" }:expect_delivered():expect_brought(0)
  to(t, "vacation", "List-Id: <a.far.example>\n"):expect_brought(0)
  to(t, "vacation", nil, ""):expect_brought(0)
end)

spec.case("vacation: the recipient's note goes first, and other addresses count as theirs", function(t)
  local r = t:mail { from = "x@far.example", to = at "vacation-own", text = "To: <vera@example.org>\n\n" }
  brought(r):expect_header("Subject", "Away"):expect_body "My own words."
end)

spec.case("a function is the list of addresses of forward, copy_to, redirect and resend", function(t)
  local kept_by = { ["copy-asked"] = true, ["resend-asked"] = true }
  for _, user in ipairs { "forward-asked", "copy-asked", "redirect-asked", "resend-asked" } do
    local r = to(t, user, "X-To: ben@example.org\n")
    if kept_by[user] then r:expect_delivered(at(user)) else r:expect_discarded "sent on" end
    local mail = brought(r):expect_delivered(BEN)
    spec.equal(#mail.outcomes, 1, "recipients of " .. user)
  end
end)

spec.case("a function that gives nothing leaves the mail as it is", function(t)
  for _, user in ipairs { "forward-asked", "copy-asked", "redirect-asked", "resend-asked" } do
    to(t, user):expect_delivered(at(user)):expect_brought(0)
  end
end)

spec.case("a function leads to no address elsewhere: the mail comes again", function(t)
  t:domain("other.example", "foreign")
  for _, user in ipairs { "forward-asked", "copy-asked", "redirect-asked", "resend-asked" } do
    to(t, user, "X-To: y@other.example\n"):expect_refused(451):expect_brought(0)
  end
end)
