#include "file_masks.h"
#include "mailets_for_tests.h"
#include "parts.h"
#include "postern/text.h"
#include "zip_names.h"

namespace postern::mailets {
namespace {

std::string little(std::size_t number) {
  return {static_cast<char>(number & 0xff), static_cast<char>(number >> 8 & 0xff)};
}
std::string local_entry(std::string_view name, std::string_view data) {
  std::string out("PK\x03\x04", 4);
  out += std::string(22, '\x01') + little(name.size()) + little(0);
  return out.append(name).append(data);
}
std::string directory_entry(std::string_view name) {
  std::string out("PK\x01\x02", 4);
  out += std::string(24, '\x01') + little(name.size()) + std::string(16, '\x02');
  return out.append(name);
}

std::vector<std::string> names_in(std::string_view octets, std::size_t piece) {
  std::vector<std::string> out;
  ZipNames names;
  for (std::size_t at = 0; at < octets.size(); at += piece)
    names.feed(octets.substr(at, piece), [&](std::string_view name) { out.emplace_back(name); });
  return out;
}

/// A message of two parts, the second with these fields and this body.
std::string with_part(std::string_view fields, std::string_view body = "data") {
  return std::string(
             "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
             "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n")
      .append(fields)
      .append("\r\n\r\n")
      .append(body)
      .append("\r\n--b--\r\n");
}

/// As mail programs write base64.
std::string lines(const std::string& base64) {
  std::string out;
  for (std::size_t at = 0; at < base64.size(); at += 76) out += base64.substr(at, 76) + "\r\n";
  return out;
}
std::string with_archive(const std::string& archive, std::string_view name = "holiday.zip") {
  return with_part("Content-Type: application/octet-stream; name=" + std::string(name) +
                       "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment",
                   lines(base64_encode(archive)));
}

TEST_CASE("masks fit whole names, without folders, case, or what a system drops from the end") {
  const FileMasks masks({"*.EXE", "invoice-??.pdf", "a*b*c", "exact"});
  for (const std::string_view cut : {std::string_view("x.exe\0.txt", 10), std::string_view("x.exe::$DATA")})
    CHECK(FileMasks({"*.exe"}).fit(cut));
  for (const char* name : {"x.exe", "C:\\tmp\\x.ExE", "x.exe. .", "Invoice-12.PDF", "invoice-\xc3\xbc\xc3\xa4.pdf",
                           "abc", "aXbXbXc", "a/b/exact"}) {
    CAPTURE(name);
    CHECK(masks.fit(name));
  }
  for (const char* name :
       {"x.exe.txt", "exe", "invoice-1.pdf", "invoice-123.pdf", "ab", "xabc", "exactly", "", "...", "exact/"}) {
    CAPTURE(name);
    CHECK_FALSE(masks.fit(name));
  }
  CHECK(FileMasks({"*.exe"}).fit(std::string(10'000, 'a') + ".exe"));
  CHECK_FALSE(FileMasks({"*a*a*a*a*a*b"}).fit(std::string(10'000, 'a')));
}

TEST_CASE("an archive's names are found in its entries and in its directory, however it is cut") {
  const std::string archive = "PPK" + local_entry("a.txt", "PK\x03PK\x01text") + local_entry("run/b.exe", "") +
                              directory_entry("a.txt") + directory_entry("run/b.exe") + "PK\x05\x06";
  const std::vector<std::string> expected{"a.txt", "run/b.exe", "a.txt", "run/b.exe"};
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{29}, archive.size()})
    CHECK(names_in(archive, piece) == expected);
  CHECK(names_in(local_entry(std::string(ZipNames::kMaxName + 1, 'x'), "") + local_entry("y", ""), 100) ==
        std::vector<std::string>{"y"});
  CHECK(names_in(local_entry("cut.exe", "").substr(0, 33), 7).empty());
}

TEST_CASE("an entry cannot hide behind another one's length") {
  std::string lie = local_entry("a", "");
  lie[26] = '\xff', lie[27] = '\x01';  // 511 octets of name, it says
  const auto names = names_in(lie + local_entry("b.exe", std::string(600, ' ')), 64);
  REQUIRE(names.size() == 2);
  CHECK(names[1] == "b.exe");
}

TEST_CASE("an archive with more names than any person makes is known, and not kept") {
  ZipNames names;
  const std::string many = directory_entry("x");
  std::size_t told = 0;
  for (std::size_t i = 0; i <= ZipNames::kMaxNames + 10; ++i) names.feed(many, [&](std::string_view) { ++told; });
  CHECK(names.too_many());
  CHECK(told == ZipNames::kMaxNames + 1);
}

TEST_CASE("a mail without parts, or without any text, has no attachment") {
  Mail m;
  CHECK(m.select("has_attachment") == "");
  CHECK(m.select("has_mime_type_any_part", value("text/plain")) == "0-2");  // RFC 2045 §5.2
  m.mail.draft = nullptr;
  CHECK(m.select("has_attachment") == "");
  CHECK(m.select("attachment_name_is", value("*")) == "");
}

TEST_CASE("an attachment is what its disposition says, or a named part that is no text") {
  Mail m(with_part("Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf"));
  CHECK(m.select("has_attachment") == "0-2");
  m.text(with_part("Content-Type: image/png; name=a.png"));
  CHECK(m.select("has_attachment") == "0-2");
  m.text(with_part("Content-Type: image/png; name=a.png\r\nContent-Disposition: inline"));
  CHECK(m.select("has_attachment") == "");
  m.text(with_part("Content-Type: text/html"));
  CHECK(m.select("has_attachment") == "");
  m.text("Content-Type: application/pdf\r\nContent-Disposition: attachment\r\n\r\n%PDF");
  CHECK(m.select("has_attachment") == "0-2");
}

TEST_CASE("types are looked for at every depth") {
  Mail m(with_part("Content-Type: message/rfc822", with_part("Content-Type: Application/PDF")));
  CHECK(m.select("has_mime_type_any_part", value("application/pdf")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", list("image/*", "message/*")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("multipart/mixed")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", list("image/*", "text/html", "application/pd")) == "");
  CHECK(m.complaint("has_mime_type_any_part", value("pdf")).contains("not a media type"));
  CHECK(m.complaint("has_mime_type_any_part", value("*/pdf")).contains("not a media type"));
  CHECK(m.complaint("has_mime_type_any_part", value("image/p*g")).contains("not a media type"));
  CHECK(m.complaint("has_mime_type_any_part") == "needs types");
}

TEST_CASE("names are looked for in both fields, encoded or not, whatever the disposition") {
  const auto masks = list("*.exe",
                          "gr\xc3\xbc\xc3\x9f"
                          "e.*");
  Mail m(with_part("Content-Type: application/x-thing\r\nContent-Disposition: attachment; filename=\"Run.EXE \""));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Type: image/png; name=b.exe\r\nContent-Disposition: inline; filename=b.png"));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Disposition: attachment; filename=\"=?utf-8?q?gr=C3=BC=C3=9Fe=2Etxt?=\""));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Disposition: attachment; filename*=utf-8''gr%C3%BC%C3%9Fe.txt"));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Disposition: attachment; filename=exe.txt"));
  CHECK(m.select("attachment_name_is", masks) == "");
  CHECK(m.complaint("attachment_name_is", value("a/b")).contains("not a mask"));
  CHECK(m.complaint("attachment_name_is", value("")).contains("not a mask"));
  CHECK(m.complaint("attachment_name_is") == "needs masks");
}

TEST_CASE("a name counts in whichever form it stands, also beside a harmless one") {
  const auto masks = list("*.exe");
  Mail m(with_part("Content-Disposition: attachment; filename=run.exe; filename*=utf-8''a.txt"));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Disposition: attachment; filename=a.txt; filename=run.exe"));
  CHECK(m.select("attachment_name_is", masks) == "0-2");
  m.text(with_part("Content-Disposition: attachment; filename=a.txt; filename*=utf-8''run%2Etxt"));
  CHECK(m.select("attachment_name_is", masks) == "");
}

TEST_CASE("a name behind more parameters than are kept counts as any name, and so do parts behind a second boundary") {
  const auto behind = [](int number, const std::string& parameter) {
    std::string field = "Content-Disposition: attachment";
    for (int i = 0; i < number; ++i) field += ";\r\n " + parameter + (parameter == "x" ? "" : std::to_string(i)) + "=1";
    return with_part(field + "; filename=run.exe");
  };
  for (const std::string parameter : {"x", "p", "x*"}) {
    CAPTURE(parameter);
    Mail m(behind(30, parameter));
    CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
    CHECK(m.select("attachment_name_is", value("*.com")) == "");
    m.text(behind(600, parameter));
    CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  }
  Mail m(
      "Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--b\r\n"
      "Content-Type: application/pdf; name=run.exe\r\n\r\nMZ\r\n--b--\r\n--a\r\n\r\nx\r\n--a--\r\n");
  CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("image/*")) == "");
}
TEST_CASE("an encoded message is looked through as any other, and one that is too deep counts as having it all") {
  std::string inner = with_part("Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=run.exe");
  const auto wrapped = [](const std::string& text) {
    return with_part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", lines(base64_encode(text)));
  };
  inner += "\r\nbody\r\n";  // as Mail::text adds it
  Mail m(wrapped(inner));
  CHECK(m.select("has_attachment") == "0-2");
  CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("application/pdf")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("image/*")) == "");
  CHECK(m.select("attachment_name_is", value("*.com")) == "");
  m.text(with_part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable",
                   "Content-Type: application/pdf=3B name=3Drun.exe\r\n\r\nx\r\n"));
  CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  for (int i = 0; i < kMaxEncoded; ++i) inner = wrapped(inner);
  m.text(wrapped(inner));
  CHECK(m.select("attachment_name_is", value("*.com")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("image/*")) == "");
}

