// The recipes of scripts/README.md that use the text library, run as they are written there.
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

constexpr const char* kBegin = "local postern = require 'postern'\n";

TEST_CASE("recipe: lists and maps in files") {
  World world;
  world.write("blocked.txt", "203.0.113.0/24   # one a line\n");
  world.write("partners.txt", ".example.org\n");
  world.write("folders.csv", "sales@example.org,Sales\n");
  REQUIRE_MESSAGE(world.load(std::string(kBegin) + R"(
local BLOCKED = postern.ipset.file "blocked.txt"
local PARTNERS = postern.domainset.file "partners.txt"
local FOLDERS = postern.map.file "folders.csv"
postern.on("mail", { role = "mx" }, function(session, mail)
  if BLOCKED:contains(session.client.ip) and not PARTNERS:contains(mail.sender_domain) then
    return postern.reject(550, "5.7.1", "listed here")
  end
end))"),
                  world.problems);
  CHECK(world.said() == "listed here");
  world.mail.envelope.sender = *Address::parse("alice@mx.example.org");
  CHECK(world.said() == "nothing");
  world.mail.envelope.sender = Address();  // a bounce has no domain
  CHECK(world.said() == "listed here");
}

TEST_CASE("recipe: an order's number from the subject") {
  World world;
  REQUIRE_MESSAGE(world.load(std::string(kBegin) + R"(
local ORDER = postern.re([[\border\s+#(\d{1,12})]], "i")
postern.on("message", function(session, mail)
  local number = ORDER:match(mail:header "Subject" or "")
  if number then mail.notes.order = number end
end))"),
                  world.problems);
  world.with_message("Subject: Your Order #4711\r\n\r\nhi\r\n");
  CHECK(world.said() == "nothing");
  CHECK(world.mail.notes["order"] == NoteValue(std::string("4711")));
}

TEST_CASE("recipe: only bounces of one's own mail come back") {
  World world;
  REQUIRE_MESSAGE(world.load(std::string(kBegin) + R"(
local KEY = "change me"
local function token(user) return postern.hash.hmac_sha256(KEY, user):sub(1, 12) end
postern.on("rcpt", { role = "mx" }, function(session, rcpt, mail)
  if mail.sender == "" and rcpt.tag and not postern.hash.equal(rcpt.tag, token(rcpt.user)) then
    return postern.reject(550, "5.7.1", "this is no answer to mail of ours")
  end
end)
postern.on("rcpt", function() return postern.reject(550, "5.7.1", token "eve") end))"),
                  world.problems);
  CHECK(world.said() == "nothing");
  world.mail.envelope.sender = Address();
  CHECK(world.said() == "this is no answer to mail of ours");
  world.mail.envelope.recipients[1].address = *Address::parse("eve+" + world.said(1) + "@ours.example");
  CHECK(world.said() == "nothing");
}

TEST_CASE("recipe: JSON in and out") {
  World world;
  REQUIRE_MESSAGE(world.load(std::string(kBegin) + R"(
postern.on("message", function(session, mail)
local value, err = postern.json.decode(mail:header "X-Ticket" or "")
if value and type(value) == "table" then mail.notes.ticket = tostring(value.id):sub(1, 100) end
mail:set_header("X-Seen", postern.json.encode { from = mail.sender, at = postern.time.rfc3339(postern.clock.now()) })
end))"),
                  world.problems);
  world.with_message("X-Ticket: {\"id\": 12}\r\n\r\nhi\r\n");
  CHECK(world.said() == "nothing");
  CHECK(world.mail.notes["ticket"] == NoteValue(std::string("12")));
  world.mail.notes.clear();
  world.with_message("X-Ticket: {\"id\": \r\n\r\nhi\r\n");
  CHECK(world.said() == "nothing");
  CHECK(world.mail.notes.empty());
}

}  // namespace
}  // namespace postern::lua
