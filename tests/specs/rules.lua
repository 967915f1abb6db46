-- The rules that the scripts here are made of.
local postern = require "postern"
local match, act = postern.match, postern.act

return {
  -- What is done for one recipient, by the local part.
  of = function(user, ...)
    return { name = user, when = match.user_is(user), ... }
  end,
  -- Whom the matcher selects gets a header field of its name.
  mark = function(name, when)
    return { name = name, when = when, act.set_header(name, "yes") }
  end,
}
