// ALPN towards mail hosts: none is offered, and a host that chooses one all the same is not talked to.
#include "relay_for_tests.h"

namespace postern::relay::test {

namespace {

void append_two(std::string& out, std::size_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number & 0xff);
}

/// The first record of a TLS 1.2 server (RFC 5246 §7.4.1.3), with the one extension that OpenSSL insists on and, when
/// `protocol` is not empty, with an answer to an ALPN that nobody has offered (RFC 7301 §3.1).
std::string server_hello(std::string_view protocol) {
  std::string extensions("\xff\x01\x00\x01\x00", 5);  // renegotiation_info, empty
  if (!protocol.empty()) {
    append_two(extensions, 16);
    append_two(extensions, protocol.size() + 3);
    append_two(extensions, protocol.size() + 1);
    extensions += static_cast<char>(protocol.size());
    extensions += protocol;
  }
  std::string body("\x03\x03");
  body.append(32, 'r');
  body.append("\x00\xc0\x2f\x00", 4);  // no session, ECDHE-RSA-AES128-GCM-SHA256, no compression
  append_two(body, extensions.size());
  body += extensions;
  std::string record("\x16\x03\x03", 3);
  append_two(record, body.size() + 4);
  record.append("\x02\x00", 2);
  append_two(record, body.size());
  return record + body;
}

/// Takes STARTTLS and answers the client's hello with that record, and with nothing more.
struct HalfTlsHost {
  HalfTlsHost(World& world, std::string its_answer)
      : listener(world.sim.listen({*IpAddress::parse("192.0.2.1"), 25, {}})), answer(std::move(its_answer)) {}
  std::unique_ptr<SimListener> listener;
  std::string answer;
  std::unique_ptr<SimClient> end{};
  std::string heard{};  // since the last answer

  void pump() {
    if (!end) {
      end = listener->accept();
      if (end) end->send("220 mx.example.org ready\r\n");
      return;
    }
    heard += end->take();
    if (heard.starts_with("EHLO ")) say("250-mx.example.org\r\n250 STARTTLS\r\n");
    if (heard == "STARTTLS\r\n") say("220 go\r\n");
    if (heard.starts_with('\x16') && !answer.empty()) say(std::exchange(answer, {}));
  }
  void say(const std::string& text) {
    heard.clear();
    end->send(text);
  }
};

}  // namespace

TEST_CASE("a host that chooses an ALPN protocol, though none was offered, is refused in the handshake") {
  for (const char* protocol : {"smtp", "http/1.1", ""}) {
    CAPTURE(protocol);
    World world("tls = \"encrypt\"\n[delivery.timeout]\ntls = \"5s\"\n");
    world.dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
    HalfTlsHost host(world, server_hello(protocol));
    const auto letter = world.mail("a@here.example", {"b@example.org"});
    const auto attempt = world.begin(*letter);
    REQUIRE(world.run([&] {
      host.pump();
      return attempt->done && host.end->ended();
    }));
    host.pump();
    CHECK(attempt->results[0].kind == AttemptResult::Kind::kDeferred);
    CHECK(attempt->results[0].reply.enhanced == "4.7.5");
    const std::string& why = attempt->results[0].reply.text;
    CAPTURE(why);
    // A host that chooses nothing is waited for, until its time is over.
    CHECK((why.find("unsolicited extension") != std::string::npos) == (*protocol != 0));
    CHECK((why.find("too long") == std::string::npos) == (*protocol != 0));
    CHECK((attempt->took < 4s) == (*protocol != 0));
  }
}

}  // namespace postern::relay::test
