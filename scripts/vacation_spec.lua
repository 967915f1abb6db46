-- What vacation.lua does as it is shipped: ann is away from 2026-12-21 to 2027-01-06.
local spec = require "postern.spec"
local postern = require "postern"
spec.scripts "vacation.lua"

local function text(fields)
  return "From: <x@far.example>\nTo: <ann@example.org>\nSubject: lunch?\n" .. (fields or "") .. "\nhello\n"
end

spec.before(function(t)
  t:account("ann@example.org", "ann@example.org"):account("ben@example.org", "ben@example.org")
  t:clock(postern.time.parse_rfc3339 "2026-12-24T12:00:00Z")
end)

-- What the store says when it is asked whether this sender has had an answer: the how-manieth it would be. It is counted
-- when the answer is committed. The number in the key belongs to the answer's text. An answer also needs a random
-- number, for its Message-ID.
local function count(t, sender, nth)
  if nth == 1 then t:answer("random", "", "0.5") end
  t:answer("kv.get", 'memory "vacation/ann@example.org/5d81a33f/' .. sender .. '"', nth == 1 and "nothing" or '"1"')
end

spec.case("ann's mail is delivered, and answered in her words", function(t)
  count(t, "x@far.example", 1)
  local r = t:mail { from = "x@far.example", to = "ann@example.org", text = text() }
  r:expect_delivered("ann@example.org", "INBOX"):expect_brought(1)
  local answer = r.brought[1]:to "x@far.example"
  answer:expect_relayed():expect_sender "":expect_body "I am away until 6 January"
    :expect_header("Subject", "Auto: lunch?")
    :expect_header("From", "ann@example.org"):expect_header("Auto-Submitted", "auto-replied (vacation)")
end)

spec.case("the second mail of a sender is only delivered", function(t)
  count(t, "x@far.example", 2)
  t:mail { from = "x@far.example", to = "ann@example.org", text = text() }:expect_delivered():expect_brought(0)
end)

spec.case("ben is not away, and neither is ann before and after", function(t)
  t:mail { from = "x@far.example", to = "ben@example.org", text = text() }:expect_delivered():expect_brought(0)
  for _, day in ipairs { "2026-12-20T23:59:59Z", "2027-01-07T00:00:00Z" } do
    t:clock(postern.time.parse_rfc3339(day))
    t:mail { from = "x@far.example", to = "ann@example.org", text = text() }:expect_delivered():expect_brought(0)
  end
end)

spec.case("the first and the last day count", function(t)
  for _, day in ipairs { "2026-12-21T00:00:00Z", "2027-01-06T23:59:59Z" } do
    count(t, "x@far.example", 1)
    t:clock(postern.time.parse_rfc3339(day))
    t:mail { from = "x@far.example", to = "ann@example.org", text = text() }:expect_brought(1)
  end
end)

spec.case("lists, programs, reports and spam get no answer", function(t)
  for _, fields in ipairs { "List-Id: <x.far.example>\n", "Precedence: bulk\n", "Auto-Submitted: auto-replied\n",
                            "X-Auto-Response-Suppress: All\n" } do
    t:mail { from = "x@far.example", to = "ann@example.org", text = text(fields) }:expect_delivered():expect_brought(0)
  end
  for _, from in ipairs { "", "mailer-daemon@far.example", "crew-bounces@far.example", "owner-crew@far.example",
           "ann@example.org" } do
    t:mail { from = from, to = "ann@example.org", text = text() }:expect_delivered():expect_brought(0)
  end
end)

spec.case("mail that does not name ann in To or Cc gets none", function(t)
  t:mail { from = "x@far.example", to = "ann@example.org", text = "To: <everybody@far.example>\n\nbuy\n" }
    :expect_delivered():expect_brought(0)
end)

spec.case("two who are both away do not answer each other without end", function(t)
  count(t, "ben@example.org", 1)
  local r = t:mail { from = "ben@example.org", to = "ann@example.org", text = text(),
                     client = { role = "submission", auth = "ben@example.org", tls = true } }
  r:expect_brought(1)
  r.brought[1]:expect_delivered("ben@example.org"):expect_brought(0)
end)

spec.case("strangers do not relay", function(t)
  t:mail { from = "ann@example.org", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)
