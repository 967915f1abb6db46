-- Mailets that refuse mail, settle where it goes, or when.
local spec = require "postern.spec"
spec.scripts "settling_mailets.lua"

local ROBOT = { role = "submission", auth = "robot@example.org", tls = true }

local function at(user)
  return user .. "@example.org"
end

spec.before(function(t)
  for _, name in ipairs { "plain", "bounce", "bounce-later", "defer", "reject", "discard", "quarantine", "go", "deliver",
                          "hold", "priority", "limit-sender", "limit-user", "limit-client",
                          "one", "two", "three", "four", "five" } do
    t:account(at(name))
  end
end)

local function to(t, user, client)
  return t:mail { from = "x@far.example", to = at(user), client = client }
end

spec.case("bounce refuses while the session waits, for good or for now", function(t)
  to(t, "bounce"):expect_refused(550, "5.7.1", "not accepted"):expect_rule "bounce"
  to(t, "bounce-later"):expect_refused(450, "4.7.1", "not now")
  to(t, "plain"):expect_delivered(nil, "INBOX")
end)

spec.case("bounce makes a report where others get the mail", function(t)
  local r = t:mail { from = "x@far.example", to = { at "bounce", at "plain" } }
  r:to(at "bounce"):expect_bounced(550, "5.7.1")
  r:to(at "plain"):expect_delivered()
end)

spec.case("defer: the client is to come back", function(t)
  to(t, "defer"):expect_refused(452, "4.2.2", "come back later"):expect_stage "message"
end)

spec.case("reject: never", function(t)
  to(t, "reject"):expect_refused(554, "5.6.0", "never"):expect_stage "message"
end)

spec.case("discard: accepted, and nobody gets it", function(t)
  local r = t:mail { from = "x@far.example", to = { at "discard", at "plain" } }
  r:expect_accepted():to(at "discard"):expect_discarded "honeypot"
  r:to(at "plain"):expect_delivered()
end)

spec.case("quarantine: accepted, and kept", function(t)
  to(t, "quarantine"):expect_accepted():expect_quarantined "looks like malware"
end)

spec.case("go: another pipeline decides", function(t)
  to(t, "go"):expect_delivered(at "go", "Other"):expect_rule "elsewhere"
  to(t, "plain"):expect_delivered(nil, "INBOX")
end)

spec.case("deliver: to the folder that it names", function(t)
  to(t, "deliver"):expect_delivered(at "deliver", "Lists/crew")
  to(t, "plain"):expect_delivered(at "plain", "INBOX")
end)

spec.case("relay: by the gateway, TLS and address that it names, or by MX", function(t)
  t:relay_network "203.0.113.0/24"
  local r = t:mail { from = "x@far.example", to = { "relay@far.example", "zoe@far.example" } }
  r:to("relay@far.example"):expect_relayed { gateway = "mx.partner.example:26", tls = "verify", source = "192.0.2.1" }
  spec.equal(r:to("zoe@far.example"):expect_relayed().outcomes[1].options.gateway, nil, "the gateway of other mail")
end)

spec.case("relay is not for whom the gate keeps in", function(t)
  t:mail { from = "x@far.example", to = "relay@far.example" }:expect_refused(550, "5.7.1"):expect_rule "gate"
end)

-- When a delivery begins is told by the story only.
spec.case("hold: delivered, ten minutes later", function(t)
  local function held(r) return r:expect_delivered(nil, "INBOX").story:find("hold decided: hold 600 s", 1, true) ~= nil end
  spec.equal(held(to(t, "hold")), true, "the mail waits")
  spec.equal(held(to(t, "plain")), false, "other mail waits")
end)

spec.case("priority: what rules behind it see, and the trail says", function(t)
  local r = to(t, "priority"):expect_delivered():expect_header "X-Slow"
  spec.equal(r.story:find("priority: -3", 1, true) ~= nil, true, "the trail says so")
  to(t, "plain"):expect_no_header "X-Slow"
end)

spec.case("split: two at once, two five minutes later, and one after ten", function(t)
  local r = t:mail { from = "x@far.example", to = { at "one", at "two", at "three", at "four", at "five", at "plain" } }
  r:expect_delivered()
  for name, batch in pairs { one = false, two = false, three = "X-Second", four = "X-Second", five = "X-Third", plain = false } do
    for _, field in ipairs { "X-Second", "X-Third" } do
      local own = r:to(at(name))
      if field == batch then own:expect_header(field) else own:expect_no_header(field) end
    end
  end
end)

spec.case("split leaves those together who are one batch", function(t)
  t:mail { from = "x@far.example", to = { at "one", at "two", at "plain" } }:expect_delivered()
    :expect_no_header "X-Second":expect_no_header "X-Third"
end)

spec.case("rate_limit of a sender: two mails in an hour, and the third waits", function(t)
  local question = "x@far.example sender/mails/3600000000000/"
  t:answer("rate_limit", question, "2 of 2")
  to(t, "limit-sender"):expect_delivered()
  t:answer("rate_limit", question, "2 of 2, passed")
  to(t, "limit-sender"):expect_refused(451, "4.7.1", "too much mail")
end)

spec.case("rate_limit of a user counts recipients, and nobody who has not logged in", function(t)
  t:answer("rate_limit", "robot@example.org user/recipients/3600000000000/people", "200 of 200, passed")
  to(t, "limit-user", ROBOT):expect_refused(451, "4.7.1")
  to(t, "limit-user"):expect_delivered()
end)

spec.case("rate_limit of a client: what is more goes to another pipeline", function(t)
  t:answer("rate_limit", "203.0.113.1 client/mails/600000000000/", "5 of 5, passed")
  to(t, "limit-client"):expect_delivered(nil, "Other")
  t:answer("rate_limit", "2001:db8:0:1::/64 client/mails/600000000000/", "1 of 5")
  to(t, "limit-client", { ip = "2001:db8:0:1::25" }):expect_delivered(nil, "INBOX")
end)
