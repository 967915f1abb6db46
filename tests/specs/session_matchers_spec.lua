-- Matchers of the client and its session: the mail that is selected, and one that is not.
local spec = require "postern.spec"
spec.scripts "session_matchers.lua"

local ANN = "ann@example.org"

spec.before(function(t)
  for _, name in ipairs { "ann", "robot", "listed", "copied", "reported" } do t:account(name .. "@example.org") end
end)

local function by(t, client, to)
  return t:mail { from = "x@far.example", to = to or ANN, client = client }
end

spec.case("smtp_auth_successful: who has logged in, and who has not", function(t)
  by(t, { role = "submission", auth = "ben@example.org", tls = true }):expect_header "smtp_auth_successful"
  by(t, { tls = true }):expect_no_header "smtp_auth_successful"
end)

spec.case("smtp_auth_user_is: the accounts that are named, not others", function(t)
  by(t, { role = "submission", auth = "robot@example.org", tls = true }):expect_header "smtp_auth_user_is"
  by(t, { role = "submission", auth = "ben@example.org", tls = true }):expect_no_header "smtp_auth_user_is"
  by(t, {}):expect_no_header "smtp_auth_user_is"
end)

spec.case("smtp_is_auth_network: networks that may relay", function(t)
  t:relay_network "198.51.100.0/24"
  by(t, { ip = "198.51.100.9" }):expect_header "smtp_is_auth_network"
  by(t, { ip = "198.51.101.9" }):expect_no_header "smtp_is_auth_network"
end)

spec.case("remote_addr_in_network and remote_addr_not_in_network", function(t)
  by(t, { ip = "192.0.2.255" }):expect_header "remote_addr_in_network":expect_no_header "remote_addr_not_in_network"
  by(t, { ip = "192.0.3.0" }):expect_no_header "remote_addr_in_network":expect_header "remote_addr_not_in_network"
  by(t, { ip = "2001:db8::1" }):expect_header "remote_addr_in_network":expect_header "remote_addr_not_in_network"
  by(t, { ip = "2001:db9::1" }):expect_no_header "remote_addr_in_network"
end)

spec.case("remote_addr_not_in_network without any network is everybody", function(t)
  by(t, { ip = "192.0.2.1" }):expect_header "remote_addr_not_in_any"
end)

spec.case("tls_is: any version, or those that are named", function(t)
  by(t, { tls = "TLSv1.3" }):expect_header "tls_is":expect_header "tls_at_all"
  by(t, { tls = "TLSv1.2" }):expect_no_header "tls_is":expect_header "tls_at_all"
  by(t, {}):expect_no_header "tls_is":expect_no_header "tls_at_all"
end)

spec.case("in_dnsbl: a listed client, one that is not, and a list that says nothing", function(t)
  t:dns("7.2.0.192.bl.example.net", "A", "127.0.0.2")
  by(t, { ip = "192.0.2.7" }, "listed@example.org"):expect_header "in_dnsbl":expect_no_header "in_policy_list"
  t:dns("8.2.0.192.bl.example.net", "A")
  by(t, { ip = "192.0.2.8" }, "listed@example.org"):expect_no_header "in_dnsbl"
  t:dns_fails("9.2.0.192.bl.example.net", "A", "timeout")
  by(t, { ip = "192.0.2.9" }, "listed@example.org"):expect_delivered():expect_no_header "in_dnsbl"
  t:dns("10.2.0.192.bl.example.net", "A", "127.255.255.254")
  by(t, { ip = "192.0.2.10" }, "listed@example.org"):expect_no_header "in_dnsbl"
end)

spec.case("in_dnsbl counts the codes that it is given", function(t)
  t:dns("7.2.0.192.bl.example.net", "A", "127.0.0.2", "127.0.1.9")
  by(t, { ip = "192.0.2.7" }, "listed@example.org"):expect_header "in_policy_list":expect_header "in_dnsbl"
  t:dns("8.2.0.192.bl.example.net", "A", "127.0.0.10")
  by(t, { ip = "192.0.2.8" }, "listed@example.org"):expect_header "in_policy_list"
end)

spec.case("sent_by_mailet: what a rule brought in, not what brought it", function(t)
  local r = by(t, {}, "copied@example.org")
  r:expect_delivered():expect_no_header "sent_by_mailet":expect_brought(1)
  r.brought[1]:expect_delivered(ANN):expect_header "sent_by_mailet"
end)

-- A mail that this server made, with the note of the queue's reporter: a stand-in, for no report is made in a spec.
local function report(t, code)
  local r = t:mail { from = code .. "@far.example", to = "reported@example.org" }
  r:expect_discarded "reported":expect_brought(1)
  return r.brought[1]
end

spec.case("delivery_failed for good", function(t)
  report(t, "5.1.1"):expect_header "delivery_failed":expect_header "failed_for_good":expect_header "failed_with_code"
    :expect_no_header "failed_for_a_while":expect_no_header "failed_otherwise"
end)

spec.case("delivery_failed when the time was over", function(t)
  report(t, "4.4.1"):expect_header "delivery_failed":expect_header "failed_for_a_while":expect_header "failed_with_code"
    :expect_no_header "failed_for_good":expect_no_header "failed_otherwise"
end)

spec.case("delivery_failed with other codes", function(t)
  report(t, "5.2.2"):expect_header "failed_otherwise":expect_no_header "failed_with_code"
end)

spec.case("delivery_failed does not believe a stranger's mail, whatever its notes", function(t)
  t:mail { from = "5.1.1@far.example", to = ANN }:expect_delivered():expect_no_header "delivery_failed"
  by(t, {}):expect_no_header "delivery_failed"
end)
