#include <doctest/doctest.h>

#include <chrono>
#include <map>

#include "postern/mime.h"

using namespace postern;

namespace {

struct Recorder final : MimeSink {
  std::map<std::uint32_t, std::string> bodies;
  std::string events;
  void on_part(const MimePart& part) override { events += "(" + std::to_string(part.index); }
  void on_body(const MimePart& part, std::string_view piece) override { bodies[part.index] += piece; }
  void on_part_end(const MimePart&) override { events += ")"; }
};

MimeStructure read(std::string_view text, std::size_t step = 0, MimeLimits limits = {}, MimeSink* sink = nullptr) {
  MimeReader reader(limits, sink);
  for (std::size_t at = 0; at < text.size(); at += step == 0 ? text.size() : step) {
    reader.feed(text.substr(at, step == 0 ? text.npos : step));
  }
  return reader.finish();
}

std::string body(std::string_view text, const MimePart& part) {
  return std::string(text.substr(part.body_start, part.size()));
}

// "multipart/mixed[text/plain text/html]"
std::string shape(const MimeStructure& s, std::uint32_t index = 0) {
  std::string out = s.parts[index].type + "/" + s.parts[index].subtype;
  if (s.parts[index].is_leaf()) return out;
  out += "[";
  for (std::uint32_t child : s.children(index)) out += (out.ends_with('[') ? "" : " ") + shape(s, child);
  return out + "]";
}

std::string facts(const MimeStructure& s) {
  std::string out = shape(s);
  for (const MimePart& p : s.parts) {
    for (std::uint64_t n :
         {p.header_start, p.body_start, p.end, std::uint64_t{p.header_lines}, std::uint64_t{p.body_lines},
          std::uint64_t{p.closed}, std::uint64_t{p.has_8bit}, std::uint64_t{p.header.size()}}) {
      out += " " + std::to_string(n);
    }
  }
  return out;
}

const std::string kMixed =
    "From: a@x\r\n"
    "Content-Type: multipart/mixed; boundary=\"b1\"\r\n"
    "\r\n"
    "preamble\r\n"
    "--b1\r\n"
    "Content-Type: multipart/alternative; boundary=b1-inner\r\n"
    "\r\n"
    "--b1-inner\r\n"
    "\r\n"
    "plain\r\n"
    "--b1-inner  \r\n"
    "Content-Type: text/html; charset=UTF-8\r\n"
    "Content-Transfer-Encoding: Quoted-Printable\r\n"
    "\r\n"
    "<p>\xc3\xb6</p>\r\n"
    "--not a boundary\r\n"
    "\r\n"
    "--b1-inner--\r\n"
    "inner epilogue\r\n"
    "--b1\r\n"
    "Content-Type: message/rfc822\r\n"
    "Content-Disposition: attachment; filename=\"../etc/mail.eml\"\r\n"
    "\r\n"
    "Subject: inside\r\n"
    "Content-Type: multipart/mixed; boundary=b2\r\n"
    "\r\n"
    "--b2\r\n"
    "Content-ID: <id@x>\r\n"
    "Content-Language: en, de\r\n"
    "Content-MD5: abc==\r\n"
    "Content-Location: http://x/\r\n"
    "Content-Description: what it is\r\n"
    "\r\n"
    "deep\r\n"
    "--b2--\r\n"
    "--b1--\r\n"
    "epilogue\r\n";

}  // namespace

TEST_CASE("a plain message is one part") {
  const std::string text = "Subject: x\r\n\r\nline\r\nline\r\n";
  const MimeStructure s = read(text);
  REQUIRE(s.parts.size() == 1);
  CHECK(shape(s) == "text/plain");
  CHECK(s.root().charset() == "us-ascii");
  CHECK(body(text, s.root()) == "line\r\nline\r\n");
  CHECK(s.root().header_lines == 2);
  CHECK(s.root().body_lines == 2);
  CHECK(s.root().header == "Subject: x\r\n");
  CHECK(s.find("1") == &s.root());
  CHECK(s.find("") == &s.root());
  CHECK(s.find("2") == nullptr);
  CHECK(s.find("1.1") == nullptr);
}

