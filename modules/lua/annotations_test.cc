// The table of words (api.h) against what a state really has, and the page that is made of it.
#include "api.h"

#include <algorithm>

#include "lua_for_tests.h"
#include "postern/queue_event.h"
#include "postern/text.h"

namespace postern::lua {
namespace {

/// What a hook at message logs; each line is a word.
struct WordWorld : World {
  WordWorld() {
    with_message(
        "From: Ann <ann@ours.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n");
    session.client.auth_user = "ann";
    session.client.auth_mechanism = "PLAIN";
    session.client.tls_version = "TLSv1.3";
    session.client.tls_cipher = "AES";
    session.client.tls_sni = "mx.example";
    session.client.tls_peer = "peer.example";
    mail.envelope.recipients[0].orcpt = "rfc822;a+40b.example";
    mail.envelope.deliver_by = DeliverBy{};
    mail.envelope.deliver_by->when = WallTime(std::chrono::seconds(5));
  }
  std::vector<std::string> words(const std::string& body) {
    REQUIRE_MESSAGE(
        load("local postern = require 'postern'\npostern.on('message', function(session, mail)\n" + body + "\nend)\n"),
        problems);
    effects.logged.clear();
    CHECK(said() == "nothing");
    std::vector<std::string> out;
    for (const std::string_view line : split(effects.logged, '\n'))
      if (line.starts_with("info: ")) out.emplace_back(line.substr(6));
    return out;
  }
};

std::vector<std::string> declared(std::string_view name) {
  std::vector<std::string> out;
  const ApiClass* known = find_api_class(name);
  REQUIRE_MESSAGE(known, std::string(name));
  for (const ApiMember& one : known->members) out.emplace_back(one.name);
  std::ranges::sort(out);
  return out;
}

TEST_CASE("postern and its tables have the words that are declared, and no others") {
  WordWorld world;
  CHECK(world.words("for name in pairs(postern) do postern.log.info(name) end") == declared(""));
  for (const ApiMember& one : find_api_class("")->members) {
    const std::string name(one.name);
    if (world.words("postern.log.info(type(postern." + name + "))") == std::vector<std::string>{"table"})
      CHECK_MESSAGE(
          world.words("for name in pairs(postern." + name + ") do postern.log.info(name) end") == declared(name), name);
  }
}

TEST_CASE("tables that calls build have the keys that are declared") {
  WordWorld world;
  constexpr std::pair<std::string_view, std::string_view> kTables[] = {{"session_auth", "session.auth"},
                                                                       {"session_tls", "session.tls"},
                                                                       {"orcpt", "mail.recipients[1].orcpt"},
                                                                       {"deliver_by", "mail.deliver_by"},
                                                                       {"header_field", "mail:headers()[1]"}};
  for (const auto& [name, expression] : kTables)
    CHECK_MESSAGE(world.words("for name in pairs(" + std::string(expression) + ") do postern.log.info(name) end") ==
                      declared(name),
                  std::string(name));
}

TEST_CASE("objects have every field that is declared; no other is let through") {
  WordWorld world;
  constexpr std::pair<std::string_view, std::string_view> kObjects[] = {{"session", "session"},
                                                                        {"client", "session.client"},
                                                                        {"ip", "session.client.ip"},
                                                                        {"mail", "mail"},
                                                                        {"recipient", "mail.recipients[1]"},
                                                                        {"part", "mail:parts()[1]"},
                                                                        {"dns_answer", "postern.dns.a 'x.example'"},
                                                                        {"regex", "postern.re 'a'"},
                                                                        {"set", "postern.ipset {}"},
                                                                        {"ipset_maker", "postern.ipset"},
                                                                        {"domainset_maker", "postern.domainset"}};
  for (const auto& [name, expression] : kObjects)
    for (const ApiMember& one : find_api_class(name)->members)
      CHECK_MESSAGE(
          world.words("local object = " + std::string(expression) + " local _ = object." + std::string(one.name) +
                      " postern.log.info 'there'") == std::vector<std::string>{"there"},
          std::string(name) << "." << std::string(one.name));
  CHECK(world.eval("return mail.sendr") ==
        "script.error: test.lua:5: mail has no field 'sendr'; did you mean \"sender\"?");
  CHECK(world.eval("return session.client.adress") == "script.error: test.lua:5: client has no field 'adress'");
}

TEST_CASE("an event has every field that is declared") {
  WordWorld world;
  QueueEvent event{Stage::kRoute, MessageId(42), world.mail.envelope, {0}};
  std::string body;
  for (const ApiMember& one : find_api_class("event")->members)
    body += "local _ = event." + std::string(one.name) + "\n";
  REQUIRE_MESSAGE(
      world.load("local postern = require 'postern'\npostern.on('route', function(mail, event)\n" + body + "end)\n"),
      world.problems);
  const auto verdict = world.run(world.rules->hooks.at(0).handler->handle(
      {Stage::kRoute, world.session, &world.mail, nullptr, world.effects, &event}));
  CHECK_MESSAGE(verdict, verdict.error().detail);
}

TEST_CASE("the page for editors names every word, with arguments of matchers and mailets") {
  World world;
  world.registry->add(MatcherDeclaration{"size_over",
                                         "Large mail.",
                                         "match.size_over \"10 MiB\"",
                                         "none",
                                         {{"size", "size", "octets", true, 0}},
                                         nullptr});
  world.registry->add(ActionDeclaration{"relay",
                                        "Sends on.",
                                        "",
                                        "none",
                                        {{"gateway", "host or host:port", "send there"}, {"tls", "string", "a word"}},
                                        nullptr});
  const std::string page = LuaEngine({}, {}).annotations(*world.registry);
  CHECK(page.starts_with("---@meta postern\n"));
  CHECK(page.find("\n---@field size_over fun(size: string|integer): postern.matcher Large mail. `match.size_over \"10 "
                  "MiB\"`\n") != std::string::npos);
  CHECK(page.find("\n---@field relay postern.action|fun(arguments?: postern.act.relay.arguments): postern.action Sends "
                  "on.\n") != std::string::npos);
  CHECK(page.find("\n---@class postern.act.relay.arguments\n---@field gateway? any send there\n---@field tls? string a "
                  "word\n") != std::string::npos);
  CHECK(page.find("\n---@class postern.mail\n---@field sender string # of the envelope") != std::string::npos);
  CHECK(page.ends_with("local postern = {}\nreturn postern\n"));
  for (const ApiClass& one : api_classes())
    for (const ApiMember& member : one.members)
      CHECK_MESSAGE(
          page.find("\n---@field " + std::string(member.name) + " " + std::string(member.type)) != std::string::npos,
          std::string(member.name));
  world.write("page.lua", page);
  CHECK_MESSAGE(world.load("require 'page'"), world.problems);  // it is Lua
}

}  // namespace
}  // namespace postern::lua
