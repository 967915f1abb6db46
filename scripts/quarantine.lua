-- What is suspicious waits for an operator, and is neither lost nor answered: dangerous attachments, strangers who
-- write in the name of your own domain, strangers with very many recipients. Mailboxes are here, as in mailserver.lua.
--
-- Use it in postern.toml:
--
--   [pipeline]
--   scripts = ["scripts/quarantine.lua"]
--
-- An operator then works with
--
--   postern queue list --query held                    # what waits, and why
--   postern queue show ID                              # to whom, from whom; postern why ID tells the whole story
--   postern queue release ID                           # goes to where its addresses lead, past these rules
--   postern queue expire ID                            # is given up

local postern = require "postern"
local match, act = postern.match, postern.act

-- Domains in whose name no stranger writes, nor in that of names below them.
local OURS = { "example.org" }

-- Servers elsewhere that may all the same: mailing lists that your people write to, a newsletter service.
local FRIENDS = { "192.0.2.25" }

-- Programs and what starts them, also inside of zip archives.
local DANGEROUS = { "*.exe", "*.scr", "*.com", "*.pif", "*.bat", "*.cmd", "*.js", "*.jse", "*.vbs", "*.vbe", "*.wsf",
  "*.hta", "*.lnk", "*.msi", "*.jar", "*.ps1", "*.iso", "*.img", "*.vhd", "*.docm", "*.xlsm", "*.pptm",
  inside_zip = true }

-- More recipients than a stranger has at once.
local MANY = 50

-- Over the mx port, and neither logged in nor from a network that may relay.
local stranger = match.all_of {
  function(mail) return mail.session.role == "mx" end,
  -match.smtp_auth_successful, -match.smtp_is_auth_network, match.remote_addr_not_in_network(FRIENDS),
}

-- Whom the reader sees, whatever the envelope says: From and Sender, with the name that stands beside the address.
local function in_our_name(mail)
  for _, field in ipairs { "From", "Sender" } do
    local value = table.concat(mail:headers(field), "\n"):lower()
    for _, domain in ipairs(OURS) do
      if value:find("[@.]" .. domain:gsub("%p", "%%%0") .. "%f[^%w.-]") then return true end
    end
  end
  return false
end

postern.pipeline "root" {
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },   -- RFC 5321, section 6.3

  { name = "spoofed", when = stranger * in_our_name, act.count "quarantined", act.quarantine "a stranger in our name" },
  { name = "many", when = stranger * match.recipient_count_exceeds(MANY), act.count "quarantined",
    act.quarantine "a stranger with very many recipients" },
  -- Also from your own people: a machine of theirs may have caught something. Last, since it reads the body.
  { name = "dangerous", when = match.attachment_name_is(DANGEROUS), act.count "quarantined",
    act.quarantine "a dangerous attachment" },

  { name = "local", when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { name = "relay", when = match.relay_allowed, act.relay },
  { name = "denied", act.bounce("5.7.1", "relaying denied") },
}
