-- What quarantine.lua does as it is shipped.
local spec = require "postern.spec"
spec.scripts "quarantine.lua"

local ANN = { role = "submission", auth = "ann@example.org", tls = true, ip = "198.51.100.7" }

local function with_file(name, more)
  return "From: <x@far.example>\nSubject: a file\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    .. "--b\nContent-Type: text/plain\n\nsee there\n--b\nContent-Type: application/octet-stream\n"
    .. "Content-Disposition: attachment; filename=\"" .. name .. "\"\nContent-Transfer-Encoding: base64\n\n"
    .. (more or "AAAA") .. "\n--b--\n"
end

spec.before(function(t)
  t:account("ann@example.org", "ann@example.org")
  t:account("ben@example.org", "ben@example.org")
end)

spec.case("harmless mail is delivered", function(t)
  t:mail { from = "x@far.example", to = "ann@example.org", text = with_file "photo.jpg" }
    :expect_delivered("ann@example.org", "INBOX")
end)

spec.case("dangerous attachments wait, in any case and whoever sends them", function(t)
  for _, name in ipairs { "invoice.exe", "INVOICE.PDF.JS", "run.lnk", "photo.jpg.scr" } do
    t:mail { from = "x@far.example", to = "ann@example.org", text = with_file(name) }:expect_quarantined "dangerous"
  end
  t:mail { from = "ann@example.org", to = "x@far.example", client = ANN, text = with_file "a.exe" }
    :expect_quarantined "dangerous"
end)

spec.case("a dangerous name whose encoding hides it waits, too", function(t)
  t:mail { from = "x@far.example", to = "ann@example.org", text = with_file "=?utf-8?B?aW52b2ljZS5leGU=?=" }
    :expect_quarantined "dangerous"
end)

spec.case("strangers do not write in our name", function(t)
  for _, from in ipairs { "<ann@example.org>", "Ann <ANN@EXAMPLE.ORG>", "<x@far.example>, <ann@example.org>",
                          "\"ann@example.org\" <x@far.example>",
                          "ann@example.org <x@far.example>", "=?utf-8?Q?ann=40example.org?= <x@far.example>",
                          "Boss <boss@hr.example.org>", "us: <ann@example.org>;" } do
    t:mail { from = "x@far.example", to = "ben@example.org", text = "From: " .. from .. "\nSubject: pay this\n\nnow\n" }
      :expect_quarantined "in our name":expect_rule "spoofed"
  end
  t:mail { from = "ann@example.org", to = "ben@example.org",
           text = "From: <x@far.example>\nSender: <ann@example.org>\n\nhi\n" }
    :expect_quarantined "in our name"
end)

spec.case("our own people do, and servers that may", function(t)
  t:relay_network "192.0.2.128/25"
  local text = "From: <ann@example.org>\nSubject: hi\n\nhi\n"
  t:mail { from = "ann@example.org", to = "ben@example.org", client = ANN, text = text }:expect_delivered()
  t:mail { from = "list@far.example", to = "ben@example.org", client = { ip = "192.0.2.25" }, text = text }
    :expect_delivered()
  t:mail { from = "ann@example.org", to = "ben@example.org", client = { ip = "192.0.2.130" }, text = text }
    :expect_delivered()
end)

spec.case("a domain that only looks like ours is another's", function(t)
  t:mail { from = "x@far.example", to = "ben@example.org", text = "From: <ann@example.org.far.example>\n\nhi\n" }
    :expect_delivered()
end)

spec.case("very many recipients of a stranger wait", function(t)
  local many = {}
  for i = 1, 51 do
    many[i] = "u" .. i .. "@example.org"
    t:account(many[i], many[i])
  end
  t:mail { from = "x@far.example", to = many }:expect_quarantined "many recipients"
  t:mail { from = "ann@example.org", to = many, client = ANN }:expect_delivered()
end)

spec.case("strangers do not relay", function(t)
  t:mail { from = "x@far.example", to = "y@other.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)
