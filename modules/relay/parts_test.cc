// The small parts: texts of next hops and patterns, routes, log-ins, replies, dots, 7 bits, windows.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "capabilities.h"
#include "commands.h"
#include "credentials.h"
#include "dot_stuffer.h"
#include "next_hop.h"
#include "postern/config.h"
#include "postern/mime_edit.h"
#include "postern/random.h"
#include "postern/text.h"
#include "reply_reader.h"
#include "routes.h"
#include "site_window.h"

namespace postern::relay {

namespace {

Address address(std::string_view text) {
  auto parsed = text.empty() ? Parsed<Address>(Address()) : Address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

std::string stuffed(std::string_view text, std::size_t cut_1, std::size_t cut_2) {
  DotStuffer stuffer;
  std::string out;
  const auto put = [&](std::string_view piece) { out += piece; };
  stuffer.feed(text.substr(0, cut_1), put);
  stuffer.feed(text.substr(cut_1, cut_2 - cut_1), put);
  stuffer.feed(text.substr(cut_2), put);
  stuffer.finish(put);
  return out;
}

std::string seven_bit(std::string_view text, std::size_t step = 7) {
  MimeReader mime;
  mime.feed(text);
  MimePatcher downgrade = patches_to_7bit(mime.finish());
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += step) downgrade.feed(text.substr(at, step), out);
  downgrade.finish(out);
  CHECK(is_ascii(out));
  return out;
}

/// The bodies of all leaves, decoded.
struct Bodies final : MimeSink {
  std::vector<std::string> all;
  BodyDecoder decoder{TransferEncoding::k7Bit};
  void on_part(const MimePart& part) override { decoder = BodyDecoder(part.encoding); }
  void on_body(const MimePart&, std::string_view piece) override { decoder.feed(piece, current); }
  void on_part_end(const MimePart& part) override {
    if (!part.is_leaf()) return;
    decoder.finish(current);
    all.push_back(std::exchange(current, {}));
  }
  std::string current;
};

std::vector<std::string> bodies(std::string_view text) {
  Bodies sink;
  MimeReader mime({}, &sink);
  mime.feed(text);
  mime.finish();
  return sink.all;
}

}  // namespace

TEST_CASE("next hops are read as administrators write them") {
  auto hop = parse_next_hop("Example.ORG");
  REQUIRE(hop);
  CHECK(hop->host == "example.org");
  CHECK(hop->by_mx);
  CHECK(!hop->port);
  hop = parse_next_hop("[mx.example.org]:587");
  REQUIRE(hop);
  CHECK(hop->host == "mx.example.org");
  CHECK(!hop->by_mx);
  CHECK(hop->port == 587);
  hop = parse_next_hop("[IPv6:2001:db8::1]:2525");
  REQUIRE(hop);
  CHECK(hop->address == IpAddress::parse("2001:db8::1"));
  CHECK(hop->port == 2525);
  CHECK(parse_next_hop("192.0.2.1:26")->address == IpAddress::parse("192.0.2.1"));
  CHECK(parse_next_hop("smtps://[mx.example.org]")->implicit_tls);
  CHECK(parse_next_hop("smtps://[mx.example.org]")->port == 465);
  hop = parse_next_hop("lmtp:unix:/run/lmtp.sock");
  REQUIRE(hop);
  CHECK(hop->unix_path == "/run/lmtp.sock");
  CHECK(hop->protocol == Protocol::kLmtp);
  hop = parse_next_hop("lmtp://backend.example:2424");
  REQUIRE(hop);
  CHECK(hop->protocol == Protocol::kLmtp);
  CHECK(!hop->by_mx);
  CHECK(hop->port == 2424);
  CHECK(parse_next_hop("b\xc3\xbc"
                       "cher.example")
            ->host == "xn--bcher-kva.example");
  for (const char* wrong : {"", "[mx", "host:", "host:0", "host:99999", "a b", "lmtp:unix:relative", "[h]x", "-a-"})
    CHECK_MESSAGE(!parse_next_hop(wrong), wrong);
}

TEST_CASE("patterns fit what they name and nothing else") {
  const auto fits = [](std::string_view text, const Address& one) {
    const auto pattern = Pattern::parse(text);
    REQUIRE(pattern);
    return pattern->fits(one);
  };
  CHECK(fits("example.org", address("a@example.org")));
  CHECK(!fits("example.org", address("a@sub.example.org")));
  CHECK(fits(".example.org", address("a@sub.example.org")));
  CHECK(!fits(".example.org", address("a@example.org")));
  CHECK(!fits(".example.org", address("a@badexample.org")));
  CHECK(fits("bob@EXAMPLE.org", address("Bob@example.org")));
  CHECK(!fits("bob@example.org", address("eve@example.org")));
  CHECK(fits("*", address("x@y.example")));
  CHECK(fits("<>", Address()));
  CHECK(!fits("<>", address("x@y.example")));
  CHECK(!Pattern::parse("bad domain"));
  CHECK(!Pattern::parse("a@"));
  CHECK(!Pattern::parse("."));
}

TEST_CASE("the first route that fits is taken, exact domains or not") {
  std::vector<RouteSettings> settings(4);
  settings[0].name = "boss";
  settings[0].senders = {"boss@here.example"};
  settings[0].domains = {"example.org"};
  settings[1].name = "sub";
  settings[1].domains = {".example.org"};
  settings[2].name = "exact";
  settings[2].domains = {"example.org", "deep.sub.example.org"};
  settings[3].name = "rest";
  settings[3].domains = {"*"};
  const Routes routes(settings);
  const auto name = [&](std::string_view from, std::string_view to) {
    const Route* route = routes.find(address(from), address(to));
    return route ? route->settings.name : std::string();
  };
  CHECK(name("boss@here.example", "a@example.org") == "boss");
  CHECK(name("me@here.example", "a@example.org") == "exact");
  CHECK(name("me@here.example", "a@deep.sub.example.org") == "sub");
  CHECK(name("me@here.example", "a@other.example") == "rest");
  CHECK(routes.named("exact") != nullptr);
  CHECK(routes.named("none") == nullptr);
}

TEST_CASE("settings that contradict each other are reported with their places") {
  const auto complaints = [](std::string text) {
    ConfigSchemas schemas;
    schemas.add<DeliverySettings>();
    Diagnostics diagnostics;
    Config::parse(schemas, "t.toml", std::move(text), diagnostics);
    return diagnostics.render();
  };
  CHECK(complaints("[[delivery.route]]\nname = \"a\"\nto = [\"[h.example]:587\"]\n").empty());
  CHECK(complaints("[[delivery.route]]\nname = \"a\"\n[[delivery.route]]\nname = \"a\"\n").find("t.toml:4") !=
        std::string::npos);
  CHECK(complaints("[[delivery.route]]\nname = \"a\"\nsource = \"x\"\n").find("pool \"x\"") != std::string::npos);
  CHECK(complaints("[[delivery.route]]\nname = \"a\"\nto = [\"h:x\"]\n").find("port") != std::string::npos);
  CHECK(complaints("[[delivery.route]]\nname = \"a\"\ncredentials = \"x\"\n").find("credentials_file") !=
        std::string::npos);
  const std::string log_in =
      "[delivery]\ncredentials_file = \"f\"\n[[delivery.route]]\nname = \"a\"\nto = [\"h.example\"]\n"
      "credentials = \"x\"\n";
  CHECK(complaints(log_in).empty());
  CHECK(complaints(log_in + "tls = \"dane\"\n").empty());
  CHECK(complaints(log_in + "tls = \"encrypt\"\n").find("delivery.password-unverified") != std::string::npos);
  CHECK(complaints(log_in + "tls = \"none\"\n").find("without TLS") != std::string::npos);
  CHECK(complaints("[delivery]\ntls = \"yes\"\n").find("opportunistic") != std::string::npos);
}

TEST_CASE("a password goes to a verified host, or to any where the route says so") {
  Way way;
  CHECK(may_log_in(way, TlsLevel::kVerify));
  for (const TlsLevel level : {TlsLevel::kNone, TlsLevel::kOpportunistic, TlsLevel::kEncrypt}) {
    way.trusts_any = false;
    CHECK_FALSE(may_log_in(way, level));
    way.trusts_any = true;
    CHECK(may_log_in(way, level));
  }
}

TEST_CASE("log-ins are read from a file that nobody else can read") {
  auto read = Credentials::parse("# comment\nrelay:user:pass:word\n\n", "f");
  REQUIRE(read);
  CHECK(read->find("relay")->password == "pass:word");
  CHECK(read->find("other") == nullptr);
  CHECK(!Credentials::parse("relay:user\n", "f"));
  CHECK(Credentials::parse("a:b:c\na:b:c\n", "f").error().detail.starts_with("f:2:"));
  CHECK(Credentials::parse("a:b:secret\nx\n", "f").error().detail.find("secret") == std::string::npos);
  const auto file = std::filesystem::temp_directory_path() / ("relay-test-" + random_base32(8));
  std::ofstream(file) << "a:b:c\n";
  REQUIRE(::chmod(file.c_str(), 0640) == 0);
  CHECK(Credentials::read(file).error().detail.find("others") != std::string::npos);
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
  CHECK(Credentials::read(file)->find("a") != nullptr);
  std::filesystem::remove(file);
}

TEST_CASE("an enhanced code counts when it is of its reply's class") {
  CHECK(enhanced_code("5.1.1 nobody", 550) == "5.1.1");
  CHECK(enhanced_code("4.7.100", 450) == "4.7.100");
  CHECK(enhanced_code("5.1.1 nobody", 450).empty());
  CHECK(enhanced_code("5.1 nobody", 550).empty());
  CHECK(enhanced_code("5.1.1nobody", 550).empty());
  CHECK(enhanced_code("5.1.1234 x", 550).empty());
}

TEST_CASE("EHLO's lines become capabilities") {
  const auto can = Capabilities::parse(
      "mx.example.org\nSIZE 100\nPIPELINING\nAUTH=LOGIN PLAIN\nLIMITS RCPTMAX=5 MAILMAX=x RCPTDOMAINMAX=1\n"
      "XFORWARD NAME ADDR PROTO\nchunking\nPIPELININGX");
  CHECK(can.max_size == 100);
  CHECK(can.pipelining);
  CHECK(can.chunking);
  CHECK(can.auth_plain);
  CHECK(can.auth_login);
  CHECK(can.rcpt_max == 5);
  CHECK(!can.mail_max);
  CHECK(can.rcpt_domain_max == 1);
  CHECK(can.xforward == (Capabilities::kName | Capabilities::kAddr | Capabilities::kProto));
  CHECK(!can.dsn);
}

TEST_CASE("dots are doubled and lone CR and LF become line ends, however the text is cut") {
  const std::string text = ".a\r\n..b\r\nc.\r\n.\r\nlone\n.lf\rcr\r.x\r\r\n\n";
  const std::string whole = "..a\r\n...b\r\nc.\r\n..\r\nlone\r\n..lf\r\ncr\r\n..x\r\n\r\n\r\n.\r\n";
  for (std::size_t one = 0; one <= text.size(); ++one)
    for (std::size_t two = one; two <= text.size(); ++two) CHECK(stuffed(text, one, two) == whole);
  CHECK(stuffed("", 0, 0) == ".\r\n");
  CHECK(stuffed("no end", 2, 4) == "no end\r\n.\r\n");
  CHECK(stuffed("cr\r", 2, 3) == "cr\r\n.\r\n");
}

TEST_CASE("a text of many lines is stuffed alike in one piece and octet by octet, wherever a dot or a bare CR stands") {
  Prng random(12);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    while (text.size() < 400) text += std::string(random.next() % 90, random.next() % 4 != 0 ? 'x' : '.') + "\r\n";
    for (unsigned odd = static_cast<unsigned>(random.next() % 4); odd > 0; --odd)
      text[random.next() % text.size()] = std::string_view("\r\n.")[random.next() % 3];
    DotStuffer stuffer;
    std::string slow;
    const auto put = [&slow](std::string_view piece) { slow += piece; };
    for (const char& octet : text) stuffer.feed(std::string_view(&octet, 1), put);
    stuffer.finish(put);
    CHECK(stuffed(text, 0, text.size()) == slow);
  }
}

