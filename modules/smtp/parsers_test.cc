// Command lines, PROXY headers, header mending, Received, settings, limits: the pure parts.
#include <doctest/doctest.h>

#include "command.h"
#include "connection_limiter.h"
#include "header_check.h"
#include "parameters.h"
#include "postern/message.h"
#include "proxy.h"
#include "received.h"
#include "settings.h"

using namespace postern;
using namespace postern::smtp;

TEST_CASE("verbs have no case and their arguments no blanks around them") {
  CHECK(parse_command("mAiL FROM:<a@b>").info->verb == Verb::kMail);
  CHECK(parse_command("MAIL   FROM:<a@b>  ").argument == "FROM:<a@b>");
  CHECK(parse_command("\tNOOP").info->verb == Verb::kUnknown);
  CHECK(parse_command("STARTTLSX").info->verb == Verb::kUnknown);
  CHECK(parse_command("MAI").info->verb == Verb::kUnknown);
  CHECK(parse_command("").info->verb == Verb::kUnknown);
  for (const CommandInfo& command : commands())
    if (!command.name.empty()) CHECK(parse_command(command.name).info == &command);
}

TEST_CASE("a source route is read and dropped") {
  const auto mail = parse_mail("FROM:<@a.example,@b.example:joe@c.example>", {});
  REQUIRE(mail);
  CHECK(mail->sender.to_string() == "joe@c.example");
}

