-- Mailets that change bodies, or show the mail to a service.
local spec = require "postern.spec"
local postern = require "postern"
spec.scripts "changing_mailets.lua"

local function at(user)
  return user .. "@example.org"
end

spec.before(function(t)
  for _, name in ipairs { "plain", "footer", "replace", "wrap", "unwrap", "strip", "strip-all", "text", "seven", "post",
                          "post-header" } do
    t:account(at(name))
  end
end)

local function to(t, user, text)
  return t:mail { from = "x@far.example", to = at(user), text = text }
end

-- With LF, and without the empty line that ends the header: `body` begins with it.
local function body_of(r)
  return (r:expect_delivered().outcomes[1].body:gsub("\r", ""):gsub("^\n", ""))
end

local function lacks(r, text)
  local body = body_of(r)
  if body:find(text, 1, true) then error("\"" .. text .. "\" is still there:\n" .. body, 2) end
  return r
end

local function of_parts(kind, ...)
  local text = "Subject: parts\nMIME-Version: 1.0\nContent-Type: multipart/" .. kind .. "; boundary=b\n\n"
  for _, part in ipairs { ... } do text = text .. "--b\n" .. part .. "\n" end
  return text .. "--b--\n"
end
local PLAIN = "Content-Type: text/plain; charset=utf-8\n\nthe text"
local HTML = "Content-Type: text/html; charset=utf-8\n\n<body><b>the text</b></body>"
local function file(name, kind)
  return "Content-Type: " .. (kind or "application/octet-stream") .. "\nContent-Disposition: attachment; filename=" .. name
    .. "\n\noctets of " .. name
end

spec.case("add_footer: under plain text and before the end of HTML, for its recipients only", function(t)
  local text = of_parts("alternative", PLAIN, HTML)
  local r = t:mail { from = "x@far.example", to = { at "footer", at "plain" }, text = text }
  r:to(at "footer"):expect_body "Example Inc. &":expect_body "<p>Example Inc.</p>"
  lacks(r:to(at "plain"), "Example Inc.")
end)

spec.case("add_footer writes in the text's transfer encoding", function(t)
  local fields = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
  to(t, "footer", fields .. "quoted-printable\n\nGr=C3=BC=C3=9Fe\n"):expect_body "Gr=C3=BC=C3=9Fe":expect_body "S=C3=B6hne"
  local r = to(t, "footer", fields .. "base64\n\nR3LDvMOfZQo=\n"):expect_header("Content-Transfer-Encoding", "base64")
  spec.equal((postern.base64.decode((body_of(r):gsub("%s", ""))):gsub("\r", "")), "Grüße\nExample Inc. & Söhne\n", "the text")
end)

spec.case("add_footer: a text in another charset becomes UTF-8 when its octets would not be the same", function(t)
  local fields = "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\n"
    .. "Content-Transfer-Encoding: quoted-printable\n\n"
  local r = to(t, "footer", fields .. "Gr=FC=DFe\n"):expect_body "Gr=C3=BC=C3=9Fe":expect_body "S=C3=B6hne"
  spec.equal(r.outcomes[1].header:find "charset=\"?utf%-8" ~= nil, true, "the field says so")
end)

spec.case("replace_content: in the subject, plain texts and HTML", function(t)
  to(t, "replace", "Subject: [SPAM] offer\n\nsecret1 a\n"):expect_header("Subject", "offer"):expect_body "hidden1 b"
  lacks(to(t, "replace", of_parts("alternative", PLAIN, "Content-Type: text/html\n\n<script>secret1")), "<script>")
    :expect_body "secret1"
  to(t, "plain", "Subject: [SPAM] offer\n\nsecret1 a\n"):expect_header("Subject", "[SPAM] offer"):expect_body "secret1 a"
end)

local LONG = "one two three four five six seven eight nine ten"

