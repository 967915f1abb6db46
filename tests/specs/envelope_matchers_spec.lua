-- Matchers of recipients and senders, one case each: the mail that is selected, and one that is not.
local spec = require "postern.spec"
spec.scripts "envelope_matchers.lua"

local ANN, BEN, CID = "ann@example.org", "ben@example.org", "cid@example.org"
local FAR = { role = "submission", auth = ANN, tls = true }

spec.before(function(t)
  for _, name in ipairs { "ann", "ben", "cid", "dan-noreply", "abuse", "fake" } do t:account(name .. "@example.org") end
end)

local function from(t, sender, to, client)
  return t:mail { from = sender, to = to or ANN, client = client }
end

spec.case("all selects everybody", function(t)
  from(t, "x@far.example", { ANN, BEN }):expect_header "all"
  from(t, ""):expect_header "all"
end)

spec.case("all_of wants every part", function(t)
  local r = from(t, "", ANN)
  r:expect_header "all_of"
  from(t, "", BEN):expect_no_header "all_of"
  from(t, "x@far.example", ANN):expect_no_header "all_of"
end)

spec.case("any_of and none_of divide the recipients of one mail", function(t)
  local r = from(t, "x@far.example", { ANN, BEN, CID })
  r:to(ANN):expect_header "any_of":expect_no_header "none_of"
  r:to(BEN):expect_header "any_of":expect_no_header "none_of"
  r:to(CID):expect_no_header "any_of":expect_header "none_of"
end)

spec.case("the operators * + - are these three", function(t)
  local r = from(t, "x@far.example", { ANN, BEN, CID })
  r:to(ANN):expect_header "operators"
  r:to(BEN):expect_no_header "operators"
  r:to(CID):expect_header "operators"
  from(t, "", ANN):expect_no_header "operators"
end)

spec.case("recipient_is, in any case of letters", function(t)
  t:account("CID@EXAMPLE.ORG", CID)
  local r = from(t, "x@far.example", { ANN, BEN, "CID@EXAMPLE.ORG" })
  r:to(ANN):expect_header "recipient_is"
  r:to(CID):expect_header "recipient_is"
  r:to(BEN):expect_no_header "recipient_is"
end)

spec.case("recipient_is_regex fits the whole address", function(t)
  t:account("dan-noreply@example.org.uk"):domain "example.org.uk"
  local r = from(t, "x@far.example", { "dan-noreply@example.org", "dan-noreply@example.org.uk" })
  r:to("dan-noreply@example.org"):expect_header "recipient_is_regex"
  r:to("dan-noreply@example.org.uk"):expect_no_header "recipient_is_regex"
end)

spec.case("recipient_domain_is is not about the domains below", function(t)
  t:domain "sub.example.org":account "ann@sub.example.org"
  local r = from(t, "x@far.example", { ANN, "ann@sub.example.org" })
  r:to(ANN):expect_header "recipient_domain_is"
  r:to("ann@sub.example.org"):expect_no_header "recipient_domain_is"
end)

spec.case("user_is, at any domain", function(t)
  t:domain "example.net":account("Abuse@example.net", ANN)
  local r = from(t, "x@far.example", { "Abuse@example.net", BEN })
  r:to("abuse@example.net"):expect_header "user_is"
  r:to(BEN):expect_no_header "user_is"
end)

spec.case("host_is_local, recipient_is_local and relay_allowed divide what is ours from the world", function(t)
  local r = from(t, ANN, { BEN, "x@far.example" }, FAR)
  r:to(BEN):expect_header "host_is_local":expect_header "recipient_is_local":expect_no_header "relay_allowed"
  r:to("x@far.example"):expect_no_header "host_is_local":expect_no_header "recipient_is_local":expect_header "relay_allowed"
end)

spec.case("a relay domain is not local, and its mail may pass", function(t)
  t:domain("example.net", "relay")
  from(t, "x@far.example", "zoe@example.net"):expect_relayed():expect_header "relay_allowed"
    :expect_no_header "recipient_is_local":expect_no_header "host_is_local"
end)