TEST_CASE("a PROXY header that is incomplete is waited for, one that is wrong is not") {
  const std::string v1 = "PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n";
  const std::string v2("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x02\x04\xd2\0\x19", 28);
  for (const std::string& header : {v1, v2}) {
    for (std::size_t size = 0; size < header.size(); ++size)
      CHECK(parse_proxy(header.substr(0, size)).state == ProxyParse::State::kNeedMore);
    const ProxyParse done = parse_proxy(header + "EHLO");
    CHECK(done.state == ProxyParse::State::kDone);
    CHECK(done.header.length == header.size());
  }
  CHECK(parse_proxy(v1).header.source.to_string() == "[2001:db8::1]:65535");
  CHECK(parse_proxy(v2).header.source.to_string() == "127.0.0.1:1234");
  CHECK(parse_proxy(std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)).header.local);
  for (const std::string_view bad :
       {"EHLO x", "PROXX", "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "\r\n\r\nx"})
    CHECK(parse_proxy(bad).state == ProxyParse::State::kInvalid);
  CHECK(parse_proxy("PROXY " + std::string(120, 'x')).state == ProxyParse::State::kInvalid);
  CHECK(parse_proxy(std::string("\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", 16)).state == ProxyParse::State::kInvalid);
  CHECK(parse_proxy(std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", 16)).state == ProxyParse::State::kInvalid);
  CHECK(parse_proxy(std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04", 16) + "abcd").state ==
        ProxyParse::State::kInvalid);
}

TEST_CASE("a text begins with a header or with words, however it is cut") {
  using Answer = OpeningCheck::Answer;
  const std::pair<std::string_view, Answer> kTexts[] = {
      {"Subject: x", Answer::kHeader},   {"X-Odd : x", Answer::kHeader}, {"\r\nbody", Answer::kHeader},
      {"From a@b Sat", Answer::kHeader}, {"From: a@b", Answer::kHeader}, {"just words", Answer::kWords},
      {"words\r\n", Answer::kWords},     {" Folded: x", Answer::kWords}, {": x", Answer::kWords},
      {"\xC3\xBC: x", Answer::kWords},   {"Fro m: x", Answer::kWords},   {"Subject", Answer::kUndecided}};
  for (const auto& [text, expected] : kTexts) {
    CAPTURE(text);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      OpeningCheck check;
      Answer answer = check.feed(text.substr(0, cut));
      if (answer == Answer::kUndecided) answer = check.feed(text.substr(cut));
      CHECK((answer == expected));
    }
  }
  CHECK((OpeningCheck().feed(std::string(300, 'x')) == Answer::kWords));
}

TEST_CASE("a header that is complete is left alone") {
  const Address sender = *Address::parse("a@x.example");
  const std::string header = "From: a@x.example\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x>\r\n";
  const MendRules rules{
      .submission = true, .strip_bcc = true, .sender = sender, .hostname = "h", .now = {}, .random = 1};
  CHECK(!mend_header(header, read_header(header), rules));
}

TEST_CASE("users say when their mail is to go and how urgent it is, others do not") {
  const WallTime now(std::chrono::seconds(1'800'000'000));
  const auto parsed = [&](std::string text, bool timing = true) {
    return parse_mail("FROM:<a@b.example> " + text, {.timing = timing, .now = now});
  };
  const auto mail = parsed("MT-PRIORITY=-3 BY=600;RT HOLDFOR=60");
  REQUIRE(mail);
  CHECK(mail->priority == -3);
  CHECK(mail->deliver_by == DeliverBy{now + std::chrono::minutes(10), true, true});
  CHECK(mail->hold_until == now + std::chrono::minutes(1));
  CHECK(parsed("HOLDUNTIL=2027-01-16T00:00:00Z")->hold_until);
  for (const char* wrong : {"MT-PRIORITY=10", "BY=0;R", "BY=60", "HOLDFOR=-1", "HOLDFOR=9999999", "HOLDUNTIL=tomorrow",
                            "HOLDFOR=1 HOLDUNTIL=2027-01-16T00:00:00Z", "MT-PRIORITY"}) {
    INFO(wrong);
    REQUIRE_FALSE(parsed(wrong));
    CHECK(parsed(wrong).error().code == 501);
  }
  CHECK(parsed("HOLDFOR=60", false).error().code == 555);
  CHECK(parsed("BY=600;N", false).error().code == 555);
}

TEST_CASE("on submission a header gets what it lacks, and several authors get a sender") {
  const Address sender = *Address::parse("a@x.example");
  const MendRules rules{
      .submission = true, .strip_bcc = true, .sender = sender, .hostname = "h.example", .now = {}, .random = 1};
  const std::string header = "From: a@x.example, b@x.example\r\nBCC: c@x.example,\r\n d@x.example\r\nSubject: x\r\n";
  const auto mended = mend_header(header, read_header(header), rules);
  REQUIRE(mended);
  const HeaderBlock block(*mended);
  CHECK(block.value("Sender") == "<a@x.example>");
  CHECK(block.count("Date") == 1);
  CHECK(block.value("Message-ID").ends_with("@h.example>"));
  CHECK(block.count("Bcc") == 0);
  CHECK(block.count("From") == 1);
  CHECK(mended->starts_with("From: a@x.example, b@x.example\r\nSubject: x\r\n"));
}

TEST_CASE("elsewhere only Return-Path goes") {
  const Address sender;
  const MendRules rules{
      .submission = false, .strip_bcc = true, .sender = sender, .hostname = "h", .now = {}, .random = 1};
  const std::string header = "Return-Path: <x@y>\r\nBcc: a@b\r\n";
  CHECK(mend_header(header, read_header(header), rules) == "Bcc: a@b\r\n");
  CHECK(!mend_header("", read_header(""), rules));
  const std::string mailbox = "From a@b Sat Nov 21\r\nA: b\r\n";
  CHECK(mend_header(mailbox, read_header(mailbox), rules) == "A: b\r\n");
}

TEST_CASE("a Received field holds nothing that a client could use to write its own") {
  ClientInfo client;
  client.ip = *IpAddress::parse("2001:db8::1");
  client.ehlo = "bad)name;(x";
  client.reverse_name = "evil) by trusted (";
  client.esmtp = true;
  Envelope envelope;
  envelope.recipients.resize(2);
  const std::string field = make_received({client, envelope, "mx.example.org", MessageId(12345), WallTime{}});
  CHECK(field.starts_with(
      "Received: from [IPv6:2001:db8::1] (helo=badnamex evilbytrusted (may be forged) [IPv6:2001:db8::1])\r\n"));
  CHECK(field.find(" for ") == std::string::npos);
  CHECK(field.ends_with(";\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"));
  CHECK(HeaderBlock(field).count("Received") == 1);
}

TEST_CASE("IPv6 clients are counted by their /64") {
  CHECK(limit_key(*IpAddress::parse("2001:db8:1:2:3:4:5:6")) == *IpAddress::parse("2001:db8:1:2::"));
  CHECK(limit_key(*IpAddress::parse("192.0.2.1")) == *IpAddress::parse("192.0.2.1"));
  IpCounts counts(1);
  const IpAddress one = *IpAddress::parse("192.0.2.1");
  CHECK(counts.enter(one, 2));
  CHECK(counts.enter(one, 2));
  CHECK(!counts.enter(one, 2));
  counts.leave(one);
  CHECK(counts.enter(one, 2));
  counts.leave(one);
  counts.leave(one);
  CHECK(counts.addresses() == 0);
}

namespace {
std::string complaints(const std::string& listener, bool auth = true, bool tls = true) {
  ConfigSchemas schemas;
  schemas.add<Settings>();
  Diagnostics diagnostics;
  const auto config = Config::parse(
      schemas, "t.toml", "[[smtp.listener]]\nname = \"a\"\naddress = \"127.0.0.1:25\"\n" + listener, diagnostics);
  if (config) check_settings(config->get<Settings>(), auth, tls, diagnostics);
  return diagnostics.render();
}
}  // namespace

TEST_CASE("a local listener's socket is open to all, another's to its group, unless it is said") {
  ListenerSettings listener;
  CHECK(listener.socket_mode() == 0660);
  listener.role = SessionRole::kLocal;
  CHECK(listener.socket_mode() == 0666);
  listener.unix_mode = 0600;
  CHECK(listener.socket_mode() == 0600);
}

TEST_CASE("a user is counted apart from all others and from any address") {
  CHECK(limit_key_of_user(0) == *IpAddress::parse("100::"));
  CHECK(limit_key_of_user(0x01020304) == *IpAddress::parse("100::102:304"));
  CHECK(limit_key_of_user(1) != limit_key_of_user(256));
}

TEST_CASE("listeners that cannot be meant are refused with their place") {
  CHECK(complaints("") == "");
  CHECK(complaints("role = \"lmtp\"").find("port 25") != std::string::npos);
  CHECK(complaints("role = \"submissions\"\ntls = \"starttls\"").find("t.toml:5") != std::string::npos);
  CHECK(complaints("role = \"submission\"\nauth = false").find("without AUTH") != std::string::npos);
  CHECK(complaints("role = \"submission\"", false).find("\"auth\"") != std::string::npos);
  CHECK(complaints("tls = \"required\"", true, false).find("certificate") != std::string::npos);
  CHECK(complaints("[[smtp.listener]]\nname = \"a\"\naddress = \"127.0.0.1:25\"").find("second listener") !=
        std::string::npos);
  CHECK(complaints("allow_plaintext_auth = true").find("smtp.plaintext-auth") != std::string::npos);
  CHECK(complaints("role = \"local\"").find("t.toml:3:11: ") != std::string::npos);
  CHECK(complaints("role = \"local\"").find("Unix socket") != std::string::npos);
  CHECK(complaints("role = \"local\"\ntls = \"starttls\"").find("t.toml:5:7: ") != std::string::npos);
  CHECK(complaints("role = \"local\"\nauth = true").find("has no AUTH") != std::string::npos);
  CHECK(complaints("rolle = \"mx\"").find("role") != std::string::npos);
}

namespace {
/// Has certificates for two names.
class NamedTls final : public TlsService {
 public:
  class Names final : public TlsContext {
   public:
    std::unique_ptr<StreamFilter> make_filter() override { return nullptr; }
    std::unique_ptr<StreamFilter> make_client_filter(std::string_view) override { return nullptr; }
    std::vector<std::string> names() const override { return {"mail.example.org", "mx.example.org"}; }
  };
  std::shared_ptr<TlsContext> server(std::string_view name) override {
    const bool known = name.empty() || name == "mail.example.org" || name == "mx.example.org";
    return known ? std::make_shared<Names>() : nullptr;
  }
};
}  // namespace

TEST_CASE("a listener that names a certificate which is not there is refused with its place and the nearest name") {
  const auto said = [](const std::string& listener) {
    ConfigSchemas schemas;
    schemas.add<Settings>();
    Diagnostics diagnostics;
    const auto config = Config::parse(
        schemas, "t.toml", "[[smtp.listener]]\nname = \"a\"\naddress = \"127.0.0.1:25\"\n" + listener, diagnostics);
    REQUIRE_MESSAGE(config, diagnostics.render());
    NamedTls tls;
    check_certificates(config->get<Settings>(), tls, diagnostics);
    return diagnostics.render();
  };
  CHECK(said("certificate = \"mail.example.org\"") == "");
  CHECK(said("certificate = \"nobody\"\ntls = \"none\"") == "");  // nothing is shown there
  const std::string wrong = said("certificate = \"mial.example.org\"");
  CHECK_MESSAGE(wrong.find("t.toml:4:15") != std::string::npos, wrong);
  CHECK_MESSAGE(wrong.find("no certificate is for \"mial.example.org\"") != std::string::npos, wrong);
  CHECK_MESSAGE(wrong.find("\"mail.example.org\"") != std::string::npos, wrong);
}
