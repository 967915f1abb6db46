// Dialogues as clients have them, over the simulated network: the maildrop and its commands.
#include <doctest/doctest.h>

#include "fakes_for_tests.h"

using namespace postern;
using namespace postern::pop3;
using namespace postern::pop3::testing;

TEST_CASE("a beginner reads two messages by hand and deletes one") {
  World world;
  Talk talk(world);
  CHECK(talk.greeting() == "+OK mail.example.org Postern POP3 ready\r\n");
  CHECK(is_ok(talk.say("user alice@example.org  ")));
  CHECK(talk.say("Pass secret") == "+OK alice@example.org has 2 messages (53 octets)\r\n");
  CHECK(talk.say("stat ") == "+OK 2 53\r\n");
  CHECK(talk.say("LiSt") == "+OK 2 messages (53 octets)\r\n1 23\r\n2 30\r\n.\r\n");
  CHECK(talk.say("RETR 1") == "+OK 23 octets\r\nSubject: one\r\n\r\nfirst\r\n.\r\n");
  CHECK(talk.say("retr   2  ") == "+OK 30 octets\r\nSubject: two\r\n\r\n..dot\r\nsecond\r\n.\r\n");
  CHECK(talk.say("dele 1") == "+OK message 1 will be deleted at QUIT\r\n");
  CHECK(talk.say("quit") == "+OK goodbye; 1 message left\r\n");
  CHECK(talk.ended());
  REQUIRE(world.alice().messages.size() == 1);
  CHECK(world.alice().messages[0].uid == 5);
  CHECK(world.alice().messages[0].seen);
  CHECK(world.locks() == 0);
}

TEST_CASE("a beginner with bare line feeds, blanks and mistakes gets along") {
  World world;
  Talk talk(world);
  CHECK(talk.raw("stat\n") == "-ERR STAT works after log-in: USER and PASS first\r\n");
  CHECK(talk.raw("PASS secret\n") == "-ERR USER and your name come before PASS\r\n");
  CHECK(talk.raw("USER\n") == "-ERR usage: USER name, for instance: USER alice@example.org\r\n");
  CHECK(talk.raw("\n") == "-ERR an empty line is no command; QUIT ends the session\r\n");
  CHECK(is_ok(talk.raw("  USER alice@example.org\n")));
  CHECK(is_ok(talk.raw("pass secret   \n")));  // blanks typed by mistake
  CHECK(talk.raw("RETRR 1\n") == "-ERR unknown command; did you mean RETR?\r\n");
  CHECK(talk.raw("RETR one\n") == "-ERR a message number is wanted, for instance 1\r\n");
  CHECK(talk.raw("RETR 0\n") == "-ERR messages are counted from 1\r\n");
  CHECK(talk.raw("RETR 3\n") == "-ERR no such message; the last one is 2\r\n");
  CHECK(talk.raw("RETR\n") == "-ERR usage: RETR number, for instance: RETR 1\r\n");
  CHECK(talk.raw("USER bob\n") == "-ERR USER works before log-in only, and you are logged in\r\n");
  CHECK(is_ok(talk.raw("Quit\n")));
}

TEST_CASE("a password keeps its blanks") {
  World world;
  Talk talk(world);
  talk.say("USER bob@example.org");
  CHECK(talk.say("PASS pass word") == "+OK bob@example.org has 0 messages (0 octets)\r\n");
  CHECK(talk.say("RETR 1") == "-ERR no such message; the maildrop is empty\r\n");
  CHECK(talk.say("LIST") == "+OK 0 messages (0 octets)\r\n.\r\n");
  CHECK(talk.say("QUIT") == "+OK goodbye; the maildrop is empty\r\n");
}

TEST_CASE("a password that ends in blanks is tried as it came first") {
  World world;
  world.auth.passwords["alice@example.org"] = "secret  ";
  Talk talk(world);
  talk.login("alice@example.org", "secret  ");
  CHECK(is_ok(talk.say("STAT")));
  CHECK(world.auth.checks == 1);
}

TEST_CASE("every command of the other state is refused and changes nothing") {
  World world;
  Talk talk(world);
  for (const char* line : {"STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 1", "UIDL", "LAST"}) {
    CAPTURE(line);
    CHECK(is_err(talk.say(line)));
  }
  talk.login();
  for (const char* line : {"USER bob@example.org", "PASS pass word", "APOP a b", "AUTH PLAIN", "STLS", "UTF8"}) {
    CAPTURE(line);
    CHECK(is_err(talk.say(line)));
  }
  CHECK(talk.say("STAT") == "+OK 2 53\r\n");
}

TEST_CASE("commands refuse arguments that they do not take") {
  World world;
  Talk talk(world);
  talk.login();
  for (const char* line : {"STAT 1", "LIST 1 2", "RETR 1 2", "DELE", "NOOP x", "RSET x", "TOP 1", "TOP 1 -1", "TOP 1 x",
                           "UIDL 1 2", "LAST 1", "QUIT 1"}) {
    CAPTURE(line);
    CHECK(is_err(talk.say(line)));
  }
  CHECK(talk.say("NOOP") == "+OK still here\r\n");
}