TEST_CASE("parts in parts are found with their ranges") {
  const MimeStructure s = read(kMixed);
  CHECK(shape(s) ==
        "multipart/mixed[multipart/alternative[text/plain text/html] message/rfc822[multipart/mixed[text/plain]]]");
  CHECK(s.root().closed);
  const MimePart* html = s.find("1.2");
  REQUIRE(html != nullptr);
  CHECK(html->subtype == "html");
  CHECK(html->charset() == "utf-8");
  CHECK(html->encoding == TransferEncoding::kQuotedPrintable);
  CHECK(html->has_8bit);
  CHECK(body(kMixed, *html) == "<p>\xc3\xb6</p>\r\n--not a boundary\r\n");
  CHECK(html->body_lines == 2);
  CHECK(body(kMixed, *s.find("1.1")) == "plain");
  CHECK(s.find("1.1")->body_lines == 0);
  CHECK(s.find("1.1")->header_lines == 1);
  CHECK_FALSE(s.find("1.1")->has_8bit);
  const MimePart* mail = s.find("2");
  REQUIRE(mail != nullptr);
  CHECK(mail->is_message());
  CHECK(mail->is_attachment());
  CHECK(mail->file_name() == "mail.eml");
  CHECK(body(kMixed, *mail).starts_with("Subject: inside\r\n"));
  CHECK(body(kMixed, *mail).ends_with("--b2--"));
  CHECK(mail->body_lines == 11);
  const MimePart& inner = s.parts[mail->first_child];
  CHECK(inner.header_start == mail->body_start);
  CHECK(HeaderBlock(inner.header).value("Subject") == "inside");
  const MimePart* deep = s.find("2.1");
  REQUIRE(deep != nullptr);
  CHECK(deep->id == "<id@x>");
  CHECK(deep->languages == std::vector<std::string>{"en", "de"});
  CHECK(deep->md5 == "abc==");
  CHECK(deep->location == "http://x/");
  CHECK(deep->description == "what it is");
  CHECK(body(kMixed, *deep) == "deep");
  CHECK(deep->depth == 3);
  for (std::string_view none : {"3", "0", "1.3", "2.2", "2.1.1", "1.1.1", "x", "1.", "99999999999999999999", "."}) {
    INFO("section: ", none);
    CHECK((none == "1." ? s.find(none) != nullptr : s.find(none) == nullptr));
  }
}

TEST_CASE("the cut into chunks changes nothing") {
  std::string lf = kMixed;
  std::erase(lf, '\r');
  for (const std::string& text :
       {kMixed, lf, kMixed.substr(0, kMixed.size() - 12), kMixed.substr(0, 300), kMixed + "\r\r\n--b1"}) {
    Recorder whole;
    const std::string want = facts(read(text, 0, {}, &whole));
    for (std::size_t step : {1, 2, 3, 5, 7, 11, 64}) {
      Recorder pieces;
      CHECK(facts(read(text, step, {}, &pieces)) == want);
      CHECK(pieces.events == whole.events);
      CHECK(pieces.bodies == whole.bodies);
    }
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
      MimeReader reader;
      reader.feed(std::string_view(text).substr(0, cut));
      reader.feed(std::string_view(text).substr(cut));
      CHECK(facts(reader.finish()) == want);
    }
  }
}

TEST_CASE("the sink gets each leaf's octets as the ranges say") {
  Recorder sink;
  const MimeStructure s = read(kMixed, 13, {}, &sink);
  for (const MimePart& part : s.parts) {
    if (part.is_leaf()) CHECK(sink.bodies[part.index] == body(kMixed, part));
    if (!part.is_leaf()) CHECK(sink.bodies.count(part.index) == 0);
  }
  CHECK(sink.events == "(0(1(2)(3))(4(5(6))))");
}

