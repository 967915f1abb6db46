-- Small mailing lists: who may write is checked at RCPT, and each post goes to the members with the fields of a list
-- (RFC 2369, RFC 2919), a bounce address of the list's own and a guard against loops.
--
-- Use it in postern.toml. Each list needs a mailbox of its name, which stays empty, and two addresses for its owner:
--   [[account]]
--   name = "crew@example.org"
--   password = "!"                     # nobody logs in
--   [[alias]]
--   from = "crew-owner@example.org"    # asked for help, and to be taken out; a second alias, crew-bounces@example.org,
--   to = ["ann@example.org"]           # hears of mail that does not arrive
--   [relay]
--   forward_aliases = true             # only if members are elsewhere: postern check names them
--   [pipeline]
--   scripts = ["scripts/lists.lua"]
local postern = require "postern"
local match, act, directory = postern.match, postern.act, postern.directory

local LISTS = {
  ["crew@example.org"] = {
    title = "The crew", prefix = "[crew]", max_size = "1 MiB", reply_to_list = false,
    -- In small letters. A member, a reader (may not write), a writer (gets nothing), or a moderator: a member who gets
    -- what strangers write, and sends it again where it is welcome. Or: people = postern.map.file "crew.csv".
    people = { ["ann@example.org"] = "moderator", ["ben@example.org"] = "member", ["robot@example.org"] = "writer" },
    strangers = "refuse",               -- or "moderate", or "write"
  },
  ["friends@example.org"] = { title = "Friends", max_size = "1 MiB", reply_to_list = true, strangers = "moderate",
    people = { ["ann@example.org"] = "moderator", ["ben@example.org"] = "reader" } },
}

-- By the envelope's sender. Whoever writes from a domain of ours must have logged in; names elsewhere can be forged.
local function is_strange(list, mail)
  local role, unknown = list.people[mail.sender:lower()], mail.session.role == "mx" and not mail.session.auth.user
  local forged = role and unknown and directory.domain(mail.sender_domain) ~= "foreign"
  return list.strangers ~= "write" and (forged or not role or role == "reader")
end
local function list_of(recipient) return (recipient.user .. "@" .. recipient.domain):lower() end

-- What is refused here never becomes our mail, so that nothing must be bounced later.
postern.on("rcpt", { name = "lists" }, function(_, rcpt, mail)
  local list = LISTS[list_of(rcpt)]
  if list and list.strangers == "refuse" and is_strange(list, mail) then
    return postern.reject(550, "5.7.2", "only members may write to this list")
  end
end)
local root = { { name = "loop", when = match.relay_limit(30), act.bounce("5.4.6", "mail loop") } }
for address, list in pairs(LISTS) do
  local name, domain = address:match "^(.*)@(.*)$"
  local id, owner = "<" .. name .. "." .. domain .. ">", "<mailto:" .. name .. "-owner@" .. domain
  local bounces, members, moderators = name .. "-bounces@" .. domain, {}, {}
  for who, role in pairs(list.people) do
    if role ~= "writer" then table.insert(members, who) end
    if role == "moderator" then table.insert(moderators, who) end
  end
  local post = { name = name .. " post", act.set_header("List-Id", list.title .. " " .. id),
    act.set_header("List-Post", "<mailto:" .. address .. ">"), act.set_header("List-Help", owner .. "?subject=help>"),
    act.set_header("List-Unsubscribe", owner .. "?subject=unsubscribe>"), act.set_header("Precedence", "list") }
  for i = 1, #members, 100 do           -- a mail for each hundred
    table.insert(post, act.redirect { to = table.move(members, i, math.min(i + 99, #members), 1, {}), keep = true,
      sender = bounces, prefix = list.prefix, reply_to = list.reply_to_list and address or nil })
  end
  table.insert(post, act.discard "sent to the list")
  postern.pipeline(address, {
    -- What this list has sent, and what programs answer to it: nobody is told, so that nothing goes in circles.
    { name = name .. " no post", act.discard "from this list, or an automatic answer", when = function(mail)
      local marks = table.concat(mail:headers "List-Id", " ") .. " " .. (mail:header "Auto-Submitted" or "")
      marks = marks:lower()
      return mail.sender == "" or marks:find(id, 1, true) ~= nil or marks:find("auto-replied", 1, true) ~= nil
    end },
    { name = name .. " stranger", when = function(mail) return is_strange(list, mail) end,
      list.strangers == "moderate" and act.redirect { to = moderators, sender = bounces, prefix = "[to approve]" }
        or act.bounce("5.7.2", "only members may write to this list") },
    { name = name .. " big", when = match.size_over(list.max_size), act.bounce("5.3.4", "too big for a list") }, post })
  local function is_for_it(mail) return mail:recipients_where(function(r) return list_of(r) == address end) end
  table.insert(root, { name = address, when = is_for_it, act.go(address) })
end  -- all other mail as in mailserver.lua
table.insert(root, { name = "local", when = match.recipient_is_local, act.deliver { folder = "INBOX" } })
table.insert(root, { name = "relay", when = match.relay_allowed, act.relay })
table.insert(root, { name = "denied", act.bounce("5.7.1", "relaying denied") })
postern.pipeline("root", root)