TEST_CASE("a text part becomes quoted-printable, another base64, and both say the same as before") {
  const std::string text =
      "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "preamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "gr\xc3\xbc\xc3\x9f = blank \r\ntab\t\r\n--b\r\nContent-Type: application/x\r\n"
      "Content-Transfer-Encoding: binary\r\n\r\n\x01\xff\x80"
      "data\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain stays = plain\r\n--b--\r\n";
  const std::string out = seven_bit(text);
  CHECK(out.find("boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n") != std::string::npos);
  CHECK(out.find("gr=C3=BC=C3=9F =3D blank=20\r\ntab=09\r\n") != std::string::npos);
  CHECK(out.find("\r\n\r\nplain stays = plain\r\n") != std::string::npos);
  CHECK(bodies(out) == bodies(text));
  for (std::size_t step : {1U, 2U, 64U, 1000U}) CHECK(seven_bit(text, step) == out);
}

TEST_CASE("8-bit text of no declared kind is declared when it is encoded") {
  const std::string out = seven_bit("Subject: x\r\n\r\n\xe9t\xe9\r\n");
  CHECK(out ==
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9t=E9\r\n");
}

TEST_CASE("long lines are broken softly, and nested messages are converted inside") {
  std::string line(300, 'x');
  for (std::size_t at = 0; at < line.size(); at += 7) line[at] = '\xfc';
  const std::string text =
      "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
      line + "\r\n";
  const std::string out = seven_bit(text);
  CHECK(bodies(out) == bodies(text));
  std::istringstream lines(out);
  for (std::string one; std::getline(lines, one);) CHECK(one.size() <= 77);
}

TEST_CASE("random octets survive both encodings") {
  Prng random(11);
  for (int round = 0; round < 200; ++round) {
    std::string body;
    const auto size = random.below(400);
    for (std::size_t at = 0; at < size; ++at) body += "\r\n =\xff.ab-"[random.below(9)];
    body += "\xff\r\n";
    const std::string kind = round % 2 ? "text/plain" : "image/x";
    const std::string text = "MIME-Version: 1.0\r\nContent-Type: " + kind +
                             "\r\nContent-Transfer-Encoding: " + (round % 2 ? "8bit" : "binary") + "\r\n\r\n" + body;
    CHECK(bodies(seven_bit(text, 1 + random.below(50))) == bodies(text));
  }
}

TEST_CASE("VERP puts the recipient into the sender") {
  CHECK(verp_sender(address("list@here.example"), address("bob@example.org")).to_string() ==
        "list+bob=example.org@here.example");
  CHECK(verp_sender(Address(), address("bob@example.org")).is_null());
}

TEST_CASE("PROXY headers say who the client was") {
  ClientInfo client;
  client.ip = *IpAddress::parse("198.51.100.9");
  client.port = 4321;
  client.local_ip = *IpAddress::parse("192.0.2.99");
  client.local_port = 25;
  std::string v1, v2, unknown;
  append_proxy_header(v1, client, ProxyHeader::kV1);
  CHECK(v1 == "PROXY TCP4 198.51.100.9 192.0.2.99 4321 25\r\n");
  append_proxy_header(v2, client, ProxyHeader::kV2);
  CHECK(v2 == std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\xc0\0\x02\x63\x10\xe1\0\x19", 28));
  append_proxy_header(unknown, ClientInfo{}, ProxyHeader::kV1);
  CHECK(unknown == "PROXY UNKNOWN\r\n");
}

TEST_CASE("a window grows while it is used and goes well") {
  SiteWindow window(2, 10);
  const auto round = [&](Duration took) {
    const std::uint32_t all = window.limit();
    for (std::uint32_t at = 0; at < all; ++at) window.start();
    for (std::uint32_t at = 0; at < all; ++at) {
      window.succeeded(took);
      window.end();
    }
  };
  round(10ms);
  CHECK(window.limit() == 4);
  round(10ms);
  CHECK(window.limit() == 8);
  round(10ms);
  CHECK(window.limit() == 10);
  // Not used: does not grow, and a failure halves it, once for all that was under way.
  for (int at = 0; at < 10; ++at) window.start();
  for (int at = 0; at < 10; ++at) {
    window.failed();
    window.end();
  }
  CHECK(window.limit() == 5);
  for (int at = 0; at < 40; ++at) round(2s);
  CHECK(window.limit() < 5);
  CHECK(window.limit() >= 1);
}

TEST_CASE("an unused window does not grow") {
  SiteWindow window(5, 100);
  for (int at = 0; at < 50; ++at) {
    window.start();
    window.succeeded(5ms);
    window.end();
  }
  CHECK(window.limit() == 5);
}

}  // namespace postern::relay
