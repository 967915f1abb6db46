#include "mailets_for_tests.h"

namespace postern::mailets {
namespace {

TEST_CASE("recipients are matched by address, pattern, domain, name and directory") {
  Mail m;
  CHECK(m.select("all") == "0-2");
  CHECK(m.select("recipient_is", value("BOB@ours.example")) == "0");
  CHECK(m.select("recipient_is", list("bob@ours.example", "x@relayed.example")) == "0,2");
  CHECK(m.select("recipient_is_regex", value("[a-z]+@ours\\.example")) == "0-1");
  CHECK(m.select("recipient_domain_is", value("Relayed.Example")) == "2");
  CHECK(m.select("host_is_local") == "0-1");
  CHECK(m.select("recipient_is_local") == "0-1");
  CHECK(m.select("user_is", list("eve", "X")) == "1-2");
  CHECK(m.select("relay_allowed") == "2");
  CHECK(m.select("is_single_recipient") == "");
  CHECK(m.select("recipient_count_exceeds", value(2)) == "0-2");
  CHECK(m.select("recipient_count_exceeds", value(3)) == "");
}

TEST_CASE("postmaster is local, with a mailbox or without") {
  Mail m;
  m.add("postmaster@ours.example");
  m.add("nobody@ours.example");
  CHECK(m.select("recipient_is_local") == "0-1,3");
}

TEST_CASE("senders are matched by address, pattern and domain") {
  Mail m;
  CHECK(m.select("sender_is", value("alice@elsewhere.example")) == "0-2");
  CHECK(m.select("sender_is", value("bob@elsewhere.example")) == "");
  CHECK(m.select("sender_is_regex", value("(?i)alice@.*")) == "0-2");
  CHECK(m.select("sender_domain_is", value("elsewhere.example")) == "0-2");
  CHECK(m.select("sender_is_null") == "");
  CHECK(m.select("sender_host_is_local") == "");
  CHECK(m.select("sender_is_local") == "");
  m.mail.envelope.sender = address("bob@ours.example");
  CHECK(m.select("sender_host_is_local") == "0-2");
  CHECK(m.select("sender_is_local") == "0-2");
  m.mail.envelope.sender = address("nobody@ours.example");
  CHECK(m.select("sender_is_local") == "");
  m.directory.down = true;
  CHECK(m.select("sender_is_local") == "fault: directory.temporary");
  m.mail.envelope.sender = Address();
  CHECK(m.select("sender_is_null") == "0-2");
}

TEST_CASE("a fake domain has neither MX nor address, or a null MX; a failing DNS says nothing") {
  Mail m;
  CHECK(m.select("sender_in_fake_domain") == "0-2");
  m.dns.a("elsewhere.example", "198.51.100.1");
  CHECK(m.select("sender_in_fake_domain") == "");
  m.dns.mx("elsewhere.example", 0, ".");
  CHECK(m.select("sender_in_fake_domain") == "0-2");
  m.dns.erase("elsewhere.example").fail("elsewhere.example", DnsStatus::kServfail);
  CHECK(m.select("sender_in_fake_domain") == "fault: dns.temporary");
  m.mail.envelope.sender = Address();
  CHECK(m.select("sender_in_fake_domain") == "");
}

TEST_CASE("clients are matched by address, login and TLS") {
  Mail m;
  CHECK(m.select("remote_addr_in_network", list("192.0.2.0/24", "2001:db8::/32")) == "0-2");
  CHECK(m.select("remote_addr_in_network", value("198.51.100.0/24")) == "");
  CHECK(m.select("remote_addr_not_in_network", value("198.51.100.0/24")) == "0-2");
  CHECK(m.select("remote_addr_not_in_network", ScriptValue{ScriptValue::List{}, {}}) == "0-2");
  CHECK(m.select("smtp_auth_successful") == "");
  CHECK(m.select("tls_is") == "");
  CHECK(m.select("smtp_is_auth_network") == "");
  m.session.client.auth_user = "bob";
  m.session.client.tls_version = "TLSv1.3";
  m.session.relay_network = true;
  CHECK(m.select("smtp_auth_successful") == "0-2");
  CHECK(m.select("smtp_auth_user_is", list("bob", "eve")) == "0-2");
  CHECK(m.select("smtp_auth_user_is", value("eve")) == "");
  CHECK(m.select("tls_is") == "0-2");
  CHECK(m.select("tls_is", value("TLSv1.2")) == "");
  CHECK(m.select("smtp_is_auth_network") == "0-2");
}

TEST_CASE("a DNS list counts its own codes, not the one for a refused question, and nothing when it is down") {
  Mail m;
  CHECK(m.select("in_dnsbl", value("bl.example")) == "");
  m.dns.a("1.2.0.192.bl.example", "127.0.0.2");
  CHECK(m.select("in_dnsbl", value("bl.example")) == "0-2");
  CHECK(m.select("in_dnsbl", table({{"zone", value("bl.example")}, {"codes", list("127.0.0.4", "127.0.0.8/29")}})) ==
        "");
  m.dns.erase("1.2.0.192.bl.example").a("1.2.0.192.bl.example", "127.255.255.254");
  CHECK(m.select("in_dnsbl", value("bl.example")) == "");
  m.dns.erase("1.2.0.192.bl.example").fail("1.2.0.192.bl.example", DnsStatus::kTimeout);
  CHECK(m.select("in_dnsbl", value("bl.example")) == "");
}

TEST_CASE("messages are matched by header, size, notes and loops") {
  Mail m(
      "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Score: 5.2 of 10\r\nX-Loop: us\r\nContent-Type: Image/PNG; "
      "name=a\r\n");
  CHECK(m.select("subject_is", value("Grüße")) == "0-2");
  CHECK(m.select("subject_starts_with", value("gr")) == "0-2");
  CHECK(m.select("has_header", value("x-loop")) == "0-2");
  CHECK(m.select("has_header", list("X-Loop", "them")) == "");
  CHECK(m.select("compare_numeric_header",
                 ScriptValue{ScriptValue::List{value("X-Score"), value(">="), value(5)}, {}}) == "0-2");
  CHECK(m.select("compare_numeric_header",
                 ScriptValue{ScriptValue::List{value("X-Score"), value("<"), value(5.0)}, {}}) == "");
  CHECK(m.select("compare_numeric_header", ScriptValue{ScriptValue::List{value("X-None"), value("<"), value(5)}, {}}) ==
        "");
  CHECK(m.select("has_mime_type", value("image/*")) == "0-2");
  CHECK(m.select("has_mime_type", value("text/plain")) == "");
  CHECK(m.select("size_over", value("1 KiB")) == "");
  CHECK(m.select("size_over", value(10)) == "0-2");
  CHECK(m.select("relay_limit", value(3)) == "");
  m.mail.received_count = 3;
  CHECK(m.select("relay_limit", value(3)) == "0-2");
  CHECK(m.select("has_note", value("spam")) == "");
  CHECK(m.select("is_marked_as_spam") == "");
  m.mail.recipient_notes.resize(3);
  m.mail.recipient_notes[1]["spam"] = true;
  CHECK(m.select("has_note", value("spam")) == "1");
  CHECK(m.select("is_marked_as_spam") == "1");
  m.mail.notes["spam"] = true;
  CHECK(m.select("is_marked_as_spam") == "0-2");
  m.mail.recipient_notes[1]["spam"] = false;
  CHECK(m.select("is_marked_as_spam") == "0,2");
}

TEST_CASE("S/MIME is known by what the message says of itself") {
  Mail m;
  const auto of = [&](const std::string& type) {
    m.text("Content-Type: " + type + "\r\n");
    return std::string(m.select("is_smime_signed").empty() ? "" : "signed") +
           (m.select("is_smime_encrypted").empty() ? "" : "encrypted");
  };
  CHECK(of("multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=b") == "signed");
  CHECK(of("multipart/signed; protocol=\"application/X-PKCS7-signature\"; boundary=b") == "signed");
  CHECK(of("multipart/signed; protocol=\"application/pgp-signature\"; boundary=b") == "");
  CHECK(of("multipart/signed; boundary=b") == "");
  CHECK(of("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m") == "signed");
  CHECK(of("Application/X-Pkcs7-Mime; smime-type=Enveloped-Data; name=smime.p7m") == "encrypted");
  CHECK(of("application/pkcs7-mime; smime-type=authEnveloped-data; name=smime.p7m") == "encrypted");
  CHECK(of("application/pkcs7-mime; smime-type=certs-only; name=smime.p7c") == "");
  CHECK(of("application/pkcs7-mime; name=smime.p7m") == "");
  CHECK(of("text/plain; smime-type=enveloped-data") == "");
}

TEST_CASE("priorities are compared, and mail that was given none has 0") {
  Mail m;
  CHECK(m.select("has_priority", value(0)) == "0-2");
  CHECK(m.select("has_priority", table({{"at_least", value(1)}})) == "");
  CHECK(m.select("has_priority", table({{"at_most", value(-1)}})) == "");
  m.mail.envelope.priority = 4;
  CHECK(m.select("has_priority", value(0)) == "");
  CHECK(m.select("has_priority", value(4)) == "0-2");
  CHECK(m.select("has_priority", table({{"at_least", value(3)}, {"at_most", value(4)}})) == "0-2");
  CHECK(m.select("has_priority", table({{"at_least", value(5)}})) == "");
  CHECK(m.complaint("has_priority") == "needs either priority, or at_least and at_most");
  CHECK(
      m.complaint("has_priority", table({{"priority", value(1)}, {"at_most", value(2)}})).starts_with("needs either"));
  CHECK(m.complaint("has_priority", value(10)) == "priority must be from -9 to 9");
}

TEST_CASE("mail that the server made itself is known by its session, which no client can have") {
  SessionState report("report-1");
  report.made_here = true;
  Mail m;
  Transaction made(report);
  made.envelope = m.mail.envelope;
  const auto ours = m.matcher("sent_by_mailet");
  const auto selected = [&] {
    return m.run(ours->match({made, RecipientSet::all(3), m.effects, Stage::kMessage}))->to_string();
  };
  CHECK(selected() == "0-2");
  CHECK(m.select(ours) == "");
  report.made_here = false;
  report.client.role = SessionRole::kLocal;
  report.client.listener = "report";  // a name that a listener may have
  CHECK(selected() == "");
}

TEST_CASE("at_most takes the recorded number in a replay, and counts nothing then") {
  Mail m;
  const auto two = m.matcher("at_most", ScriptValue{ScriptValue::List{value(2), value("y")}, {}});
  m.effects.answers.emplace();
  (*m.effects.answers)["at_most y"] = "2";
  CHECK(m.select(two) == "0-2");
  CHECK(m.select(m.matcher("at_most", ScriptValue{ScriptValue::List{value(1), value("y")}, {}})) == "");
  m.effects.answers->clear();
  CHECK(m.select(two) == "");
  m.effects.answers.reset();
  CHECK(m.select(two) == "0-2");
  CHECK(m.select(two) == "0-2");
  CHECK(m.select(two) == "");
}

TEST_CASE("at_most counts by name, across rules") {
  Mail m;
  const auto a = m.matcher("at_most", ScriptValue{ScriptValue::List{value(2), value("x")}, {}});
  const auto b = m.matcher("at_most", ScriptValue{ScriptValue::List{value(2), value("x")}, {}});
  CHECK(m.select(a) == "0-2");
  CHECK(m.select(b) == "0-2");
  CHECK(m.select(a) == "");
  CHECK(m.select(m.matcher("at_most", value(1))) == "0-2");
}

TEST_CASE("matchers combine as sets do, and a fault is a fault") {
  Mail m;
  const auto local = m.matcher("recipient_is_local"), bob = m.matcher("user_is", value("bob")),
             x = m.matcher("user_is", value("x"));
  CHECK(m.select("all_of", list(local, bob)) == "0");
  CHECK(m.select("any_of", list(bob, x)) == "0,2");
  CHECK(m.select("none_of", list(bob, x)) == "1");
  CHECK(m.select("none_of", list(m.matcher("all_of", list(local, bob)))) == "1-2");
  CHECK(m.select(m.matcher("none_of", list(bob)), only(0)) == "");
  CHECK(m.matcher("all_of", list(local, bob))->name() == "all_of(recipient_is_local, user_is)");
  m.directory.down = true;
  m.mail.envelope.sender = address("bob@ours.example");
  CHECK(m.select("any_of", list(bob, m.matcher("sender_is_local"))) == "fault: directory.temporary");
}

TEST_CASE("wrong arguments are named, with the nearest right key") {
  Mail m;
  CHECK(m.complaint("relay_limit") == "needs count");
  CHECK(m.complaint("relay_limit", value("many")) == "count must be an integer, not a string");
  CHECK(m.complaint("relay_limit", value(0)) == "count must be from 1 to 10000");
  CHECK(m.complaint("relay_limit", list(1, 2)) == "has too many arguments");
  CHECK(m.complaint("size_over", value("big")) == "size must be a size such as \"25 MiB\"");
  CHECK(m.complaint("recipient_is", value("bob")) == "\"bob\" is not a mail address");
  CHECK(m.complaint("recipient_is_regex", value("(")).starts_with("the pattern is wrong"));
  CHECK(m.complaint("remote_addr_in_network", value("192.0.2.1/24")).find("is not a network") != std::string::npos);
  CHECK(m.complaint("deliver", table({{"foldr", value("x")}})) ==
        "has no argument \"foldr\"; did you mean \"folder\"?");
  CHECK(m.complaint("any_of") == "needs at least one matcher");
  CHECK(m.complaint("any_of", list("x")) == "takes matchers, not a string");
  CHECK(m.complaint("bounce", list("4.7.1")) == "needs text");
  CHECK(m.complaint("reject", ScriptValue{ScriptValue::List{value(550), value("4.7.1"), value("x")}, {}})
            .find("not an enhanced code") != std::string::npos);
  CHECK(m.complaint("all", value(1)) == "has too many arguments");
}

TEST_CASE("every rule is documented, and names of rooms to come are known") {
  Mail m;
  const auto check = [](const auto& declared) {
    CHECK(declared.purpose.ends_with('.'));
    CHECK_FALSE(declared.example.empty());
    CHECK_FALSE(declared.errors.empty());
    CHECK(declared.example.find(declared.name) != std::string_view::npos);
    for (const ArgumentInfo& argument : declared.arguments) CHECK_FALSE(argument.purpose.empty());
  };
  for (const std::string_view name : m.rules->matchers()) check(*m.rules->matcher(name));
  for (const std::string_view name : m.rules->actions()) check(*m.rules->action(name));
  CHECK(m.rules->matchers().size() >= 44);
  CHECK(m.rules->actions().size() >= 27);
  CHECK(m.rules->future("dkim_sign") == "DKIM");
  CHECK(m.rules->future("deliver").empty());
  CHECK(m.rules->matcher("spf") == nullptr);
}

TEST_CASE("reports of our queue are told by how delivery failed, and nothing else counts as one") {
  Mail m;
  m.mail.notes["delivery-failed"] = std::string("550 5.1.1; 451 4.4.1");
  CHECK(m.select("delivery_failed") == "");  // a script's note, on mail from elsewhere
  m.session.made_here = true;
  CHECK(m.select("delivery_failed") == "0-2");
  CHECK(m.select("delivery_failed", table({{"permanent", value(true)}})) == "0-2");
  CHECK(m.select("delivery_failed", table({{"code", value("451")}})) == "0-2");
  CHECK(m.select("delivery_failed", table({{"code", list("5.2", "5.1")}})) == "0-2");
  CHECK(m.select("delivery_failed", table({{"code", value("5.1.1")}, {"temporary", value(true)}})) == "");
  CHECK(m.select("delivery_failed", table({{"code", value("5.1.10")}})) == "");
  m.mail.notes["delivery-failed"] = std::string("552 5.2.2");
  CHECK(m.select("delivery_failed", table({{"temporary", value(true)}})) == "");
  CHECK(m.select("delivery_failed", table({{"code", value("5.2.22")}})) == "");
  CHECK(m.complaint("delivery_failed", table({{"code", value("250")}})).contains("not a code"));
  m.mail.notes.clear();
  CHECK(m.select("delivery_failed") == "");
}

}  // namespace
}  // namespace postern::mailets
