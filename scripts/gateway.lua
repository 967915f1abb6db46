-- A gateway in front of another mail server: it takes mail for your domains from the world, looks at it, and hands it
-- on.
--
-- Use it in postern.toml:
--
--   [[domain]]
--   name = "example.org"
--   kind = "relay"              # ours, but its mailboxes are on the other server
--
--   [pipeline]
--   scripts = ["scripts/gateway.lua"]
--
-- Relaying for strangers is refused by the relay gate, before any rule here is asked. Your own server may send out
-- through the gateway when its network stands under [[relay.network]].

local postern = require "postern"
local match, act, dns = postern.match, postern.act, postern.dns

-- Your domains, as under [[domain]].
local DOMAINS = { "example.org" }

-- The server behind: its address in your network, and how to talk to it.
local INSIDE = { gateway = "10.0.0.25:25", tls = "may" }

-- Lists of addresses that send spam. Mind their terms of use; leave the table empty to ask none.
local LISTS = { "zen.spamhaus.org" }

-- Ask all lists at once, when the first recipient is named. A list that does not answer decides nothing.
postern.on("rcpt", { role = "mx", name = "lists", on_error = "skip" }, function(session, rcpt)
  if rcpt.user == "postmaster" or session.notes.lists_passed then return end   -- RFC 5321, section 4.5.1
  local questions = {}
  for _, list in ipairs(LISTS) do
    questions[list] = function() return dns.a(session.client.ip:reversed() .. "." .. list) end
  end
  local answers, errors = postern.all(questions)
  for list, answer in pairs(answers) do
    if answer:any_in "127.0.0.0/24" then                -- not 127.255.255.x: that says "do not ask me"
      return postern.reject(550, "5.7.1", "listed by " .. list)
    end
  end
  session.notes.lists_passed = next(errors) == nil       -- once for each session
end)

postern.pipeline "root" {
  { name = "loop", when = match.relay_limit(100),       act.bounce("5.4.6", "mail loop") },
  { name = "big",  when = match.size_over "50 MiB",     act.bounce("5.3.4", "message too big") },

  -- Mail for your domains goes to the server behind.
  { name = "inside",  when = match.recipient_domain_is(DOMAINS), act.relay(INSIDE) },

  -- From your server, or somebody who has logged in, to the world: the gate let it out. By MX.
  { name = "outside", when = match.relay_allowed,       act.relay },

  -- Nobody gets here by RCPT: the gate has refused all others.
  { name = "denied",                                    act.bounce("5.7.1", "relaying denied") },
}