spec.case("is_single_recipient", function(t)
  from(t, "x@far.example", ANN):expect_header "is_single_recipient"
  from(t, "x@far.example", { ANN, BEN }):expect_no_header "is_single_recipient"
end)

spec.case("recipient_count_exceeds: three are more than two, two are not", function(t)
  from(t, "x@far.example", { ANN, BEN, CID }):expect_header "recipient_count_exceeds"
  from(t, "x@far.example", { ANN, BEN }):expect_no_header "recipient_count_exceeds"
end)

spec.case("is_in_drop_list: by the recipient, its domain, or everybody", function(t)
  t:domain "example.net":account("zoe@example.net")
  for _, sender in ipairs { "EX@far.example", "who@spam.example" } do
    local r = from(t, sender, { ANN, BEN })
    r:to(ANN):expect_header "is_in_drop_list"
    r:to(BEN):expect_no_header "is_in_drop_list"
  end
  local r = from(t, "x@far.example", { ANN, "zoe@example.net" })
  r:to("zoe@example.net"):expect_header "is_in_drop_list"
  r:to(ANN):expect_no_header "is_in_drop_list"
  from(t, "y@bad.example", { ANN, BEN }):expect_header "is_in_drop_list"
  from(t, "", { ANN, BEN }):expect_no_header "is_in_drop_list"
end)

spec.case("sender_is, in any case of letters", function(t)
  from(t, "X@far.example"):expect_header "sender_is"
  from(t, "y@far.example"):expect_no_header "sender_is"
  from(t, ""):expect_no_header "sender_is"
end)

spec.case("sender_is_regex fits the whole address", function(t)
  from(t, "bounce-7@far.example"):expect_header "sender_is_regex"
  from(t, "a-bounce-7@far.example"):expect_no_header "sender_is_regex"
end)

spec.case("sender_domain_is is not about the domains below", function(t)
  from(t, "y@FAR.example"):expect_header "sender_domain_is"
  from(t, "y@sub.far.example"):expect_no_header "sender_domain_is"
end)

spec.case("sender_host_is_local and sender_is_local: a domain of ours, and somebody there", function(t)
  from(t, BEN):expect_header "sender_host_is_local":expect_header "sender_is_local"
  t:alias("all@example.org", ANN, BEN)
  from(t, "all@example.org"):expect_header "sender_is_local"
  from(t, "nobody@example.org"):expect_header "sender_host_is_local":expect_no_header "sender_is_local"
  from(t, "x@far.example"):expect_no_header "sender_host_is_local":expect_no_header "sender_is_local"
  from(t, ""):expect_no_header "sender_host_is_local":expect_no_header "sender_is_local"
end)

spec.case("sender_is_null", function(t)
  from(t, ""):expect_header "sender_is_null"
  from(t, "x@far.example"):expect_no_header "sender_is_null"
end)

spec.case("sender_in_fake_domain: no MX and no address, or an MX that says no", function(t)
  t:dns("none.example", "MX"):dns("none.example", "A"):dns("none.example", "AAAA")
  from(t, "x@none.example", "fake@example.org"):expect_header "sender_in_fake_domain"
  t:dns("no.example", "MX", "0 .")
  from(t, "x@no.example", "fake@example.org"):expect_header "sender_in_fake_domain"
  t:dns("far.example", "MX", "10 mx.far.example")
  from(t, "x@far.example", "fake@example.org"):expect_no_header "sender_in_fake_domain"
  t:dns("plain.example", "MX"):dns("plain.example", "A", "192.0.2.1")
  from(t, "x@plain.example", "fake@example.org"):expect_no_header "sender_in_fake_domain"
  from(t, "", "fake@example.org"):expect_no_header "sender_in_fake_domain"
end)

spec.case("sender_in_fake_domain cannot tell while the DNS is down: the mail comes again", function(t)
  t:dns_fails("down.example", "MX", "timeout"):dns_fails("down.example", "A", "timeout"):dns_fails("down.example", "AAAA")
  from(t, "x@down.example", "fake@example.org"):expect_refused(451)
end)
