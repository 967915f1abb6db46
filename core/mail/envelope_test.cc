#include "postern/envelope.h"

#include <doctest/doctest.h>

using namespace postern;

namespace {

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);

Address addr(std::string_view text) {
  return *Address::parse(text, {.allow_postmaster = true});
}

Envelope full_envelope() {
  Envelope envelope;
  envelope.sender = addr("\"odd name\"@example.org");
  envelope.recipients = {{addr("a@x.org"), "rfc822;a+40x.org", kNotifySuccess | kNotifyDelay},
                         {addr("j\xc3\xb6rg@[IPv6:2001:db8::1]"), "", kNotifyNever},
                         {addr("postmaster"), "", kNotifyUnset}};
  envelope.ret = DsnReturn::kFull;
  envelope.body = BodyType::kBinaryMime;
  envelope.smtputf8 = true;
  envelope.require_tls = true;
  envelope.envid = "QQ+2B1";
  envelope.size = 1'234'567'890'123;
  envelope.priority = -9;
  envelope.deliver_by = DeliverBy{kNow + 120s, true, true};
  envelope.hold_until = kNow - 1h;
  return envelope;
}

template <class T>
std::string encoded(const T& value) {
  std::string out;
  value.encode(out);
  return out;
}

}  // namespace

TEST_CASE("an envelope survives its encoding, whole and empty") {
  const Envelope envelope = full_envelope();
  const auto back = Envelope::decode(encoded(envelope));
  REQUIRE(back.has_value());
  CHECK(*back == envelope);
  CHECK(*Envelope::decode(encoded(Envelope{})) == Envelope{});
  CHECK(encoded(Envelope{}).size() == 1);
  CHECK(Envelope::decode(encoded(Envelope{}))->sender.is_null());
}

TEST_CASE("encoding appends and stays small") {
  Envelope envelope;
  envelope.sender = addr("sender@example.org");
  envelope.recipients.push_back({addr("rcpt@example.org"), "", 0});
  std::string out = "before";
  envelope.encode(out);
  CHECK(out.starts_with("before"));
  CHECK(out.size() - 6 <= 1 + 2 + 18 + 4 + 16);
}

TEST_CASE("no cut and no flipped octet of an envelope crashes or passes its bounds") {
  const std::string good = encoded(full_envelope());
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto cut = Envelope::decode(std::string_view(good).substr(0, size));
    if (!cut) CHECK((cut.error().code == "envelope.damaged" || cut.error().code == "envelope.version"));
  }
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      if (const auto decoded = Envelope::decode(bad)) CHECK(Envelope::decode(encoded(*decoded)) == *decoded);
    }
  }
}