spec.case("wrap: long lines are broken so that they can be joined", function(t)
  local r = to(t, "wrap", "Subject: x\n\n" .. LONG .. "\n")
  local body = body_of(r)
  for line in body:gmatch "[^\n]+" do spec.equal(#line <= 30, true, "\"" .. line .. "\" is short") end
  spec.equal((body:gsub(" \n", " ")), LONG .. "\n", "the text, joined")
  spec.equal(r.outcomes[1].header:find "format=\"?flowed" ~= nil, true, "the field says so")
  to(t, "wrap", "Subject: x\n\nshort\n"):expect_no_header "Content-Type"
  to(t, "plain", "Subject: x\n\n" .. LONG .. "\n"):expect_body(LONG)
end)

spec.case("unwrap: what came as format=flowed is joined", function(t)
  local fields = "MIME-Version: 1.0\nContent-Type: text/plain; format=flowed\n\n"
  local r = to(t, "unwrap", fields .. "one two \nthree\nfour\n")
  spec.equal(body_of(r), "one two three\nfour\n", "the text")
  spec.equal(r.outcomes[1].header:find("flowed", 1, true), nil, "the field's parameter")
  spec.equal(body_of(to(t, "unwrap", "Subject: x\n\none two \nthree\n")), "one two \nthree\n", "a text that is not flowed")
end)

spec.case("strip_attachment: by name or type, and a text stands there", function(t)
  local text = of_parts("mixed", PLAIN, file "run.EXE", file "list.pdf", file("cat.png", "image/png"))
  local r = to(t, "strip", text):expect_body "[run.EXE is gone]":expect_body "[cat.png is gone]"
    :expect_body "octets of list.pdf":expect_body "the text":expect_header("X-Stripped", "run.EXE, cat.png")
  lacks(lacks(r, "octets of run"), "octets of cat")
  to(t, "plain", text):expect_body "octets of run.EXE"
  to(t, "strip", of_parts("mixed", PLAIN)):expect_no_header "X-Stripped"
end)

spec.case("strip_attachment without names takes all attachments", function(t)
  lacks(to(t, "strip-all", of_parts("mixed", PLAIN, file "list.pdf")), "octets of"):expect_body "the text"
    :expect_body "list.pdf"
end)

spec.case("only_text: the plain text, else HTML", function(t)
  local r = to(t, "text", of_parts("mixed", PLAIN, HTML, file "list.pdf"))
  r:expect_header("Content-Type", "text/plain; charset=utf-8"):expect_header("Subject", "parts")
  spec.equal((body_of(r):gsub("\n", "")), "the text", "the whole body")
  lacks(to(t, "text", of_parts("mixed", HTML, file "list.pdf")), "octets"):expect_body "<b>the text</b>"
  to(t, "plain", of_parts("mixed", PLAIN, file "list.pdf")):expect_body "octets of list.pdf"
end)

spec.case("convert_to_7bit: no octet above 127 is left", function(t)
  local text = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n"
  local r = to(t, "seven", text):expect_body "Gr=C3=BC=C3=9Fe":expect_header("Content-Transfer-Encoding", "quoted-printable")
  spec.equal(body_of(r):find "[\128-\255]", nil, "octets above 127")
  to(t, "plain", text):expect_body "Grüße"
end)

-- The question has the hash of what is posted: the mail as a recipient of it would get it here.
local function posted(method_and_url, octets)
  return ("%s [%d octets, sha256 %s]"):format(method_and_url, #octets, postern.hash.sha256(octets):sub(1, 32))
end

spec.case("http_post: a service sees the mail, and its answer is a note", function(t)
  local seen = to(t, "plain").outcomes[1]
  t:answer("http", posted("POST https://hooks.example.net/mail", seen.header .. seen.body), "204 - 0 octets\n\n")
  to(t, "post"):expect_delivered():expect_header("X-Answer", "204")
end)

spec.case("http_post: only the header, and no answer but 2xx is good enough", function(t)
  local seen = to(t, "plain").outcomes[1]
  local question = posted("POST https://hooks.example.net/header", seen.header)
  t:answer("http", question, "200 text/plain 2 octets\n\nok")
  to(t, "post-header"):expect_delivered():expect_no_header "X-Answer"
  t:answer("http", question, "500 - 0 octets\n\n")
  to(t, "post-header"):expect_refused(451)
end)