TEST_CASE("a message cut at any octet gives a structure within its bounds") {
  for (std::size_t size = 0; size <= kMixed.size(); ++size) {
    const std::string_view cut = std::string_view(kMixed).substr(0, size);
    for (const MimePart& part : read(cut).parts) {
      CHECK(part.header_start <= part.body_start);
      CHECK(part.body_start <= part.end);
      CHECK(part.end <= size);
    }
  }
}

TEST_CASE("an outer delimiter ends inner parts that were never closed") {
  const std::string text =
      "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
      "boundary=i\n\n--i\n\nx\n--o\n\ny\n--o--\n";
  const MimeStructure s = read(text);
  CHECK(shape(s) == "multipart/mixed[multipart/mixed[text/plain] text/plain]");
  CHECK(body(text, *s.find("1.1")) == "x");
  CHECK(body(text, *s.find("2")) == "y");
  CHECK_FALSE(s.find("1")->closed);
  CHECK(s.root().closed);
}

TEST_CASE("empty parts and a delimiter inside a header") {
  const std::string text =
      "Content-Type: multipart/mixed; boundary=o\n\n--o\n\n--o\n--o\nContent-Type: text/html\n--o\n\n\n--o--";
  const MimeStructure s = read(text);
  CHECK(shape(s) == "multipart/mixed[text/plain text/plain text/html text/plain]");
  for (const MimePart& part : s.parts) {
    if (part.index != 0) CHECK(part.size() == 0);
  }
  CHECK(s.root().closed);
  CHECK(s.parts[3].header_lines == 1);
}

TEST_CASE("boundaries that begin alike are told apart") {
  const std::string text =
      "Content-Type: multipart/mixed; boundary=ab\n\n--abc\n--ab\n\nx\n--a\n--abc--\n--ab--\n--ab\n\nlate\n";
  const MimeStructure s = read(text);
  CHECK(shape(s) == "multipart/mixed[text/plain]");
  CHECK(body(text, s.parts[1]) == "x\n--a\n--abc--");
}

TEST_CASE("a digest's parts are messages by default") {
  const std::string text =
      "Content-Type: multipart/digest; boundary=o\n\n--o\n\nSubject: a\n\nx\n--o\nContent-Type: "
      "text/plain\n\ny\n--o--\n";
  const MimeStructure s = read(text);
  CHECK(shape(s) == "multipart/digest[message/rfc822[text/plain] text/plain]");
  CHECK(HeaderBlock(s.parts[2].header).value("Subject") == "a");
  CHECK(body(text, *s.find("1.1")) == "x");
}

TEST_CASE("what is encoded is not looked into") {
  CHECK(shape(read("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogYQ==\n")) ==
        "message/rfc822");
  CHECK(shape(read("Content-Type: message/rfc822\n\nSubject: a\n\nb")) == "message/rfc822[text/plain]");
  CHECK(shape(read("Content-Type: message/rfc822\n\n")) == "message/rfc822[text/plain]");
  CHECK(shape(read("Content-Type: message/rfc822\n")) == "message/rfc822[text/plain]");
}

TEST_CASE("multiparts without a usable boundary stay whole") {
  for (std::string_view type :
       {"multipart/mixed", "multipart/mixed; boundary=\"\"", "multipart/mixed; boundary=\" \""}) {
    const MimeStructure s = read("Content-Type: " + std::string(type) + "\n\n--\n\nx\n----\n");
    CHECK(s.parts.size() == 1);
    CHECK(s.broken_boundary);
  }
  CHECK(read("Content-Type: multipart/mixed; boundary=" + std::string(201, 'x') + "\n\n").broken_boundary);
  const std::string longest(200, 'x');
  CHECK(read("Content-Type: multipart/mixed; boundary=" + longest + "\n\n--" + longest + "\n\n").parts.size() == 2);
}

TEST_CASE("types that do not parse are text/plain, and the first of two fields counts") {
  CHECK(shape(read("Content-Type: text\n\n")) == "text/plain");
  CHECK(shape(read("Content-Type: a/b/c\n\n")) == "text/plain");
  CHECK(shape(read("Content-Type: Text/HTML\nContent-Type: text/plain\n\n")) == "text/html");
  CHECK(shape(read("")) == "text/plain");
}

