-- Matchers of the message: the mail that is selected, and one that is not.
local spec = require "postern.spec"
local postern = require "postern"
spec.scripts "message_matchers.lua"

local ANN = "ann@example.org"

spec.before(function(t)
  for _, name in ipairs { "ann", "spam", "maybe", "counted" } do t:account(name .. "@example.org") end
end)

local function with(t, fields, body)
  return t:mail { from = "x@far.example", to = ANN, text = fields .. "\n" .. (body or "hello\n") }
end

-- A mail of a text and another part.
local function of_parts(t, fields, content)
  return with(t, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n",
              "--b\nContent-Type: text/plain\n\nsee\n--b\n" .. fields .. "\n" .. (content or "x\n") .. "--b--\n")
end

spec.case("relay_limit: three Received fields, and two", function(t)
  local field = "Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n"
  with(t, field:rep(3)):expect_header "relay_limit"
  with(t, field:rep(2)):expect_no_header "relay_limit"
end)

spec.case("size_over: above 1 KiB, and below", function(t)
  with(t, "Subject: x\n", ("x"):rep(63, "") .. "\n" .. (("x"):rep(63) .. "\n"):rep(16)):expect_header "size_over"
  with(t, "Subject: x\n", (("x"):rep(63) .. "\n"):rep(15)):expect_no_header "size_over"
end)

spec.case("has_header: a field in any case, and its whole value decoded", function(t)
  with(t, "x-loop: a\n"):expect_header "has_header":expect_no_header "has_header_value"
  with(t, "X-Loop: =?utf-8?Q?k=C3=BCche?=\n"):expect_header "has_header_value"
  with(t, "X-Loop: =?utf-8?Q?k=C3=BCchen?=\n"):expect_no_header "has_header_value"
  with(t, "X-Loops: a\n"):expect_no_header "has_header"
end)

spec.case("compare_numeric_header reads the number at the start of a field", function(t)
  with(t, "X-Score: 5.2 / 10\n"):expect_header "compare_numeric_header"
  with(t, "X-Score: 5\n"):expect_header "compare_numeric_header"
  with(t, "X-Score: 4.99\n"):expect_no_header "compare_numeric_header"
  with(t, "X-Score: high\n"):expect_no_header "compare_numeric_header"
  with(t, "Subject: 9\n"):expect_no_header "compare_numeric_header"
  with(t, "X-Score: -0.5\n"):expect_header "score_below"
  with(t, "X-Score: 0\n"):expect_no_header "score_below"
end)

spec.case("subject_is compares the decoded subject", function(t)
  with(t, "Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\n"):expect_header "subject_is"
  with(t, "Subject: Re: =?iso-8859-1?Q?Gr=FC=DFe?=\n"):expect_no_header "subject_is"
end)

spec.case("subject_starts_with, in any case", function(t)
  with(t, "Subject: [TICKET 7] help\n"):expect_header "subject_starts_with"
  with(t, "Subject: Re: [ticket 7] help\n"):expect_no_header "subject_starts_with"
end)

spec.case("has_mime_type is about the message itself", function(t)
  with(t, "MIME-Version: 1.0\nContent-Type: Image/PNG; name=a\n"):expect_header "has_mime_type"
  of_parts(t, "Content-Type: image/png\n"):expect_no_header "has_mime_type":expect_no_header "has_plain_text"
  with(t, "Subject: x\n"):expect_header "has_plain_text"
end)

spec.case("is_smime_signed and is_smime_encrypted", function(t)
  local function typed(value) return with(t, "MIME-Version: 1.0\nContent-Type: " .. value .. "\n") end
  typed "multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b"
    :expect_header "is_smime_signed":expect_no_header "is_smime_encrypted"
  typed "application/pkcs7-mime; smime-type=signed-data":expect_header "is_smime_signed":expect_no_header "is_smime_encrypted"
  typed "application/pkcs7-mime; smime-type=enveloped-data":expect_no_header "is_smime_signed":expect_header "is_smime_encrypted"
  typed "multipart/signed; protocol=\"application/pgp-signature\"; boundary=b":expect_no_header "is_smime_signed"
end)

