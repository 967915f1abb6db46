// Dialogues: early talkers, PROXY, XCLIENT, connection limits, drain.
#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

TEST_CASE("who speaks before the greeting is refused") {
  House house("greet_pause = \"5s\"");
  Dialogue rude(house);
  rude.send("EHLO a.example");
  rude.expect(554).expect_end();
  CHECK(house.policy.refusals == std::vector<std::string>{"You spoke before the greeting"});
  Dialogue polite(house);
  polite.expect_silence();
  house.sim.run_for(6s);
  polite.expect(220);
}

TEST_CASE("a hook may refuse a connection") {
  House house;
  house.policy.at_connect = [](SessionState& s) {
    CHECK(s.client.ip.to_string() == "198.51.100.7");
    CHECK(s.client.listener == "test");
    return Verdict::reject(554, "5.7.1", "listed");
  };
  Dialogue talk(house);
  talk.expect(554, "listed").expect_end();
  CHECK(house.policy.refusals.size() == 1);
}

TEST_CASE("a session that was refused something before MAIL leaves one trail, and one that only looked in none") {
  House house;
  Dialogue scanner(house);
  scanner.expect(220).send("HUH").expect(500).send("QUIT").expect(221).expect_end();
  CHECK(house.policy.refusals == std::vector<std::string>{"left before MAIL; 1 of 2 commands were refused"});
  Dialogue silent(house);
  silent.expect(220);
  silent.client().close();
  house.run();
  Dialogue polite(house);
  polite.hello().send("QUIT").expect(221).expect_end();
  CHECK(house.policy.refusals.size() == 1);
  house.policy.at_ehlo = [](SessionState&) { return Verdict::reject(550, "5.7.1", "not you"); };
  Dialogue told(house);  // by the refusal itself, and not once more at its end
  told.expect(220).send("EHLO a.example").expect(550).send("QUIT").expect(221).expect_end();
  CHECK(house.policy.refusals.size() == 2);
  house.policy.at_ehlo = nullptr;
  Dialogue mails(house);
  mails.hello().send("HUH").expect(500).envelope().send("RSET").expect(250).send("QUIT").expect(221).expect_end();
  CHECK(house.policy.refusals == std::vector<std::string>{"left before MAIL; 1 of 2 commands were refused", "not you"});
  Dialogue browser(house);
  browser.expect(220).send("GET / HTTP/1.1").expect(500).expect_end();
  CHECK(house.policy.refusals.back() == "spoke another protocol: GET");
}

