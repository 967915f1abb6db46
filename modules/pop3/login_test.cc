// Dialogues of the AUTHORIZATION state: who gets in, how, and what is said to those who do not.
#include <doctest/doctest.h>

#include "fakes_for_tests.h"

using namespace postern;
using namespace postern::pop3;
using namespace postern::pop3::testing;

namespace {

std::string plain(std::string_view name, std::string_view password) {
  std::string text(1, '\0');
  text.append(name).append(1, '\0').append(password);
  return base64_encode(text);
}

}  // namespace

TEST_CASE("the greeting has no timestamp unless APOP is on") {
  World world;
  world.start();
  auto client = world.sim.connect(world.bound->endpoint());
  world.sim.run_for(1s);
  CHECK(client->take() == "+OK mail.example.org Postern POP3 ready\r\n");
}

TEST_CASE("APOP works where it is switched on") {
  World world;
  world.settings->apop = true;
  world.start();
  auto client = world.sim.connect(world.bound->endpoint());
  world.sim.run_for(1s);
  std::string greeting = client->take();
  std::string stamp = greeting.substr(greeting.find('<'));
  stamp.resize(stamp.find('>') + 1);
  CHECK(stamp.ends_with("@mail.example.org>"));
  client->send("APOP alice@example.org nonsense\r\n");
  world.sim.run_for(1s);
  CHECK(client->take().starts_with("-ERR [AUTH]"));
  client->send("APOP alice@example.org digest-of-" + stamp + "\r\n");
  world.sim.run_for(1s);
  CHECK(is_ok(client->take()));
  World without;
  Talk talk(without);
  CHECK(is_err(talk.say("APOP alice@example.org x")));
}

TEST_CASE("a wrong password says no more than that, and ends the session after a few") {
  World world;
  world.settings->max_login_attempts = 3;
  Talk talk(world);
  for (int i = 0; i < 2; ++i) {
    talk.say(i ? "USER nobody@example.org" : "USER alice@example.org");
    CHECK(talk.say("PASS wrong") == "-ERR [AUTH] wrong name or password; begin again with USER\r\n");
    CHECK(is_err(talk.say("PASS secret")));  // USER is needed again
  }
  talk.say("USER alice@example.org");
  CHECK(talk.say("PASS wrong") == "-ERR [AUTH] wrong name or password; goodbye\r\n");
  CHECK(talk.ended());
}

TEST_CASE("when passwords cannot be checked, that is said to be temporary") {
  World world;
  world.auth.answer = AuthOutcome::Kind::kUnavailable;
  Talk talk(world);
  talk.say("USER alice@example.org");
  CHECK(talk.say("PASS secret").starts_with("-ERR [SYS/TEMP]"));
  CHECK_FALSE(talk.ended());
}

TEST_CASE("a throttled log-in is temporary, does not tell who exists, and ends the session after a few") {
  World world;
  world.settings->max_login_attempts = 3;
  world.auth.answer = AuthOutcome::Kind::kTooMany;
  Talk talk(world);
  for (const char* name : {"alice@example.org", "nobody@example.org"}) {
    talk.say(std::string("USER ") + name);
    CHECK(talk.say("PASS secret") == "-ERR [SYS/TEMP] too many failed log-ins; try again later\r\n");
  }
  CHECK(talk.say("AUTH PLAIN " + plain("alice@example.org", "secret")) ==
        "-ERR [SYS/TEMP] too many failed log-ins; goodbye\r\n");
  CHECK(talk.ended());
}

TEST_CASE("AUTH PLAIN with and without initial response") {
  World world;
  Talk one(world);
  CHECK(one.say("auth plain " + plain("alice@example.org", "secret")) ==
        "+OK alice@example.org has 2 messages (53 octets)\r\n");
  one.say("QUIT");
  Talk two(world);
  CHECK(two.say("AUTH PLAIN") == "+ \r\n");
  CHECK(is_ok(two.say(plain("alice@example.org", "secret"))));
}

