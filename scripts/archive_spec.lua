-- What archive.lua does as it is shipped.
local spec = require "postern.spec"
spec.scripts "archive.lua"

local ANN = { role = "submission", auth = "ann@example.org", tls = true, ip = "198.51.100.7" }

spec.before(function(t)
  for _, name in ipairs { "ann", "ben", "archive", "postmaster" } do
    t:account(name .. "@example.org", name .. "@example.org")
  end
end)

local function the_copy(result)
  spec.equal(#result.brought, 1, "copies")
  local copy = result.brought[1]
  spec.equal(copy.sender, "postmaster@example.org", "who hears of failures")
  return copy:expect_delivered("archive@example.org", "INBOX")
end

spec.case("mail for ann is archived with its envelope, and she sees nothing of it", function(t)
  local r = t:mail { from = "x@far.example", to = { "ann@example.org", "ben@example.org" },
           text = "To: <ann@example.org>\n\nhi\n" }
  r:expect_delivered():expect_no_header "X-Journal-To":expect_no_header "X-Journal-From"
  the_copy(r):expect_header("X-Journal-From", "<x@far.example>")
    :expect_header("X-Journal-To", "<ann@example.org>, <ben@example.org>")
    :expect_header("X-Journal-Client", "203.0.113.1"):expect_body "hi"
end)

spec.case("what ann sends is archived, with her log-in", function(t)
  local r = t:mail { from = "ann@example.org", to = "x@far.example", client = ANN }
  r:expect_relayed()
  the_copy(r):expect_header("X-Journal-User", "ann@example.org"):expect_header("X-Journal-To", "<x@far.example>")
end)

spec.case("mail of others is not", function(t)
  t:mail { from = "x@far.example", to = "ben@example.org" }:expect_delivered():expect_brought(0)
end)

spec.case("a report to ann is archived; the copy's sender is not null, so that it is no report", function(t)
  the_copy(t:mail { from = "", to = "ann@example.org" }):expect_header("X-Journal-From", "<>")
end)

spec.case("fields that a stranger made up are not in the archive", function(t)
  local r = t:mail { from = "x@far.example", to = "ann@example.org",
                     text = "X-Journal-From: <boss@example.org>\nX-Journal-User: boss\n\nhi\n" }
  spec.equal(the_copy(r):expect_no_header("X-Journal-User")
    .outcomes[1].header:find("boss", 1, true), nil, "the forged field")
end)

spec.case("a mail with very many recipients is archived with all of them", function(t)
  local many = { "ann@example.org" }
  for i = 2, 250 do
    many[i] = ("u%04d.%s@example.org"):format(i, ("x"):rep(50))
    t:account(many[i], many[i])
  end
  local _, count = the_copy(t:mail { from = "x@far.example", to = many })
    .outcomes[1].header:gsub("%.x+@example%.org>", "")
  spec.equal(count, 249, "recipients in the copy's header")
end)

spec.case("strangers do not relay, and their attempts are not archived", function(t)
  t:mail { from = "ann@example.org", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
    :expect_brought(0)
end)
