-- Journaling: a copy of each mail from or to some people, or of all mail, goes to an archive mailbox, with the envelope
-- in header fields, since Bcc and lists do not show in To. Nobody who gets the mail sees any of it.
--
-- Use it in postern.toml. The archive needs a mailbox, here or (with [relay] forward_aliases) elsewhere:
--
--   [[account]]
--   name = "archive@example.org"
--   password = "!"                                    # or one for whoever may look at it
--
--   [pipeline]
--   scripts = ["scripts/archive.lua"]
--
-- The copy is committed with the mail: one 250 covers both, and when the archive cannot be written to, the client is
-- told to try again; so it is as long as there is no such mailbox. Reports about the archive go to postmaster, never to
-- those who wrote.

local postern = require "postern"
local match, act = postern.match, postern.act

local ARCHIVE = "archive@example.org"
local POSTMASTER = "postmaster@example.org"

-- Whose mail is kept. An empty table keeps everybody's.
local PEOPLE = {
  ["ann@example.org"] = true,
}

local function is_concerned(mail)
  if next(PEOPLE) == nil or PEOPLE[mail.sender:lower()] then return true end
  for _, recipient in ipairs(mail.recipients) do
    if PEOPLE[(recipient.user .. "@" .. recipient.domain):lower()] then return true end
  end
  return false
end

-- Fields of this name that came with the mail are not ours.
local FIELDS = { "X-Journal-From", "X-Journal-To", "X-Journal-Client", "X-Journal-User" }

local function write_envelope(mail)
  for _, name in ipairs(FIELDS) do mail:remove_header(name) end
  mail:add_header("X-Journal-From", "<" .. mail.sender .. ">")
  local to = {}
  for _, recipient in ipairs(mail.recipients) do table.insert(to, "<" .. recipient.address .. ">") end
  for i = 1, #to, 100 do                -- a field for each hundred
    mail:add_header("X-Journal-To", table.concat(to, ", ", i, math.min(i + 99, #to)))
  end
  mail:add_header("X-Journal-Client", tostring(mail.session.client.ip))
  if mail.session.auth.user then mail:add_header("X-Journal-User", mail.session.auth.user) end
end

postern.pipeline "root" {
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },   -- RFC 5321, section 6.3

  -- First, so that no other rule has changed or taken anything. What rules bring in (this copy, mail of lists, notices)
  -- is not archived again.
  { name = "archive", when = -match.sent_by_mailet * is_concerned,
    write_envelope,
    act.redirect { to = ARCHIVE, sender = POSTMASTER, keep = true },
    act.remove_header(FIELDS) },

  { name = "local", when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { name = "relay", when = match.relay_allowed, act.relay },
  { name = "denied", act.bounce("5.7.1", "relaying denied") },
}