TEST_CASE("limits leave the rest whole and say so") {
  std::string deep;
  for (int i = 0; i < 100; ++i) {
    const std::string b = "b" + std::to_string(i);
    deep += "Content-Type: multipart/mixed; boundary=" + b + "\n\n--" + b + "\n";
  }
  const MimeStructure s = read(deep);
  CHECK(s.too_deep);
  CHECK(s.parts.size() == MimeLimits{}.max_depth);
  std::string messages;
  for (int i = 0; i < 100; ++i) messages += "Content-Type: message/rfc822\n\n";
  CHECK(read(messages).too_deep);
  std::string many = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 5000; ++i) many += "--b\n\nx\n";
  CHECK(read(many).too_many);
  CHECK(read(many).parts.size() == MimeLimits{}.max_parts);
  const MimeStructure fat = read("A: " + std::string(100'000, 'x') + "\nContent-Type: text/html\n\nbody", 1000);
  CHECK(fat.root().header_truncated);
  CHECK(fat.root().header.size() <= MimeLimits{}.max_header_bytes);
  CHECK(fat.root().size() == 4);
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "X: a short line\n";
  const MimeStructure tall = read(lines + "Content-Type: text/html\n\nbody", 1000);
  CHECK(tall.root().header_truncated);
  CHECK(tall.root().header.size() <= MimeLimits{}.max_header_bytes);
  CHECK(tall.root().size() == 4);
}

TEST_CASE("the headers of all parts together are bounded") {
  std::string text = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 100; ++i) text += "--b\nX: " + std::string(50'000, 'x') + "\n\n\n";
  std::size_t kept = 0;
  for (const MimePart& part : read(text).parts) kept += part.header.size();
  CHECK(kept <= MimeLimits{}.max_all_headers);
  CHECK(read(text).parts.size() == 101);
}

TEST_CASE("all names that some program may show are told, each once") {
  const auto names = [](std::string_view header) {
    std::string out;
    for (const std::string& one : read(std::string(header) + "\n\n").root().file_names()) out += one + " ";
    return out;
  };
  CHECK(names("Content-Type: a/b; name=c.js\nContent-Disposition: attachment; filename=run.exe; "
              "filename*=utf-8''dir%2Fa.txt") == "a.txt run.exe c.js ");
  CHECK(names("Content-Type: a/b; name=a\nContent-Disposition: attachment; filename=\"x\\a\"") == "a ");
  CHECK(names("Content-Disposition: attachment; filename=\"..\"").empty());
}

TEST_CASE("file names come from either field, decoded, without folders") {
  const auto name = [](std::string_view header) { return read(std::string(header) + "\n\n").root().file_name(); };
  CHECK(name("Content-Type: a/b; name=\"=?utf-8?q?=C3=B6.txt?=\"") == "\xc3\xb6.txt");
  CHECK(name("Content-Disposition: attachment; filename*=utf-8''%C3%B6.txt") == "\xc3\xb6.txt");
  CHECK(name("Content-Disposition: attachment; filename=\"C:\\dir\\a.txt\"") == "a.txt");
  CHECK(name("Content-Disposition: attachment; filename=\"..\"").empty());
  CHECK(name("Content-Disposition: attachment").empty());
  CHECK_FALSE(read("Content-Disposition: inline; filename=a\n\n").root().is_attachment());
  CHECK(read("Content-Type: image/png; name=a\n\n").root().is_attachment());
  CHECK_FALSE(read("Content-Type: text/plain; name=a\n\n").root().is_attachment());
}

TEST_CASE("hostile shapes take linear time") {
  std::string dashes = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 500'000; ++i) dashes += "--\n-\r";
  const auto start = std::chrono::steady_clock::now();
  const MimeStructure s = read(dashes, 4096);
  CHECK(s.parts.size() == 1);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
