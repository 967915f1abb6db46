-- A mail server with mailboxes here: what happens to each mail.
--
-- Use it in postern.toml:
--
--   [pipeline]
--   scripts = ["scripts/mailserver.lua"]
--
-- Who may send mail to the rest of the world is not decided here but by the relay gate ([relay] in postern.toml):
-- people who have logged in, and networks that you name. A script cannot open it, only narrow it.

local postern = require "postern"
local match, act = postern.match, postern.act

-- While a stranger's session waits for its answer to RCPT. What is refused here never becomes our mail, so that nothing
-- must be bounced later. Unknown users and foreign domains are refused by the gate before this is asked.
postern.on("rcpt", { role = "mx", name = "trap" }, function(_, rcpt)
  -- An address that nobody uses and that stands hidden in a web page: whoever writes to it collects addresses.
  if rcpt.user == "spamtrap" then
    return postern.reject(550, "5.7.1", "not accepted")
  end
end)

-- Every mail begins in "root". Rules run in order; each takes the recipients that its `when` selects.
postern.pipeline "root" {
  -- A mail with so many Received lines goes in circles (RFC 5321, section 6.3).
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },

  -- Recipients with a mailbox here.
  { name = "local", when = match.recipient_is_local, act.go "local" },

  -- What the gate let out: to other servers, by MX.
  { name = "relay", when = match.relay_allowed, act.relay },

  -- Nobody gets here by RCPT: the gate has refused all others. Kept as the last word of this pipeline.
  { name = "denied", act.bounce("5.7.1", "relaying denied") },
}

postern.pipeline "local" {
  -- Marked by a scanner or rule of ours (a note); headers that came with the mail are not believed.
  { name = "junk", when = match.is_marked_as_spam, act.deliver { folder = "Junk" } },
  { name = "inbox", act.deliver { folder = "INBOX" } },
}