TEST_CASE("PROXY from a named host says who the client is") {
  House house("proxy_protocol = [\"198.51.100.0/24\"]");
  std::string seen, proxy;
  house.policy.at_connect = [&](SessionState& s) {
    seen = s.client.ip.to_string() + ":" + std::to_string(s.client.port) + ">" + s.client.local_ip.to_string();
    proxy = s.proxy ? s.proxy->to_string() : "none";
    return Verdict{};
  };
  {
    Dialogue talk(house);
    talk.raw("PROXY TCP4 203.0.113.9 192.0.2.77 1234 25\r\n")
        .hello()
        .envelope()
        .send("DATA")
        .expect(354)
        .raw("\r\n.\r\n")
        .expect(250);
    CHECK(seen == "203.0.113.9:1234>192.0.2.77");
    CHECK(proxy == "198.51.100.7");
    CHECK(house.messages.at(0).prefix.find("[203.0.113.9]") != std::string::npos);
  }
  {
    Dialogue talk(house);
    talk.raw(std::string_view("\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24", 16));
    talk
        .raw(std::string_view(
            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x04\xd2\0\x19", 36))
        .hello();
    CHECK(seen == "2001:db8::9:1234>2001:db8::1");
  }
  {
    Dialogue talk(house);
    talk.raw("PROXY UNKNOWN\r\n").hello();
    CHECK(proxy == "none");
  }
  {
    Dialogue talk(house);  // a balancer that forgets its header is not believed to be a client
    talk.raw("EHLO a.example\r\n").expect_end();
    CHECK(house.log.count("smtp.proxy-header") == 1);
  }
  Dialogue stranger(house, Endpoint::parse("203.0.113.5:4000"));
  stranger.expect(220).send("PROXY TCP4 192.0.2.1 192.0.2.77 1234 25").expect(500);
}

TEST_CASE("XCLIENT is for named hosts, and begins the session anew") {
  House house("xclient = [\"198.51.100.7/32\"]");
  Dialogue talk(house);
  talk.hello();
  CHECK(talk.has("XCLIENT NAME ADDR"));
  talk.send("XCLIENT FOO=bar").expect(501).send("XCLIENT ADDR=nonsense").expect(501).send("XCLIENT").expect(501);
  talk.send("MAIL FROM:<a@x.example>")
      .expect(250)
      .send("XCLIENT ADDR=203.0.113.9")
      .expect(503)
      .send("RSET")
      .expect(250);
  talk.send("XCLIENT NAME=spike.example ADDR=203.0.113.9 PORT=99 HELO=real.example LOGIN=joe").expect(220);
  talk.send("MAIL FROM:<a@x.example>").expect(503).send("EHLO filter.example").expect(250).envelope();
  talk.send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
  const Accepted& mail = house.messages.at(0);
  CHECK(mail.client.ip.to_string() == "203.0.113.9");
  CHECK(mail.client.port == 99);
  CHECK(mail.client.ehlo == "real.example");
  CHECK(mail.client.auth_user == "joe");
  CHECK(mail.prefix.starts_with("Received: from real.example (spike.example [203.0.113.9])"));
  talk.send("XCLIENT ADDR=IPV6:2001:db8::5 NAME=[UNAVAILABLE] LOGIN=[UNAVAILABLE]").expect(220);
  talk.send("EHLO x.example").expect(250).envelope().send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
  CHECK(house.messages.at(1).client.ip.to_string() == "2001:db8::5");
  CHECK(house.messages.at(1).client.auth_user == "");
}

TEST_CASE("XCLIENT PROTO is the protocol of Received, whatever the proxy itself speaks") {
  House house("xclient = [\"198.51.100.7/32\"]");
  Dialogue talk(house);
  talk.hello();
  talk.send("XCLIENT PROTO=LMTP").expect(501).send("XCLIENT PROTO=[UNAVAILABLE]").expect(501);
  const auto received = [&](const char* attributes, const char* hello, const char* from) {
    talk.send(std::string("XCLIENT ") + attributes).expect(220).send(hello).expect(250).send(from).expect(250);
    talk.send("RCPT TO:<b@y.example>").expect(250).send("DATA").expect(354).raw("\r\n.\r\n").expect(250);
    const std::string& prefix = house.messages.back().prefix;
    const std::size_t at = prefix.find(" with ") + 6;
    return prefix.substr(at, prefix.find(' ', at) - at);
  };
  CHECK(received("PROTO=SMTP", "EHLO x.example", "MAIL FROM:<a@x.example> SIZE=10") == "SMTP");
  CHECK(received("PROTO=ESMTP", "HELO x.example", "MAIL FROM:<a@x.example>") == "ESMTP");
  CHECK(received("proto=esmtp LOGIN=joe", "HELO x.example", "MAIL FROM:<a@x.example>") == "ESMTPA");
  talk.send("MAIL FROM:<a@x.example> SIZE=10").expect(555);  // this session speaks HELO
  CHECK(received("ADDR=203.0.113.9", "EHLO x.example", "MAIL FROM:<a@x.example>") == "ESMTP");
}

TEST_CASE("one address may have so many sessions, counted over all workers") {
  HouseOptions options{.settings = "max_connections_per_ip = 2\nconnection_limit_exempt = [\"203.0.113.0/24\"]",
                       .listener = {},
                       .tls = {},
                       .sim = {}};
  options.sim.workers = 3;
  House house(options);
  Dialogue one(house, Endpoint::parse("198.51.100.7:1"));
  one.expect(220);
  {
    Dialogue two(house, Endpoint::parse("198.51.100.7:2"));
    two.expect(220);
    Dialogue three(house, Endpoint::parse("198.51.100.7:3"));
    three.expect(421, "from your address").expect_end();
    CHECK(house.policy.refusals == std::vector<std::string>{"Too many connections from your address"});
    Dialogue other(house, Endpoint::parse("198.51.100.8:3"));
    other.expect(220);
    two.send("QUIT").expect(221).expect_end();
  }
  house.sim.run_for(3s);
  Dialogue four(house, Endpoint::parse("198.51.100.7:4"));
  four.expect(220);
  for (int port = 1; port < 5; ++port) {
    Dialogue exempt(house, Endpoint::parse("203.0.113.9:" + std::to_string(port)));
    exempt.expect(220);
  }
}

TEST_CASE("the server as a whole may have so many sessions") {
  House house("role = \"mx\"", "max_connections = 1");
  Dialogue one(house);
  one.expect(220);
  Dialogue two(house, Endpoint::parse("198.51.100.8:2"));
  two.expect(421, "4.3.2").expect_end();
}

namespace {
Task<void> drain(House* house, Duration within, bool* done) {
  co_await house->server->drain(Deadline::after(within));
  *done = true;
}
}  // namespace

TEST_CASE("a drain ends idle sessions at once and lets a message come to its end") {
  House house;
  Dialogue idle(house), busy(house, Endpoint::parse("198.51.100.8:2")),
      texting(house, Endpoint::parse("198.51.100.9:2"));
  idle.hello();
  busy.hello().envelope();
  texting.hello().envelope().send("DATA").expect(354).raw("\r\nhalf");
  house.run();
  bool done = false;
  house.nursery->spawn(drain(&house, 60s, &done));
  house.run();
  idle.expect(421, "4.3.2").expect_end();
  texting.raw(" and half\r\n.\r\n").expect(250, "queued").expect(421).expect_end();
  busy.send("DATA").expect(354).raw("\r\n.\r\n").expect(250).expect(421).expect_end();
  house.sim.run_for(3s);
  CHECK(done);
  CHECK(house.messages.size() == 2);
}

TEST_CASE("a drain does not wait beyond its deadline") {
  House house;
  Dialogue talk(house);
  talk.hello().envelope();
  bool done = false;
  house.nursery->spawn(drain(&house, 10s, &done));
  house.sim.run_for(11s);
  talk.expect(421).expect_end();
  CHECK(done);
  CHECK(house.server->sessions() == 0);
}
