-- Mailets that change header fields and recipients, and notes.
local spec = require "postern.spec"
spec.scripts "changing_mailets.lua"

local function at(user)
  return user .. "@example.org"
end

spec.before(function(t)
  for _, name in ipairs { "plain", "set", "remove", "prefix", "subject", "id", "delivered", "note", "forgetful", "report",
                          "log", "count" } do
    t:account(at(name))
  end
end)

local function to(t, user, fields)
  return t:mail { from = "x@far.example", to = at(user), text = fields and fields .. "\nhello\n" }
end

spec.case("set_header: one field, in place of all of that name, in the copy of its recipients", function(t)
  local r = t:mail { from = "x@far.example", to = { at "set", at "plain" }, text = "X-Checked: no\nX-CHECKED: no\n\n" }
  local header = r:to(at "set"):expect_header("X-Checked", "yes, grüße").outcomes[1].header
  spec.equal(select(2, header:lower():gsub("x%-checked:", "")), 1, "fields of that name")
  r:to(at "plain"):expect_header("X-Checked", "no")
end)

spec.case("remove_header: all fields of these names", function(t)
  local fields = "Bcc: a@far.example\nbcc: b@far.example\nX-Old: 1\nX-Older: 2\n"
  to(t, "remove", fields):expect_no_header "Bcc":expect_no_header "X-Old":expect_header "X-Older"
  to(t, "plain", fields):expect_header "Bcc":expect_header "X-Old"
end)

spec.case("remove_header_prefix: all fields whose names begin so", function(t)
  local fields = "X-Spam-Score: 1\nx-spam-flag: NO\nX-Spam: a\n"
  to(t, "prefix", fields):expect_no_header "X-Spam-Score":expect_no_header "X-Spam-Flag":expect_header "X-Spam"
  to(t, "plain", fields):expect_header "X-Spam-Score"
end)

spec.case("subject_prefix: once", function(t)
  to(t, "subject", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n"):expect_header("Subject", "[external] Grüße")
  to(t, "subject", "Subject: [external] x\n"):expect_header("Subject", "[external] x")
  to(t, "subject", "From: <x@far.example>\n"):expect_header("Subject", "[external]")
  to(t, "plain", "Subject: x\n"):expect_header("Subject", "x")
end)

spec.case("require_message_id: where there is none", function(t)
  to(t, "id", "Subject: x\n"):expect_header "Message-ID"
  to(t, "id", "Message-ID: <1@far.example>\n"):expect_header("Message-ID", "<1@far.example>")
  to(t, "plain", "Subject: x\n"):expect_no_header "Message-ID"
end)

spec.case("postmaster_alias: at every domain of ours, for one account", function(t)
  t:account(at "admin"):domain "example.net"
  local r = t:mail { from = "x@far.example", to = { "postmaster@example.net", at "plain" } }
  spec.equal(r.outcomes[1].account, at "admin", "who gets postmaster's mail")
  r:to(at "plain"):expect_delivered(at "plain")
end)

spec.case("postmaster_alias to nobody: the mail comes again", function(t)
  t:domain "example.net":answer("directory.find", at "admin", "nobody")
  t:mail { from = "x@far.example", to = "postmaster@example.net" }:expect_refused(451)
end)

spec.case("lower_case_recipient: local parts of ours", function(t)
  t:account(at "case")
  local r = t:mail { from = "x@far.example", to = "CASE@example.org" }
  spec.equal(r:expect_delivered(at "case"):expect_header("X-Folded").outcomes[1].action, "deliver", "what becomes of it")
  to(t, "plain"):expect_no_header "X-Folded"
end)

spec.case("sub_addressing: the tag is a folder", function(t)
  t:account(at "tag+work", at "tag"):account(at "tag-play", at "tag"):account(at "tag+a/b", at "tag")
  to(t, "tag+work"):expect_delivered(at "tag", "work")
  to(t, "tag-play"):expect_delivered(at "tag", "play")
  t:mail { from = "x@far.example", to = at "tag+a/b" }:expect_delivered(at "tag", "INBOX")
end)

spec.case("add_delivered_to: each copy has its address", function(t)
  local r = t:mail { from = "x@far.example", to = { at "delivered", at "plain" } }
  r:to(at "delivered"):expect_header("Delivered-To", at "delivered")
  r:to(at "plain"):expect_no_header "Delivered-To"
end)

spec.case("rewrite: by address or by domain, until none fits", function(t)
  t:account(at "bob"):account(at "ben"):account(at "info"):domain "example.net"
  t:account("info@example.net", at "plain"):account("ben@example.net", at "plain")
  for from, account in pairs { ["info@example.org"] = "bob", ["info@example.net"] = "bob", ["ben@example.net"] = "ben" } do
    local r = t:mail { from = "x@far.example", to = from }
    spec.equal(r.outcomes[1].account, at(account), "who gets mail for " .. from)
  end
  to(t, "plain"):expect_delivered(at "plain")
end)

spec.case("rewrite to nobody: the mail comes again", function(t)
  t:account(at "info"):answer("directory.find", at "bob", "nobody")
  to(t, "info"):expect_refused(451)
end)

spec.case("set_note and notes_to_headers: texts, numbers and flags", function(t)
  to(t, "note"):expect_header("X-Colour", "red"):expect_header("X-Number", "7"):expect_header("X-Flag", "yes")
    :expect_no_header "X-None"
  to(t, "plain"):expect_no_header "X-Colour"
end)

spec.case("remove_note: what it names, no other", function(t)
  to(t, "forgetful"):expect_no_header "X-Colour":expect_header("X-Number", "7")
end)

local function report(action, status)
  return "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    .. "--b\n\nsorry\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.far.example\n\n"
    .. "Final-Recipient: rfc822; x@far.example\nAction: " .. action .. "\nStatus: " .. status .. "\n--b--\n"
end

spec.case("classify_bounce: hard, soft, or no report", function(t)
  to(t, "report", report("failed", "5.1.1 (no such user)")):expect_header("X-Bounce", "hard"):expect_header("X-Status", "5.1.1")
  to(t, "report", report("failed", "5.2.2")):expect_header("X-Bounce", "soft")
  to(t, "report", report("delayed", "4.4.1")):expect_header("X-Bounce", "soft"):expect_header("X-Status", "4.4.1")
  to(t, "report", report("delivered", "2.0.0")):expect_no_header "X-Bounce"
  to(t, "report", "Subject: Undelivered Mail\n"):expect_no_header "X-Bounce"
end)

-- The line is in the log and the number in the metrics, where no spec looks: that the rules behind run is what is seen.
spec.case("log and count go on", function(t)
  to(t, "log"):expect_delivered(at "log", "INBOX")
  to(t, "count"):expect_delivered(at "count", "INBOX")
end)
