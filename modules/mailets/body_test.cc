// Mailets that give the message another body: what they change, and that the rest keeps its octets.
#include <doctest/doctest.h>

#include "body.h"
#include "flowed.h"
#include "mailets_for_tests.h"

namespace postern::mailets {
namespace {

ScriptValue strings(std::vector<std::string> items) {
  ScriptValue::List out;
  for (std::string& one : items) out.push_back({std::move(one), {}});
  return {std::move(out), {}};
}

/// The message after a mailet; as it was when it gave no body.
std::string after(Mail& m, std::string_view name, const ScriptValue& arguments = {}) {
  auto result = m.act(name, arguments);
  REQUIRE(result);
  CHECK(result->kind == ActionResult::Kind::kNext);
  return result->body ? m.whole(*result->body) : "unchanged";
}

constexpr std::string_view kAlternative =
    "From: a@b.example\r\nSubject: =?iso-8859-1?q?caf=E9?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n"
    "--out\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
    "--in\r\nContent-Type: text/plain; charset=ISO-8859-1; format=flowed\r\nContent-Transfer-Encoding: "
    "quoted-printable\r\n\r\n"
    "caf=E9\r\n"
    "--in\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nX-Kept: y\r\n\r\n"
    "PGh0bWw+PGJvZHk+Y2Fmw6k8L0JPRFk+PC9odG1sPg==\r\n"
    "--in--\r\n"
    "--out\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "JVBERg==\r\n"
    "--out--\r\nepilogue\r\n";

TEST_CASE("a footer goes under alternatives, each in its charset and transfer encoding") {
  Mail m;
  m.message(std::string(kAlternative));
  const std::string text = after(m, "add_footer", value("Gr\u00fc\u00dfe"));
  CHECK(text ==
        "From: a@b.example\r\nSubject: =?iso-8859-1?q?caf=E9?=\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n"
        "--out\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
        "--in\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: "
        "text/plain;\r\n\tformat=\"flowed\";\r\n\tcharset=\"utf-8\"\r\n\r\n"
        "caf=C3=A9\r\nGr=C3=BC=C3=9Fe\r\n"
        "--in\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nX-Kept: y\r\n\r\n" +
            encode_base64_lines("<html><body>caf\u00e9<p>Gr&#252;&#223;e</p>\r\n</BODY></html>") +
            "\r\n--in--\r\n"
            "--out\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            "JVBERg==\r\n"
            "--out--\r\nepilogue\r\n");
}

TEST_CASE("a footer of a plain mail keeps it plain where that can be") {
  Mail m;
  m.message("Subject: x\r\n\r\nhello\r\n");
  CHECK(after(m, "add_footer", value("--\nExample\n")) == "Subject: x\r\n\r\nhello\r\n--\r\nExample\r\n");
  CHECK_FALSE(m.facts().contains("DKIM"));
  m.message("DKIM-Signature: v=1\r\n\r\nhello\r\n");
  CHECK(after(m, "add_footer", value("x")).starts_with("DKIM-Signature: v=1\r\n"));
  CHECK(m.facts().contains("DKIM-Signature does not hold"));
  m.message("Subject: x\r\n\r\nhello\r\n");
  CHECK(after(m, "add_footer", value("Gr\u00fc\u00dfe")) ==
        "Subject: x\r\nContent-Type: text/plain;\r\n\tcharset=\"utf-8\"\r\nMIME-Version: "
        "1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhello\r\nGr=C3=BC=C3=9Fe\r\n");
  m.message("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B%F%9%H\x1b(B\r\n");
  CHECK(after(m, "add_footer", value("x")).contains("charset=\"utf-8\""));
}

TEST_CASE("what is signed, encrypted, of an unknown charset or very long is left, and the trail says why") {
  const auto left = [](std::string message) {
    Mail m;
    m.message(std::move(message));
    CHECK(after(m, "add_footer", value("x")) == "unchanged");
    return m.facts();
  };
  CHECK(left("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: "
             "application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n")
            .contains("is left: it is signed"));
  CHECK(left("Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx\r\n").empty());
  CHECK(left("Content-Type: text/plain; charset=x-klingon\r\n\r\nx\r\n").contains("its charset"));
  CHECK(left("Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\r\n").contains("its charset"));
  CHECK(left("\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n").contains("it is of PGP"));
  CHECK(left("Subject: long\r\n\r\n" + std::string(kMaxEditedText, 'x') + "\r\n").contains("longer than"));
  CHECK(left("Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\nx\r\n").empty());
}

TEST_CASE("replacements are by pattern, in subject, plain text and HTML") {
  Mail m;
  m.message("Subject: [spam] buy\r\n\r\ncall 555-1234 or 555-9999\r\n");
  const auto change = [](const char* pattern, const char* with) {
    return table({{"pattern", value(pattern)}, {"with", value(with)}});
  };
  CHECK(after(m, "replace_content",
              table({{"subject", change("\\[spam\\] *", "")}, {"text", change("(\\d{3})-\\d{4}", "\\1-xxxx")}})) ==
        "Subject: [spam] buy\r\n\r\ncall 555-xxxx or 555-xxxx\r\n");
  CHECK(HeaderBlock(m.header_after()).value("Subject") == "buy");
  CHECK(after(m, "replace_content", table({{"text", change("nowhere", "x")}})) == "unchanged");
  CHECK(after(m, "replace_content", table({{"html", change("call", "x")}})) == "unchanged");
  CHECK(m.complaint("replace_content", table({{"text", change("(", "x")}})).contains("is not a pattern"));
  CHECK(m.complaint("replace_content", table({{"text", change("a", "\\1")}})).contains("does not fit"));
  CHECK(m.complaint("replace_content") == "needs subject, text or html");
}

TEST_CASE("attachments are replaced by a text, by name or type, and nothing else changes") {
  Mail m;
  m.message(std::string(kAlternative));
  const std::string text = after(m, "strip_attachment", table({{"1", value("*.PDF")}, {"note", value("stripped")}}));
  const std::string before(kAlternative);
  const std::size_t at = before.find("Content-Type: application/pdf");
  CHECK(text == before.substr(0, at) +
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
                    "quoted-printable\r\nContent-Disposition: inline\r\n\r\nThe attachment \"a.pdf\" was removed.\r\n"
                    "--out--\r\nepilogue\r\n");
  CHECK(std::get<std::string>(m.mail.notes.at("stripped")) == "a.pdf");
  CHECK(after(m, "strip_attachment", table({{"types", strings({"image/*"})}})) == "unchanged");
  CHECK(after(m, "strip_attachment").contains("was removed"));
  m.message(
      "Subject: x\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEs=\r\n");
  CHECK(after(m, "strip_attachment", table({{"types", strings({"application/zip"})}, {"text", value("gone")}})) ==
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
        "quoted-printable\r\nContent-Disposition: inline\r\n\r\ngone\r\n");
}

TEST_CASE("a message that cannot be seen whole is not called clean") {
  Mail m;
  std::string text = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
  for (int i = 0; i < 1100; ++i) text += "--b\r\n\r\nx\r\n";
  m.message(text + "--b--\r\n");
  const auto result = m.act("strip_attachment");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == "mime.limit");
}

/// How many parts a message has.
std::size_t parts_of(const std::string& text) {
  MimeReader reader;
  reader.feed(text);
  return reader.finish().parts.size();
}

TEST_CASE("an edit of a text never makes a delimiter, and so a part that nobody has looked at") {
  constexpr std::string_view kHidden = "Content-Type: application/x-msdownload; name=run.exe\r\n\r\nMZ\r\n--b--\r\n";
  const auto with = [&](std::string_view fields, std::string_view text) {
    std::string out = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
    return out.append(fields).append("\r\n\r\n").append(text).append("\r\n--b--\r\n");
  };
  Mail m;
  m.message(with("Content-Transfer-Encoding: quoted-printable", "text\r\n=2D-b\r\n" + std::string(kHidden)));
  CHECK(parts_of(after(m, "add_footer", value("x"))) == 2);
  m.message(
      with("Content-Type: text/plain", "one two three four five six --b\r\n" + std::string(kHidden.substr(0, 58))));
  const std::string wrapped = after(m, "wrap", value(30));
  CHECK(wrapped.contains("quoted-printable"));
  CHECK(parts_of(wrapped) == 2);
  m.message(with("Content-Type: text/plain; format=flowed", "text\r\n --b\r\nX: y"));
  const std::string joined = after(m, "unwrap");
  CHECK(joined.contains("=2D-b"));
  CHECK(parts_of(joined) == 2);
}

TEST_CASE("a charset whose octets are not those of ASCII does not stay for a text that is ASCII") {
  Mail m;
  m.message("Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\naABpAA==\r\n");
  const std::string text = after(m, "add_footer", value("x"));
  CHECK(text.contains("charset=\"utf-8\"\r\n"));
  CHECK(text.contains(encode_base64_lines("hi\r\nx")));
}

TEST_CASE("what a reader of MIME cannot see is not called clean") {
  std::string padded = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
  for (int i = 0; i < 700; ++i) padded += "X-Pad: " + std::string(100, 'x') + "\r\n";
  padded += "Content-Disposition: attachment; filename=run.exe\r\n\r\nMZ\r\n--b--\r\n";
  const std::string boundary(250, 'b');
  for (const std::string& text :
       {padded, "Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--" + boundary +
                    "\r\nContent-Disposition: attachment; filename=run.exe\r\n\r\nMZ\r\n--" + boundary + "--\r\n"}) {
    Mail m;
    m.message(text);
    CAPTURE(text.size());
    const auto result = m.act("strip_attachment", value("*.exe"));
    REQUIRE_FALSE(result);
    CHECK(result.error().code == "mime.limit");
    CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  }
}

TEST_CASE("an S/MIME mail is not taken for an attachment, unless it was asked for or bears another name") {
  const auto mail = [](const char* name) {
    return "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=" + std::string(name) +
           "\r\nContent-Disposition: attachment; filename=" + name + "\r\n\r\nMIIB\r\n";
  };
  Mail m;
  m.message(mail("smime.p7m"));
  CHECK(after(m, "strip_attachment") == "unchanged");
  CHECK(m.facts().contains("smime.p7m is left: it is signed or encrypted"));
  CHECK(after(m, "strip_attachment", value("*.p7m")).contains("was removed"));
  m.message(mail("run.exe"));
  CHECK(after(m, "strip_attachment").contains("was removed"));
}

TEST_CASE("only the plain text is left, in its own encoding") {
  Mail m;
  m.message(std::string(kAlternative));
  CHECK(after(m, "only_text") ==
        "From: a@b.example\r\nSubject: =?iso-8859-1?q?caf=E9?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
        "charset=ISO-8859-1; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\n");
  m.message("Subject: x\r\n\r\nplain\r\n");
  CHECK(after(m, "only_text") == "unchanged");
  m.message("Content-Type: image/png\r\n\r\nx\r\n");
  CHECK(after(m, "only_text") == "unchanged");
}

TEST_CASE("a mail of 8 bits becomes one of 7, unless that would break a signature") {
  Mail m;
  m.mail.envelope.body = BodyType::k8BitMime;
  m.message("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u00e9\r\n");
  CHECK(after(m, "convert_to_7bit") ==
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
        "quoted-printable\r\nMIME-Version: 1.0\r\n\r\ncaf=C3=A9\r\n");
  CHECK(m.mail.envelope.body == BodyType::k7Bit);
  m.message("Subject: x\r\n\r\nplain\r\n");
  CHECK(after(m, "convert_to_7bit") == "unchanged");
  m.message("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ncaf\u00e9\r\n--b--\r\n");
  CHECK(after(m, "convert_to_7bit") == "unchanged");
  CHECK(m.facts().contains("it is signed"));
  m.message(
      "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--b--"
      "\r\n");
  CHECK(after(m, "convert_to_7bit") == "unchanged");  // the part's header is signed, too
}

TEST_CASE("a mail that keeps octets of 8 bits does not promise 7") {
  Mail m;
  m.mail.envelope.body = BodyType::k8BitMime;
  m.message(
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncaf\u00e9\r\n--b\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\n\u00e9\r\n--b--\r\n");
  CHECK(after(m, "convert_to_7bit").contains("caf=C3=A9"));
  CHECK(m.mail.envelope.body == BodyType::k8BitMime);
}

TEST_CASE("wrapped text flows, and unwrapped text is what it was") {
  Mail m;
  const std::string words = "one two three four five six seven eight nine ten eleven";
  m.message("Subject: x\r\n\r\n" + words + "\r\n> quoted " + words + "\r\nFrom here\r\n-- \r\nme\r\n");
  const std::string wrapped = after(m, "wrap", value(30));
  CHECK(wrapped ==
        "Subject: x\r\nContent-Type: text/plain;\r\n\tformat=\"flowed\"\r\nMIME-Version: 1.0\r\n\r\n"
        "one two three four five six \r\nseven eight nine ten eleven\r\n"
        "> quoted one two three four \r\n> five six seven eight nine \r\n> ten eleven\r\n"
        " From here\r\n-- \r\nme\r\n");
  m.message(wrapped);
  const std::string joined = after(m, "unwrap");
  CHECK(joined.ends_with("\r\n\r\n" + words + "\r\n> quoted " + words + "\r\nFrom here\r\n-- \r\nme\r\n"));
  CHECK_FALSE(joined.contains("flowed"));
  m.message("Subject: x\r\n\r\nshort\r\n");
  CHECK(after(m, "wrap") == "unchanged");
  CHECK(after(m, "unwrap") == "unchanged");
}

TEST_CASE("flowed text counts characters, keeps long words, and ends paragraphs with their depth") {
  CHECK(to_flowed("\u00e9\u00e9\u00e9\u00e9 \u00e9\u00e9\u00e9\u00e9\n", 11) ==
        "\u00e9\u00e9\u00e9\u00e9 \u00e9\u00e9\u00e9\u00e9\n");
  CHECK(to_flowed("short loooooooooooooooooooooooooooooong x\r\n", 20) ==
        "short \r\nloooooooooooooooooooooooooooooong \r\nx\r\n");
  CHECK(from_flowed("a \r\n> b \r\nc\r\n", false) == "a \r\n> b \r\nc\r\n");
  CHECK(from_flowed("hel \r\nlo\r\n", true) == "hello\r\n");
  CHECK(from_flowed("end \r\n", false) == "end \r\n");
  CHECK(to_flowed("", 20).empty());
  const std::string marks = std::string(1'000, '>') + " a b c d e\r\n";
  CHECK(to_flowed(marks, 76) == marks);  // not with all its marks before each letter
}

TEST_CASE("recipients, domains and everybody may drop a sender, by table or file") {
  Mail m;
  const auto who = [&](std::string sender) {
    m.mail.envelope.sender = address(sender);
    return m.select("is_in_drop_list", table({{"bob@ours.example", strings({"ex@x.example", "@spam.example"})},
                                              {"@relayed.example", value("far@y.example")},
                                              {"*", value("@bad.example")}}));
  };
  CHECK(who("EX@x.example") == "0");
  CHECK(who("any@spam.example") == "0");
  CHECK(who("any@sub.spam.example") == "");
  CHECK(who("far@y.example") == "2");
  CHECK(who("a@bad.example") == "0-2");
  CHECK(who("") == "");
  CHECK(m.complaint("is_in_drop_list", table({{"bob", value("x@y.example")}})).contains("neither an address"));
  CHECK(m.complaint("is_in_drop_list", table({{"file", value("relative")}})) == "file must be a whole path");
  CHECK(m.complaint("is_in_drop_list", table({{"file", value("/nowhere/at/all")}})).contains("/nowhere/at/all"));
  CHECK_FALSE(m.complaint("is_in_drop_list").empty());
}

TEST_CASE("a service is shown the header or the message, and what it says counts") {
  Mail m("Subject: hello\r\n");
  m.mail.edits.append("X-Checked", "yes");
  REQUIRE(m.act("http_post", value("https://hooks.example/"), only(0)));
  REQUIRE(m.effects.requests.size() == 1);
  CHECK(m.effects.requests[0].method == "POST");
  CHECK(m.effects.requests[0].body == "Subject: hello\r\nX-Checked: yes\r\n");
  CHECK(m.effects.requests[0].headers[1].value == "<Alice@elsewhere.example>");
  CHECK(m.effects.requests[0].headers[2].value == "<bob@ours.example>");
  REQUIRE(
      m.act("http_post",
            table({{"url", value("http://hooks.example/")}, {"send", value("message")}, {"note", value("status")}})));
  CHECK(m.effects.requests[1].body == "Subject: hello\r\nX-Checked: yes\r\n\r\nbody\r\n");
  CHECK(std::get<std::int64_t>(m.mail.notes.at("status")) == 200);
  REQUIRE(m.act("http_post", table({{"url", value("http://x/")}, {"send", value("message")}, {"limit", value(10)}})));
  CHECK(m.effects.requests.size() == 2);
  m.effects.http_status = 503;
  const Fault status = m.act("http_post", value("http://x/?key=secret")).error();
  CHECK(status.code == "http_post.status");
  CHECK_FALSE(status.detail.contains("secret"));
  m.effects.http_status = 0;
  CHECK(m.act("http_post", value("http://x/")).error().code == "http.connect");
  CHECK(m.complaint("http_post", value("ftp://x")).contains("https://"));
}

}  // namespace
}  // namespace postern::mailets
