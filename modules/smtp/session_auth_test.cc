// Dialogues: AUTH and STARTTLS.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "dialogue_for_tests.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;

namespace {

constexpr const char* kLessons = "role = \"submission\"\nallow_plaintext_auth = true";
constexpr const char* kRight = "AUTH PLAIN AGpvZQBzZWNyZXQ=";

std::shared_ptr<TlsContext> make_tls() {
  const auto folder = std::filesystem::temp_directory_path() / ("smtp_test_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  auto pair = make_self_signed({"mx.example.org"}, 2);
  REQUIRE(pair);
  std::ofstream(folder / "cert.pem") << pair->certificate;
  std::ofstream(folder / "key.pem") << pair->key;
  TlsServerOptions options;
  options.certificates = {{.certificate_file = folder / "cert.pem", .key_file = folder / "key.pem", .names = {}}};
  auto context = make_server_tls(options);
  std::filesystem::remove_all(folder);
  REQUIRE_MESSAGE(context, context.error().detail);
  return *context;
}

/// What a client with TLS does and sees; it runs on the same simulated worker.
struct TlsTalk {
  House& house;
  std::string before;  // plain octets first
  bool starttls = true;
  std::vector<std::string> lines;  // what to say under TLS, each after an answer
  std::string heard;
  std::string failure;
};

Task<std::string> reply_of(Stream* stream) {
  std::string all;
  while (true) {
    const Stream::Line line = co_await stream->read_line(4096, Deadline::after(10s));
    all += std::string(line.text) + "\n";
    if (line.text.size() < 4 || line.text[3] == ' ') co_return all;
  }
}

Task<void> converse(TlsTalk* talk) {
  try {
    Executor& executor = co_await this_executor();
    auto stream = co_await connect(executor, {.to = talk->house.bound->endpoint(), .from = {}}, Deadline::after(10s));
    TlsClientOptions options;
    options.verify = false;
    auto context = make_client_tls(options);
    if (!talk->before.empty()) co_await stream->write(talk->before, Deadline::after(10s));
    if (talk->starttls) {
      static_cast<void>(co_await reply_of(stream.get()));
      co_await stream->write("EHLO before.example\r\n", Deadline::after(10s));
      talk->heard += co_await reply_of(stream.get());
      co_await stream->write("STARTTLS\r\n", Deadline::after(10s));
      talk->heard += co_await reply_of(stream.get());
    }
    co_await stream->connect_tls(**context, "mx.example.org", Deadline::after(10s));
    if (!talk->starttls) talk->heard += co_await reply_of(stream.get());
    for (const std::string& line : talk->lines) {
      co_await stream->write(line + "\r\n", Deadline::after(10s));
      talk->heard += co_await reply_of(stream.get());
    }
  } catch (const Error& error) {
    talk->failure = error.what();
  }
}

void run(TlsTalk& talk) {
  talk.house.nursery->spawn(converse(&talk));
  talk.house.sim.run_for(20s);
}

}  // namespace

TEST_CASE("AUTH waits for TLS unless the listener gives lessons") {
  House house("role = \"submission\"");
  Dialogue talk(house);
  talk.hello();
  CHECK(!talk.has("AUTH"));
  talk.send(kRight).expect(538, "5.7.11").send("MAIL FROM:<a@x.example>").expect(530);
}

TEST_CASE("AUTH PLAIN with and without an initial response") {
  House house(kLessons);
  {
    Dialogue talk(house);
    talk.hello();
    CHECK(talk.has("AUTH PLAIN LOGIN"));
    talk.send(kRight).expect(235).send(kRight).expect(503).send("EHLO a.example").expect(250);
    CHECK(!talk.has("AUTH"));
    talk.envelope();
  }
  Dialogue talk(house);
  talk.hello().send("auth plain").expect(334).send("AGpvZQBzZWNyZXQ=").expect(235);
  talk.envelope().send("AUTH PLAIN").expect(503);
}

TEST_CASE("AUTH LOGIN, step by step") {
  House house(kLessons);
  Dialogue talk(house);
  talk.hello()
      .send("AUTH LOGIN")
      .expect(334, "VXNlcm5hbWU6")
      .send("am9l")
      .expect(334, "UGFzc3dvcmQ6")
      .send("c2VjcmV0")
      .expect(235);
  CHECK(house.log.last("smtp.authenticated")->field("user") == "joe");
}

TEST_CASE("a login that goes wrong says how") {
  House house(kLessons);
  Dialogue talk(house);
  talk.hello().send("AUTH").expect(501).send("AUTH CRAM-9").expect(504).send("AUTH LOGIN joe").expect(501, "base64");
  talk.send("AUTH LOGIN")
      .expect(334)
      .send("joe")
      .expect(501, "YWxpY2U=")
      .send("AUTH LOGIN")
      .expect(334)
      .send("*")
      .expect(501, "abandoned");
  talk.send("AUTH PLAIN =")
      .expect(501)
      .send("AUTH PLAIN")
      .expect(334)
      .send(std::string(13'000, 'A'))
      .expect(500, "5.5.6");
  talk.send("MAIL FROM:<a@x.example>").expect(530);
}

TEST_CASE("wrong passwords are answered late, and three are enough") {
  House house(kLessons);
  Dialogue talk(house);
  talk.hello();
  for (int n = 0; n < 3; ++n) {
    talk.send("AUTH PLAIN AGpvZQB3cm9uZw==");
    house.run();
    house.sim.run_for(1100ms);
    talk.expect(535, "5.7.8");
  }
  talk.expect(421).expect_end();
  CHECK(house.metrics.auth_failed.value() == 3);
}

TEST_CASE("AUTH that cannot be checked is temporary, and a hook may still say no") {
  House house(kLessons);
  house.auth.kind_when_right = AuthOutcome::Kind::kUnavailable;
  Dialogue talk(house);
  talk.hello().send(kRight).expect(454);
  house.auth.kind_when_right = AuthOutcome::Kind::kOk;
  house.policy.at_auth = [](SessionState& s) {
    CHECK(s.client.auth_user == "joe");
    CHECK(s.client.auth_mechanism == "PLAIN");
    return Verdict::reject(535, "5.7.0", "not from here");
  };
  talk.send(kRight).expect(535, "not from here").send("MAIL FROM:<a@x.example>").expect(530);
}

TEST_CASE("a throttled login is temporary, whatever the password, and still ends the session in the end") {
  House house(kLessons, "max_auth_failures = 2\nauth_failure_delay = \"0s\"");
  house.auth.kind_when_right = AuthOutcome::Kind::kTooMany;
  Dialogue talk(house);
  talk.hello().send(kRight).expect(454, "4.7.0").send(kRight).expect(454, "4.7.0");
  talk.expect(421).expect_end();
}

TEST_CASE("the AUTH parameter of MAIL is checked and believed to nobody") {
  House house(kLessons);
  Dialogue talk(house);
  talk.hello().send(kRight).expect(235).send("MAIL FROM:<a@x.example> AUTH=x+ZZ").expect(501);
  talk.send("MAIL FROM:<a@x.example> AUTH=e+3Dmc2@example.com").expect(250).send("RSET").expect(250);
  talk.send("MAIL FROM:<a@x.example> AUTH=<>").expect(250);
}

TEST_CASE("STARTTLS forgets what was said before it, and AUTH is offered within") {
  House house(HouseOptions{.settings = {}, .listener = "role = \"submission\"", .tls = make_tls(), .sim = {}});
  TlsTalk talk{house,
               {},
               true,
               {"MAIL FROM:<a@x.example>", "EHLO after.example", "STARTTLS", kRight, "MAIL FROM:<a@x.example>",
                "RCPT TO:<b@y.example>", "DATA", "\r\nx\r\n."},
               {},
               {}};
  run(talk);
  CAPTURE(talk.heard);
  CHECK(talk.failure == "");
  const std::size_t tls = talk.heard.find("220 2.0.0");
  REQUIRE(tls != std::string::npos);
  const std::string before = talk.heard.substr(0, tls), after = talk.heard.substr(tls);
  CHECK(before.find("250-STARTTLS") != std::string::npos);
  CHECK(before.find("AUTH") == std::string::npos);
  CHECK(after.find("503 5.5.1 Say EHLO first\n") != std::string::npos);
  CHECK(after.find("250-STARTTLS") == std::string::npos);
  CHECK(after.find("250-AUTH PLAIN LOGIN\n") != std::string::npos);
  CHECK(after.find("503 5.5.1 TLS is on already\n") != std::string::npos);
  REQUIRE(house.messages.size() == 1);
  CHECK(house.messages[0].prefix.find("(using TLSv1.") != std::string::npos);
  CHECK(house.messages[0].prefix.find(" with ESMTPSA id ") != std::string::npos);
  CHECK(house.metrics.tls_sessions.value() == 1);
}

TEST_CASE("commands pipelined behind STARTTLS are not injected into the protected session") {
  House house(HouseOptions{.settings = {}, .listener = {}, .tls = make_tls(), .sim = {}});
  auto wire = house.wire();
  wire->deliver("EHLO a.example\r\n");
  house.run();
  wire->deliver("STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n");
  house.sim.run_for(5s);
  CHECK(wire->sent.find("554 5.5.1") != std::string::npos);
  CHECK(wire->sent.find("220 2.0.0") == std::string::npos);
  CHECK(wire->ended);
}

TEST_CASE("a listener that requires TLS refuses mail without it") {
  House house(HouseOptions{.settings = {}, .listener = "tls = \"required\"", .tls = make_tls(), .sim = {}});
  Dialogue talk(house);
  talk.hello()
      .send("MAIL FROM:<a@x.example>")
      .expect(530, "STARTTLS")
      .send("VRFY x")
      .expect(530)
      .send("NOOP")
      .expect(250);
}

TEST_CASE("TLS from the first octet, also behind a PROXY header") {
  House house(HouseOptions{.settings = {},
                           .listener = "role = \"submissions\"\nproxy_protocol = [\"0.0.0.0/0\"]",
                           .tls = make_tls(),
                           .sim = {}});
  TlsTalk talk{house, "PROXY TCP4 203.0.113.9 192.0.2.1 1234 465\r\n", false, {"EHLO a.example", "QUIT"}, {}, {}};
  run(talk);
  CAPTURE(talk.heard);
  CHECK(talk.failure == "");
  CHECK(talk.heard.starts_with("220 mx.example.org"));
  CHECK(talk.heard.find("AUTH PLAIN") != std::string::npos);
  CHECK(talk.heard.find("221") != std::string::npos);
}
