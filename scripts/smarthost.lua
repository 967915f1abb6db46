-- A smarthost: all mail for the world leaves through a provider's server, another one for some sender domains if you
-- like, and a spare one when the first has failed for a while. Mail for mailboxes here stays here.
--
-- Use it in postern.toml. The hosts, the log-in and TLS stand in routes; this script only names them:
--
--   [delivery]
--   credentials_file = "/etc/postern/credentials"     # a line: name:user:password
--
--   [[delivery.route]]
--   name = "provider"
--   to = ["[smtp.provider.example]:587", "[smtp2.provider.example]:587"]   # the next one when one does not answer
--   credentials = "provider"                          # never sent without TLS and a certificate that fits
--
--   [pipeline]
--   scripts = ["scripts/smarthost.lua"]
--
-- Who may send to the world is decided by the relay gate ([relay]): people who have logged in, and networks that you
-- name. Strangers are refused before any rule here is asked.

local postern = require "postern"
local match, act = postern.match, postern.act

-- The route that takes all mail for the world. A host and port would do as well: "smtp.provider.example:25".
local PROVIDER = "provider"

-- Routes of their own for the mail of some sender domains.
local BY_SENDER = {
  -- ["shop.example"] = "shop-provider",
}

-- The route that is tried when a message has failed so often; nil: none. It must not need what has failed.
local SPARE, SPARE_AFTER = nil, 4

local root = {
  { name = "loop", when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },   -- RFC 5321, section 6.3
  { name = "local", when = match.recipient_is_local, act.deliver { folder = "INBOX" } },

  -- Nobody gets here by RCPT: the gate has refused what it does not let out.
  { name = "denied", when = -match.relay_allowed, act.bounce("5.7.1", "relaying denied") },
}
for domain, route in pairs(BY_SENDER) do
  table.insert(root, { name = "from " .. domain, when = match.sender_domain_is(domain), act.relay { gateway = route } })
end
-- All others, and reports of this server, whose sender is null.
table.insert(root, { name = "provider", act.relay { gateway = PROVIDER } })
postern.pipeline("root", root)

-- Asked anew before each attempt, so that mail returns to the provider by itself with the next message.
if SPARE then
  postern.on("route", { name = "spare" }, function(_, event)
    if event.attempts >= SPARE_AFTER then event.gateway = SPARE end
  end)
end
