// Hooks, matchers and actions in Lua, over a simulated world.
#include "lua_for_tests.h"

namespace postern::lua {
namespace {

TEST_CASE("a hook that returns nothing lets the next rule decide, a verdict decides") {
  World world;
  REQUIRE_MESSAGE(world.hook("if rcpt.tag == 'archive' then return postern.reject(550, '5.7.1', 'no ' .. rcpt.user) end"), world.problems);
  const Result<Verdict> verdict = world.call();
  REQUIRE(verdict);
  CHECK(verdict->kind == Verdict::Kind::kReject);
  CHECK(verdict->reply == Reply{550, "5.7.1", "no eve"});
  REQUIRE(world.hook("return"));
  CHECK(world.said() == "nothing");
}

TEST_CASE("the DNS list of the manual's first page") {
  World world;
  REQUIRE_MESSAGE(world.hook(R"(
    local answer, err = dns.a(session.client.ip:reversed() .. ".bl.example.net")
    if err then return end
    if answer:any_in "127.0.0.0/24" then
      return postern.reject(550, "5.7.1", "listed: " .. tostring(answer[1]))
    end)"), world.problems);
  CHECK(world.said() == "nothing");  // not listed: an empty answer
  world.dns.a("9.113.0.203.bl.example.net", "127.0.0.2");
  CHECK(world.said() == "listed: 127.0.0.2");
  world.dns.erase("9.113.0.203.bl.example.net").a("9.113.0.203.bl.example.net", "127.255.255.254");
  CHECK(world.said() == "nothing");
  world.dns.fail("9.113.0.203.bl.example.net", DnsStatus::kServfail);
  CHECK(world.said() == "nothing");
}

}  // namespace
}  // namespace postern::lua