spec.case("has_note: one of ours, with its value", function(t)
  with(t, "Subject: score\n"):expect_header "has_note":expect_header "has_note_value":expect_no_header "has_note_other"
  with(t, "Subject: high score\n"):expect_header "has_note":expect_header "has_note_other":expect_no_header "has_note_value"
  with(t, "Subject: x\nscore: 5\n"):expect_no_header "has_note":expect_no_header "has_note_value"
end)

spec.case("is_marked_as_spam: recipients whose note is true, whatever a header field says", function(t)
  local r = t:mail { from = "x@far.example", to = { "spam@example.org", "maybe@example.org", ANN }, text = "X-Spam: yes\n\n" }
  r:to("spam@example.org"):expect_header "is_marked_as_spam"
  r:to("maybe@example.org"):expect_no_header "is_marked_as_spam"
  r:to(ANN):expect_no_header "is_marked_as_spam"
end)

spec.case("has_priority: in the bounds, or exactly", function(t)
  with(t, "Subject: urgent\n"):expect_header "has_priority":expect_no_header "has_low_priority"
  with(t, "Subject: slow\n"):expect_no_header "has_priority":expect_header "has_low_priority":expect_no_header "has_no_priority"
  with(t, "Subject: x\n"):expect_no_header "has_priority":expect_header "has_no_priority"
end)

spec.case("has_attachment: by disposition, or by a name on what is no text", function(t)
  of_parts(t, "Content-Type: text/plain\nContent-Disposition: attachment\n"):expect_header "has_attachment"
  of_parts(t, "Content-Type: image/png; name=a.png\n"):expect_header "has_attachment"
  of_parts(t, "Content-Type: text/html\n"):expect_no_header "has_attachment"
  with(t, "Subject: x\n"):expect_no_header "has_attachment"
end)

spec.case("has_mime_type_any_part, at any depth", function(t)
  of_parts(t, "Content-Type: application/PDF\n"):expect_header "has_mime_type_any_part"
  of_parts(t, "Content-Type: multipart/related; boundary=c\n", "--c\nContent-Type: image/gif\n\nx\n--c--\n")
    :expect_header "has_mime_type_any_part"
  of_parts(t, "Content-Type: application/zip\n"):expect_no_header "has_mime_type_any_part"
end)

spec.case("attachment_name_is, by masks", function(t)
  local function named(name) return of_parts(t, "Content-Disposition: attachment; filename=\"" .. name .. "\"\n") end
  named "Invoice.EXE":expect_header "attachment_name_is"
  named "a.js":expect_header "attachment_name_is"
  named "ab.js":expect_no_header "attachment_name_is"
  named "exe.txt":expect_no_header "attachment_name_is"
  with(t, "Subject: a.exe\n"):expect_no_header "attachment_name_is"
end)

spec.case("attachment_name_is looks into zip archives when it is told to", function(t)
  -- A local file header without a content (APPNOTE 4.3.7): its signature, 22 octets, the lengths of name and extra field.
  local function zip(name)
    return postern.base64.encode("PK\3\4\20" .. ("\0"):rep(21) .. string.char(#name) .. "\0\0\0" .. name) .. "\n"
  end
  local fields = "Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n"
  of_parts(t, fields, zip "run.exe"):expect_header "attachment_name_in_zip":expect_no_header "attachment_name_is"
  of_parts(t, fields, zip "run.txt"):expect_no_header "attachment_name_in_zip"
end)

spec.case("at_most: the second mail, and the third", function(t)
  local function nth(number)
    t:answer("at_most", "probe", number)
    return t:mail { from = "x@far.example", to = "counted@example.org" }
  end
  nth "2":expect_header "at_most"
  nth "3":expect_no_header "at_most"
end)