TEST_CASE("names in a zip archive count when they are asked for") {
  const auto inside = table({{"1", value("*.js")}, {"2", value("*.exe")}, {"inside_zip", value(true)}});
  const std::string archive = local_entry("photos/a.jpg", std::string(5'000, '\x7f')) + local_entry("run.exe", "MZ") +
                              directory_entry("photos/a.jpg") + directory_entry("run.exe");
  Mail m(with_archive(archive));
  CHECK(m.select("attachment_name_is", inside) == "0-2");
  CHECK(m.select("attachment_name_is", list("*.js", "*.exe")) == "");
  CHECK(m.select("attachment_name_is", table({{"masks", list("*.exe")}, {"inside_zip", value(true)}})) == "0-2");
  CHECK(m.select("attachment_name_is", table({{"masks", list("*.exe")}, {"inside_zip", value(false)}})) == "");
  CHECK(m.select("attachment_name_is", table({{"1", value("*.gif")}, {"inside_zip", value(true)}})) == "");
  m.text(with_archive(archive, "holiday.doc"));  // a document in a format that is built on zip
  CHECK(m.select("attachment_name_is", inside) == "");
  m.text(with_part("Content-Type: application/x-zip-compressed\r\nContent-Transfer-Encoding: base64",
                   lines(base64_encode(archive))));
  CHECK(m.select("attachment_name_is", inside) == "0-2");
}

TEST_CASE("a large message is read back in pieces, from disk or memory, and only as far as needed") {
  const std::string filler = lines(base64_encode(std::string(900'000, 'z')));
  Mail m(with_part("Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64",
                   filler + "--b\r\nContent-Disposition: attachment; filename=late.exe\r\n\r\nMZ"));
  CHECK(m.mail.size > 1'000'000);
  CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  CHECK(m.select("attachment_name_is", value("*.com")) == "");
}

TEST_CASE("what the limits hide counts as an attachment, but not as a type") {
  std::string parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
  for (int i = 0; i < 1'100; ++i) parts += "--b\r\n\r\nx\r\n";
  Mail m(parts + "--b--\r\n");
  CHECK(m.select("has_attachment") == "0-2");
  CHECK(m.select("attachment_name_is", value("*.exe")) == "0-2");
  CHECK(m.select("has_mime_type_any_part", value("image/*")) == "");
}

}  // namespace
}  // namespace postern::mailets