TEST_CASE("an envelope of another version or with unknown critical fields is refused, others are skipped") {
  CHECK(Envelope::decode("").error().code == "envelope.version");
  CHECK(Envelope::decode("\x02").error().code == "envelope.version");
  CHECK(*Envelope::decode(std::string("\x01\x50\x03xyz", 6)) == Envelope{});
  CHECK(Envelope::decode(std::string("\x01\xd0\x03xyz", 6)).error().code == "envelope.damaged");
  CHECK(Envelope::decode(std::string("\x01\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12)).error().code ==
        "envelope.damaged");
}

TEST_CASE("a decoded parameter can not end a command line") {
  CHECK_FALSE(Envelope::decode(std::string("\x01\x04\x03"
                                           "a\r\n",
                                           6))
                  .has_value());
  CHECK_FALSE(Envelope::decode(std::string("\x01\x04\x03"
                                           "a b",
                                           6))
                  .has_value());
  CHECK(Envelope::decode(std::string("\x01\x04\x03"
                                     "abc",
                                     6))
            ->envid == "abc");
}

TEST_CASE("the facts of a session survive their encoding") {
  ClientInfo info;
  info.ip = *IpAddress::parse("2001:db8::25");
  info.port = 65535;
  info.local_ip = *IpAddress::parse("192.0.2.1");
  info.local_port = 25;
  info.role = SessionRole::kSubmissions;
  info.esmtp = true;
  info.reverse_verified = true;
  info.reverse_name = "mx.example.org";
  info.ehlo = "[192.0.2.7]";
  info.tls_version = "TLSv1.3";
  info.tls_cipher = "TLS_AES_256_GCM_SHA384";
  info.tls_sni = "mail.example.org";
  info.tls_peer = "CN=peer";
  info.auth_user = "joe";
  info.auth_mechanism = "PLAIN";
  info.listener = "submissions";
  CHECK(ClientInfo::decode(encoded(info)) == info);
  CHECK(ClientInfo::decode(encoded(ClientInfo{})) == ClientInfo{});
  const std::string good = encoded(info);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(~bad[i]);
    (void)ClientInfo::decode(bad);
    (void)ClientInfo::decode(std::string_view(good).substr(0, i));
  }
  info.ehlo = std::string(5000, 'x');
  CHECK(ClientInfo::decode(encoded(info))->ehlo.size() == kMaxClientText);
}

TEST_CASE("the protocol's name for Received follows RFC 3848 and RFC 6531") {
  ClientInfo info;
  CHECK(info.protocol(false) == "SMTP");
  info.esmtp = true;
  CHECK(info.protocol(false) == "ESMTP");
  info.tls_version = "TLSv1.2";
  CHECK(info.protocol(false) == "ESMTPS");
  info.auth_user = "joe";
  CHECK(info.protocol(false) == "ESMTPSA");
  CHECK(info.protocol(true) == "UTF8SMTPSA");
  info.role = SessionRole::kLmtp;
  CHECK(info.protocol(false) == "LMTPSA");
  CHECK(to_string(info.role) == "lmtp");
}

TEST_CASE("a recipient wants what RFC 3461 says") {
  Recipient recipient;
  CHECK(recipient.wants(kNotifyFailure));
  CHECK(recipient.wants(kNotifyDelay));
  CHECK_FALSE(recipient.wants(kNotifySuccess));
  recipient.notify = kNotifyNever;
  CHECK_FALSE(recipient.wants(kNotifyFailure));
  recipient.notify = kNotifySuccess;
  CHECK(recipient.wants(kNotifySuccess));
  CHECK_FALSE(recipient.wants(kNotifyFailure));
}

TEST_CASE("xtext goes both ways and refuses what is none") {
  CHECK(xtext_encode("a+b=c d\xff") == "a+2Bb+3Dc+20d+FF");
  CHECK(*xtext_decode("a+2Bb+3Dc+20d+FF") == "a+b=c d\xff");
  CHECK(*xtext_decode("+2b") == "+");
  CHECK(xtext_decode("ab+").error().offset == 2);
  CHECK(xtext_decode("ab+2").error().offset == 2);
  CHECK(xtext_decode("ab+GG").error().offset == 2);
  CHECK(xtext_decode("a=b").error().offset == 1);
  CHECK(xtext_decode("a b").error().offset == 1);
}

TEST_CASE("NOTIFY is NEVER or a list") {
  CHECK(*parse_notify("never") == kNotifyNever);
  CHECK(*parse_notify("SUCCESS,delay") == (kNotifySuccess | kNotifyDelay));
  CHECK_FALSE(parse_notify("NEVER,SUCCESS").has_value());
  CHECK_FALSE(parse_notify("SUCCESS,SUCCESS").has_value());
  CHECK_FALSE(parse_notify("").has_value());
  CHECK_FALSE(parse_notify("SUCCESS,").has_value());
  CHECK(format_notify(kNotifySuccess | kNotifyFailure | kNotifyDelay) == "SUCCESS,FAILURE,DELAY");
  CHECK(format_notify(kNotifyNever) == "NEVER");
  CHECK(format_notify(0).empty());
}

TEST_CASE("ORCPT is taken apart in both address types") {
  CHECK(parse_orcpt("RFC822;a+40x.org")->type == "rfc822");
  CHECK(parse_orcpt("rfc822;a+40x.org")->address == "a@x.org");
  CHECK(parse_orcpt("utf-8;j\\x{F6}rg@x.org")->address == "j\xc3\xb6rg@x.org");
  CHECK(parse_orcpt("utf-8;j\xc3\xb6rg@x.org")->address == "j\xc3\xb6rg@x.org");
  CHECK_FALSE(parse_orcpt("rfc822").has_value());
  CHECK_FALSE(parse_orcpt(";a").has_value());
  CHECK_FALSE(parse_orcpt("rf c;a").has_value());
  CHECK_FALSE(parse_orcpt("utf-8;\\x{D800}").has_value());
  CHECK_FALSE(parse_orcpt("utf-8;\\x{}").has_value());
  CHECK(parse_orcpt("rfc822;" + std::string(600, 'a')).error().too_long);
  CHECK(format_orcpt("rfc822", "a+b@x.org") == "rfc822;a+2Bb@x.org");
  CHECK(format_orcpt("utf-8", "j\xc3\xb6\\rg+@x.org") == "utf-8;j\\x{F6}\\x{5C}rg\\x{2B}@x.org");
  CHECK(parse_orcpt(format_orcpt("utf-8", "\xe2\x82\xac\xf0\x9f\x93\xac@x"))->address ==
        "\xe2\x82\xac\xf0\x9f\x93\xac@x");
}

TEST_CASE("the other parameters are checked") {
  CHECK(*parse_ret("full") == DsnReturn::kFull);
  CHECK_FALSE(parse_ret("HEADERS").has_value());
  CHECK(*parse_body("8bitmime") == BodyType::k8BitMime);
  CHECK_FALSE(parse_body("9BIT").has_value());
  CHECK(*parse_envid("QQ+20") == "QQ ");
  CHECK(parse_envid(std::string(101, 'a')).error().too_long);
  CHECK_FALSE(parse_envid("").has_value());
  CHECK(*parse_declared_size("0") == 0);
  CHECK(*parse_declared_size("99999999999999999999") == ~std::uint64_t{0});
  CHECK_FALSE(parse_declared_size("999999999999999999999").has_value());
  CHECK_FALSE(parse_declared_size("-1").has_value());
  CHECK(*parse_priority("-9") == -9);
  CHECK(*parse_priority("+4") == 4);
  CHECK_FALSE(parse_priority("10").has_value());
  CHECK(parse_deliver_by("120;R", kNow) == DeliverBy{kNow + 120s, true, false});
  CHECK(parse_deliver_by("-5;nt", kNow) == DeliverBy{kNow - 5s, false, true});
  CHECK_FALSE(parse_deliver_by("0;R", kNow).has_value());
  CHECK_FALSE(parse_deliver_by("5", kNow).has_value());
  CHECK_FALSE(parse_deliver_by("5;X", kNow).has_value());
  CHECK_FALSE(parse_deliver_by("5;RTT", kNow).has_value());
  CHECK(parse_hold_for("60", kNow) == kNow + 60s);
  CHECK_FALSE(parse_hold_for("9999999999", kNow).has_value());
  CHECK(parse_hold_until("2026-11-21T00:00:00Z") == kNow);
  CHECK_FALSE(parse_hold_until("tomorrow").has_value());
}