TEST_CASE("AUTH can be given up, and refuses what is not base64, not PLAIN or not known") {
  World world;
  Talk talk(world);
  CHECK(talk.say("AUTH PLAIN") == "+ \r\n");
  CHECK(talk.say("*") == "-ERR AUTH was given up\r\n");
  CHECK(talk.say("AUTH PLAIN") == "+ \r\n");
  CHECK(is_err(talk.say("!!!")));
  CHECK(is_err(talk.say("AUTH PLAIN =")));  // an empty response is no PLAIN
  CHECK(is_err(talk.say("AUTH PLAIN !")));
  CHECK(talk.say("AUTH GSSAPI") == "-ERR unknown mechanism; CAPA lists them\r\n");
  CHECK(talk.say("AUTH") == "+OK mechanisms\r\nPLAIN\r\n.\r\n");
  CHECK(talk.say("AUTH PLAIN") == "+ \r\n");
  CHECK(talk.say(std::string(13'000, 'A')) == "-ERR that answer is too long\r\n");
  CHECK(is_ok(talk.say("AUTH PLAIN " + plain("alice@example.org", "secret"))));
}

TEST_CASE("CAPA before and after log-in") {
  World world;
  world.settings->login_delay = 90s;
  Talk talk(world);
  CHECK(talk.say("CAPA") ==
        "+OK what this server can do\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\nSASL "
        "PLAIN\r\n"
        "STLS\r\nLOGIN-DELAY 90\r\nEXPIRE NEVER\r\nUTF8\r\nLANG\r\nIMPLEMENTATION Postern\r\n.\r\n");
  talk.login();
  std::string after = talk.say("CAPA");
  CHECK(after.find("STLS") == std::string::npos);
  CHECK(after.find("\r\nIMPLEMENTATION Postern\r\n.\r\n") != std::string::npos);
}

TEST_CASE("without TLS and without the lesson setting no password is taken") {
  World world;
  world.settings->listeners[0].allow_plaintext = false;
  Talk talk(world);
  std::string capa = talk.say("CAPA");
  CHECK(capa.find("USER") == std::string::npos);
  CHECK(capa.find("SASL") == std::string::npos);
  CHECK(capa.find("STLS") != std::string::npos);
  CHECK(talk.say("USER alice@example.org") == "-ERR passwords need TLS here: send STLS first\r\n");
  CHECK(talk.say("AUTH PLAIN") == "-ERR passwords need TLS here: send STLS first\r\n");
  CHECK(world.auth.checks == 0);
}

TEST_CASE("STLS switches TLS on, forgets what came before, and is offered once") {
  World world;
  world.settings->listeners[0].allow_plaintext = false;
  Talk talk(world);
  CHECK(talk.say("STLS") == "+OK begin TLS\r\n");
  talk.start_tls();
  CHECK(talk.handshake() == "H");
  std::string capa = talk.say("CAPA");
  CHECK(capa.find("SASL PLAIN") != std::string::npos);
  CHECK(capa.find("STLS") == std::string::npos);
  CHECK(talk.say("STLS") == "-ERR TLS is on already\r\n");
  CHECK(is_err(talk.say("PASS secret")));
  talk.login();
  CHECK(talk.say("STAT") == "+OK 2 53\r\n");  // the session moved with its TLS
  CHECK(is_ok(talk.say("QUIT")));
}

TEST_CASE("a name given before STLS is forgotten") {
  World world;
  Talk talk(world);
  CHECK(is_ok(talk.say("USER alice@example.org")));
  CHECK(is_ok(talk.say("STLS")));
  talk.start_tls();
  CHECK(talk.say("PASS secret") == "-ERR USER and your name come before PASS\r\n");
}

TEST_CASE("commands that were sent ahead of the handshake are never obeyed") {
  World world;
  Talk talk(world);
  std::string reply = talk.raw("STLS\r\nUSER alice@example.org\r\nPASS secret\r\n");
  CHECK(reply.find("alice") == std::string::npos);
  CHECK(talk.ended());
  CHECK(world.auth.checks == 0);
}

TEST_CASE("a failed handshake ends the session") {
  World world;
  Talk talk(world);
  talk.say("STLS");
  talk.client().send("x");
  talk.wait();
  CHECK(talk.ended());
  CHECK(world.sessions() == 0);
}

TEST_CASE("implicit TLS greets inside it") {
  World world;
  world.settings->listeners[0].tls = TlsMode::kImplicit;
  world.settings->listeners[0].allow_plaintext = false;
  Talk talk(world);
  CHECK(talk.greeting() == "");
  talk.client().send("h");
  world.sim.run_for(1s);
  std::string heard = talk.client().take();
  CHECK(heard == "H" + inverted("+OK mail.example.org Postern POP3 ready\r\n"));
}

TEST_CASE("the second session of a maildrop is refused until the first has ended") {
  World world;
  Talk first(world);
  first.login();
  Talk second(world, "198.51.100.8");
  second.say("USER alice@example.org");
  CHECK(second.say("PASS secret").starts_with("-ERR [IN-USE]"));
  CHECK(is_ok(first.say("QUIT")));
  second.say("USER alice@example.org");
  CHECK(is_ok(second.say("PASS secret")));
  Talk bob(world);
  bob.say("USER bob@example.org");
  CHECK(is_ok(bob.say("PASS pass word")));  // another maildrop is no matter
}

TEST_CASE("who was told goodbye can log in again at once, for any timing") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world({.seed = seed, .workers = 3});
    for (int round = 0; round < 3; ++round) {
      Talk talk(world);
      talk.say("USER alice@example.org");
      CHECK(is_ok(talk.say("PASS secret")));
      talk.client().send("QUIT\r\n");
      world.sim.run_until([&] { return talk.client().received().find("goodbye") != std::string::npos; }, 5s);
    }
  }
}

TEST_CASE("a session goes on at its account's owner, wherever it began") {
  World world({.seed = 3, .workers = 4});
  for (int i = 0; i < 8; ++i) {
    Talk talk(world);
    talk.login();
    CHECK(talk.say("STAT") == "+OK 2 53\r\n");
    talk.say("QUIT");
  }
  REQUIRE(world.store.opened_on.size() == 8);
  for (unsigned worker : world.store.opened_on) CHECK(worker == world.server->owner_of("alice@example.org").index());
}

TEST_CASE("a maildrop that does not open leaves the client in AUTHORIZATION, without the lock") {
  World world;
  world.store.faults.open = "store.io";
  Talk talk(world);
  talk.say("USER alice@example.org");
  CHECK(talk.say("PASS secret").starts_with("-ERR [SYS/TEMP]"));
  CHECK(world.locks() == 0);
  world.store.faults.open = "store.no_account";
  talk.say("USER alice@example.org");
  CHECK(talk.say("PASS secret").starts_with("-ERR [SYS/PERM]"));
  CHECK(world.log.count("pop3.open_failed") == 2);
  world.store.faults.open.clear();
  talk.say("USER alice@example.org");
  CHECK(is_ok(talk.say("PASS secret")));
}

TEST_CASE("LOGIN-DELAY refuses who comes back too soon, and says how long to wait") {
  World world;
  world.settings->login_delay = 60s;
  {
    Talk talk(world);
    talk.login();
    talk.say("QUIT");
  }
  Talk talk(world);
  talk.say("USER alice@example.org");
  std::string reply = talk.say("PASS secret");
  CHECK(reply.starts_with("-ERR [LOGIN-DELAY] too soon"));
  CHECK(world.locks() == 0);
  world.sim.run_for(61s);
  talk.say("USER alice@example.org");
  CHECK(is_ok(talk.say("PASS secret")));
}

TEST_CASE("UTF8 comes before log-in, and STLS not after it") {
  World world;
  Talk talk(world);
  CHECK(is_ok(talk.say("UTF8")));
  CHECK(talk.say("STLS") == "-ERR STLS must come before UTF8\r\n");
  CHECK(talk.say("LANG") == "+OK languages\r\ni-default Default\r\nen English\r\n.\r\n");
  CHECK(talk.say("LANG en") == "+OK en English it is\r\n");
  CHECK(talk.say("LANG *") == "+OK i-default English it is\r\n");
  CHECK(is_err(talk.say("LANG de")));
  talk.login();
  CHECK(is_ok(talk.say("LANG EN")));
}

TEST_CASE("lines of over 255 octets and control characters are refused, not obeyed") {
  World world;
  Talk talk(world);
  CHECK(is_err(talk.say("USER " + std::string(260, 'a'))));
  CHECK(talk.say(std::string("USER al\0ice", 11)) == "-ERR control characters are not allowed in a command\r\n");
  CHECK(is_ok(talk.say("USER " + std::string(248, 'a'))));  // exactly 255 with CRLF
  CHECK(is_err(talk.say("USER " + std::string(249, 'a'))));
}

TEST_CASE("too many errors end the session") {
  World world;
  world.settings->max_errors = 3;
  Talk talk(world);
  std::string reply = talk.raw("X\r\nX\r\nX\r\nX\r\nX\r\n");
  CHECK(reply.ends_with("-ERR too many errors; goodbye\r\n"));
  CHECK(std::count(reply.begin(), reply.end(), '\n') == 5);
  CHECK(talk.ended());
}

TEST_CASE("connections of one address are counted server-wide, and given back") {
  World world;
  world.settings->max_connections_per_ip = 2;
  auto one = std::make_unique<Talk>(world);
  Talk two(world);
  Talk three(world);
  CHECK(three.ended());
  CHECK(three.greeting() == "-ERR [SYS/TEMP] too many connections from your address\r\n");
  Talk other(world, "203.0.113.9");
  CHECK_FALSE(other.ended());
  one->login();  // moves, and is counted still
  Talk four(world);
  CHECK(four.ended());
  one->say("QUIT");
  Talk five(world);
  CHECK_FALSE(five.ended());
}

TEST_CASE("more connections than the server takes are told so") {
  World world({.seed = 7, .workers = 1});
  world.settings->max_connections = 1;
  Talk one(world);
  Talk two(world);
  CHECK(two.ended());
  CHECK(two.greeting() == "-ERR [SYS/TEMP] too many connections; try again later\r\n");
}

TEST_CASE("drain ends idle sessions politely and deletes nothing") {
  World world;
  Talk waiting(world);
  Talk busy(world);
  busy.login();
  CHECK(is_ok(busy.say("DELE 1")));
  waiting.hear();
  world.drain();
  CHECK(waiting.hear() == "-ERR [SYS/TEMP] the server is shutting down\r\n");
  CHECK(busy.hear() == "-ERR [SYS/TEMP] the server is shutting down; nothing was deleted\r\n");
  CHECK(waiting.ended());
  CHECK(busy.ended());
  CHECK(world.alice().messages.size() == 2);
  CHECK(world.sessions() == 0);
}

TEST_CASE("drain lets a message finish, and cuts it at the deadline") {
  std::string text = "S: x\r\n\r\n" + std::string(300'000, 'x') + "\r\n";
  for (bool reads : {true, false}) {
    World world;
    world.store.chunk = 10'000;
    world.alice().messages = {{1, text}};
    Talk talk(world);
    talk.login();
    if (!reads) talk.client().pause_reading(true);
    talk.client().send("RETR 1\r\n");
    world.sim.run_for(8ms);
    world.drain(5s);
    CHECK(world.sessions() == 0);
    CHECK(world.locks() == 0);
    if (!reads) continue;
    CHECK(talk.hear().ends_with("xx\r\n.\r\n-ERR [SYS/TEMP] the server is shutting down; nothing was deleted\r\n"));
  }
}