TEST_CASE("deleted messages are gone from every answer until RSET") {
  World world;
  Talk talk(world);
  talk.login();
  CHECK(is_ok(talk.say("DELE 1")));
  CHECK(talk.say("STAT") == "+OK 1 30\r\n");
  CHECK(talk.say("LIST") == "+OK 1 message (30 octets)\r\n2 30\r\n.\r\n");
  CHECK(talk.say("UIDL") == "+OK message numbers and unique ids\r\n2 id5\r\n.\r\n");
  for (const char* line : {"LIST 1", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1"}) {
    CAPTURE(line);
    CHECK(talk.say(line) == "-ERR message 1 is marked as deleted; RSET brings it back\r\n");
  }
  CHECK(talk.say("RSET") == "+OK maildrop has 2 messages (53 octets)\r\n");
  CHECK(talk.say("LIST 1") == "+OK 1 23\r\n");
  CHECK(talk.say("UIDL 2") == "+OK 2 id5\r\n");
  CHECK(is_ok(talk.say("QUIT")));
  CHECK(world.alice().messages.size() == 2);
}

TEST_CASE("LAST is the highest message accessed, is kept by QUIT and set back by RSET") {
  World world;
  world.alice().messages.push_back({9, "Subject: three\r\n\r\nx\r\n"});
  {
    Talk talk(world);
    talk.login();
    CHECK(talk.say("LAST") == "+OK 0\r\n");
    talk.say("RETR 2");
    CHECK(talk.say("LAST") == "+OK 2\r\n");
    talk.say("RETR 1");
    CHECK(talk.say("LAST") == "+OK 2\r\n");
    talk.say("DELE 1");
    talk.say("QUIT");
  }
  {
    Talk talk(world);
    talk.login();
    CHECK(talk.say("LAST") == "+OK 1\r\n");  // the same message has another number now
    talk.say("TOP 2 0");
    CHECK(talk.say("LAST") == "+OK 2\r\n");
    talk.say("RSET");
    CHECK(talk.say("LAST") == "+OK 1\r\n");
    talk.say("RETR 2");
    talk.client().close();  // not kept: no QUIT
    talk.wait();
  }
  Talk talk(world);
  talk.login();
  CHECK(talk.say("LAST") == "+OK 1\r\n");
}

TEST_CASE("TOP sends the header and so many lines of the body") {
  World world;
  world.store.chunk = 7;  // lines and CRLF are cut apart
  world.alice().messages = {{1, "A: b\r\nC: d\r\n\r\n.one\r\ntwo\r\n\r\nfour\r\n"}};
  Talk talk(world);
  talk.login();
  CHECK(talk.say("TOP 1 0") == "+OK top of the message\r\nA: b\r\nC: d\r\n\r\n.\r\n");
  CHECK(talk.say("TOP 1 1") == "+OK top of the message\r\nA: b\r\nC: d\r\n\r\n..one\r\n.\r\n");
  CHECK(talk.say("TOP 1 3") == "+OK top of the message\r\nA: b\r\nC: d\r\n\r\n..one\r\ntwo\r\n\r\n.\r\n");
  CHECK(talk.say("TOP 1 99999999999999") ==
        "+OK top of the message\r\nA: b\r\nC: d\r\n\r\n..one\r\ntwo\r\n\r\nfour\r\n.\r\n");
  talk.say("QUIT");
  CHECK_FALSE(world.alice().messages[0].seen);  // looking at the top is not reading
}

TEST_CASE("a large message full of dots arrives as it was, in chunks of any size") {
  std::string text = "Subject: large\r\n\r\n";
  for (int i = 0; i < 20'000; ++i) text += fmt::format("{}line {}\r\n", i % 3 ? "" : ".", i);
  text += "no end";
  for (std::size_t chunk : {std::size_t{1000}, std::size_t{65'536}, std::size_t{1'000'000}}) {
    World world;
    world.store.chunk = chunk;
    world.alice().messages = {{1, text}};
    Talk talk(world);
    talk.login();
    talk.client().send("RETR 1\r\nNOOP\r\n");
    world.sim.run_for(60s);
    std::string reply = talk.hear();
    std::string expected = fmt::format("+OK {} octets\r\n", text.size());
    std::string_view rest = text;
    for (bool start = true; !rest.empty();) {
      if (start && rest.front() == '.') expected += '.';
      std::size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      expected += rest.substr(0, end);
      rest.remove_prefix(end);
    }
    expected += "\r\n.\r\n+OK still here\r\n";
    CHECK(reply == expected);
  }
}

TEST_CASE("a client that does not read bounds what the server holds") {
  World world;
  world.store.chunk = 64 * 1024;
  world.alice().messages = {{1, "S: x\r\n\r\n" + std::string(8 << 20, 'x') + "\r\n"}};
  Talk talk(world);
  talk.login();
  talk.client().pause_reading(true);
  talk.client().send("RETR 1\r\n");
  world.sim.run_for(1min);
  CHECK_FALSE(talk.ended());
  world.sim.run_for(5min);  // write_timeout
  CHECK(world.sessions() == 0);
  CHECK(world.locks() == 0);
  CHECK_FALSE(world.alice().messages[0].seen);
}

TEST_CASE("pipelined commands are answered in order and in few writes") {
  World world;
  Talk talk(world);
  std::string reply =
      talk.raw("USER alice@example.org\r\nPASS secret\r\nSTAT\r\nDELE 1\r\nRSET\r\nUIDL\r\nQUIT\r\nSTAT\r\n");
  CHECK(reply ==
        "+OK now PASS and your password\r\n+OK alice@example.org has 2 messages (53 octets)\r\n+OK 2 53\r\n"
        "+OK message 1 will be deleted at QUIT\r\n+OK maildrop has 2 messages (53 octets)\r\n"
        "+OK message numbers and unique ids\r\n1 id1\r\n2 id5\r\n.\r\n+OK goodbye; 2 messages left\r\n");
}

TEST_CASE("a lost connection deletes nothing and gives the maildrop back") {
  World world;
  for (bool hard : {false, true}) {
    Talk talk(world);
    talk.login();
    CHECK(is_ok(talk.say("DELE 1")));
    CHECK(world.locks() == 1);
    hard ? talk.client().reset() : talk.client().finish();
    talk.wait();
    CHECK(world.locks() == 0);
    CHECK(world.alice().messages.size() == 2);
  }
}

TEST_CASE("a silent client is disconnected without a word and without UPDATE") {
  World world;
  Talk talk(world);
  talk.login();
  talk.say("DELE 1");
  world.sim.run_for(9min);
  CHECK_FALSE(talk.ended());
  world.sim.run_for(2min);
  CHECK(talk.ended());
  CHECK(talk.hear() == "");
  CHECK(world.alice().messages.size() == 2);
  CHECK(world.locks() == 0);
}

TEST_CASE("messages that cannot be removed are named") {
  World world;
  world.alice().messages.push_back({9, "Subject: three\r\n\r\nx\r\n"});
  world.store.faults.remove_uid = {5};
  Talk talk(world);
  talk.login();
  talk.raw("DELE 1\r\nDELE 2\r\nDELE 3\r\n");
  CHECK(talk.say("QUIT") == "-ERR [SYS/TEMP] 1 of 3 deleted messages not removed: 2\r\n");
  REQUIRE(world.alice().messages.size() == 1);
  CHECK(world.alice().messages[0].uid == 5);
  CHECK(world.log.count("pop3.update_failed") == 1);
  CHECK(world.locks() == 0);
}

TEST_CASE("when nothing can be removed, the answer stays within a line") {
  World world;
  world.alice().messages.clear();
  for (std::uint32_t i = 1; i <= 300; ++i) world.alice().messages.push_back({i, "A: b\r\n\r\n"});
  world.store.faults.remove_all = true;
  Talk talk(world);
  talk.login();
  for (int i = 1; i <= 300; ++i) talk.client().send(fmt::format("DELE {}\r\n", i));
  talk.wait();
  talk.client().send("QUIT\r\n");
  world.sim.run_for(5s);
  std::string reply = talk.hear();
  CHECK(reply.starts_with("-ERR [SYS/TEMP] 300 of 300 deleted messages not removed: 1 2 3"));
  CHECK(reply.size() <= kMaxResponseBytes);
  CHECK(reply.ends_with(" and more\r\n"));
  CHECK(world.alice().messages.size() == 300);
}

TEST_CASE("a message that cannot be read is refused, one that breaks off never looks whole") {
  World world;
  Talk talk(world);
  talk.login();
  world.store.faults.read = "store.io";
  CHECK(talk.say("RETR 1") == "-ERR [SYS/TEMP] message 1 cannot be read now\r\n");
  world.store.faults.read.clear();
  world.store.faults.read_breaks_off = true;
  world.store.chunk = 10;
  Talk other(world);
  CHECK(is_ok(talk.say("QUIT")));
  other.login();
  std::string reply = other.say("RETR 1");
  CHECK(reply.find("\r\n.\r\n") == std::string::npos);
  CHECK(other.ended());
  CHECK(world.locks() == 0);
}

TEST_CASE("fetched messages expire at QUIT when the setting says so") {
  World world;
  world.settings->expire_days = 30;
  world.alice().messages[0].received = SimOptions().start - std::chrono::days(31);
  world.alice().messages[1].received = SimOptions().start - std::chrono::days(29);
  Talk talk(world);
  talk.login();
  CHECK(talk.say("CAPA").find("\r\nEXPIRE 30\r\n") != std::string::npos);
  talk.say("RETR 1");
  talk.say("RETR 2");
  CHECK(is_ok(talk.say("QUIT")));
  REQUIRE(world.alice().messages.size() == 1);
  CHECK(world.alice().messages[0].uid == 5);
}
