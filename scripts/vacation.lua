-- Answers for people who are away, between two dates: once in some days for each sender, never to lists, programs,
-- reports, or those whom To and Cc do not concern (RFC 3834). Mailboxes are here, as in mailserver.lua.
--
-- Use it in postern.toml:
--
--   [pipeline]
--   kv = "memory"                      # remembers who has been answered, until a restart; a [[redis]] remembers longer
--   scripts = ["scripts/vacation.lua"]
--
-- Change the table and run `postern reload`. The texts may stand in a file beside the script just as well: see AWAY.

local postern = require "postern"
local match, act = postern.match, postern.act

-- Who is away, from the first day to the last, both included, in UTC. Or, in a file away.toml of lines like
--   "ann@example.org" = "2026-12-21 2027-01-06 I am away until 6 January."
-- with: local AWAY = {}
--       for who, line in pairs(postern.map.file "away.toml") do
--         local first, last, text = line:match "^(%S+) (%S+) (.+)$"
--         AWAY[who] = { first = first, last = last, text = text }
--       end
local AWAY = {
  ["ann@example.org"] = {
    first = "2026-12-21", last = "2027-01-06",
    text = "I am away until 6 January and read no mail. The office (office@example.org) will help you.",
  },
}

-- A sender is not answered again for so long.
local DAYS = 7

local function entry(recipient)
  return AWAY[(recipient.user .. "@" .. recipient.domain):lower()]
end

local function is_away(mail)
  local today = os.date "!%Y-%m-%d"
  return mail:recipients_where(function(recipient)
    local away = entry(recipient)
    return away and away.first <= today and today <= away.last
  end)
end

-- The text that act.vacation sends for a recipient is their note "vacation".
local function say_what(mail)
  for _, recipient in ipairs(mail.recipients) do
    recipient.notes.vacation = entry(recipient).text
  end
end

postern.pipeline "root" {
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },   -- RFC 5321, section 6.3

  -- Spam is filed before anybody answers it.
  { name = "junk", when = match.is_marked_as_spam * match.recipient_is_local, act.deliver { folder = "Junk" } },

  -- Goes on: the mail is delivered below.
  { name = "away", when = match.recipient_is_local * is_away, say_what, act.vacation { days = DAYS } },

  { name = "local", when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { name = "relay", when = match.relay_allowed, act.relay },   -- the answers, too
  { name = "denied", act.bounce("5.7.1", "relaying denied") },
}
