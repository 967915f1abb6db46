#include "postern/mime_edit.h"

#include <doctest/doctest.h>

#include "postern/random.h"
#include "postern/text.h"

namespace postern {
namespace {

std::string patched(MimePatcher& patches, std::string_view text, std::size_t step) {
  std::string out;
  patches.restart();
  for (std::size_t at = 0; at < text.size(); at += step) patches.feed(text.substr(at, step), out);
  patches.finish(out);
  return out;
}

TEST_CASE("patches replace, insert and take away, whatever the pieces") {
  MimePatcher patches;
  patches.replace(0, 0, "<");
  patches.replace(2, 4, "XY!");
  patches.replace(4, 4, "+");
  patches.replace(6, 9, "");
  patches.replace(10, 10, ">");
  for (std::size_t step = 1; step <= 10; ++step) CHECK(patched(patches, "0123456789", step) == "<01XY!+459>");
}

TEST_CASE("what overlaps an earlier patch is passed over, and a message that ends early ends them all") {
  MimePatcher patches;
  patches.replace(2, 6, "x");
  patches.replace(4, 5, "never");
  patches.replace(5, 8, "y");
  CHECK(patched(patches, "0123456789", 3) == "01xy89");
  CHECK(patched(patches, "012", 1) == "01xy");
}

TEST_CASE("without patches every octet passes") {
  MimePatcher patches;
  CHECK(patches.empty());
  CHECK(patched(patches, "abc", 2) == "abc");
}

TEST_CASE("property: what is encoded decodes to itself, in lines that fit") {
  Prng random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    const std::size_t length = random.below(400);
    for (std::size_t i = 0; i < length; ++i) {
      static constexpr std::string_view kAlphabet[] = {"a",    " ",        "\t", "=",  "-",  ".",
                                                       "\r\n", "\xc3\xa9", "\r", "\n", "--b"};
      text += kAlphabet[random.below(std::size(kAlphabet))];
    }
    const std::string quoted = encode_quoted_printable(text);
    for (const std::string_view line : split(quoted, '\n')) {
      CHECK(line.size() <= 77);
      CHECK_FALSE(line.starts_with('-'));  // no delimiter of a multipart
    }
    std::string back;
    QuotedPrintableDecoder decoder;
    decoder.feed(quoted, back);
    decoder.finish(back);
    CHECK(back == text);
    CHECK_FALSE(decoder.damaged());

    const std::string lines = encode_base64_lines(text);
    CHECK_FALSE(lines.ends_with('\n'));
    for (const std::string_view line : split(lines, '\n')) CHECK(line.size() <= 77);
    std::string octets;
    Base64Decoder base64;
    base64.feed(lines, octets);
    base64.finish(octets);
    CHECK(octets == text);
  }
}

TEST_CASE("a message of 8 bits becomes one of 7, and its 7-bit parts keep their octets") {
  const std::string text =
      "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "--b\r\nX: 1\r\n\r\nplain  \r\n"
      "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ncaf\u00e9\r\n"
      "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x01\xff\r\n"
      "--b--\r\n";
  MimeReader reader;
  reader.feed(text);
  MimePatcher patches = patches_to_7bit(reader.finish());
  const std::string out = patched(patches, text, 5);
  CHECK(is_ascii(out));
  CHECK(out.contains("--b\r\nX: 1\r\n\r\nplain  \r\n--b\r\n"));
  CHECK(out.contains("charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9\r\n--b"));
  CHECK(out.contains("Content-Transfer-Encoding: base64\r\n\r\nAf8=\r\n--b--"));
  CHECK(out.starts_with("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n"));
}

TEST_CASE("a header gets its encoding once, and a bare one says that it is MIME of an unknown charset") {
  CHECK(with_encoding("A: 1\r\nContent-Transfer-Encoding: 8bit\r\nB: 2\r\nContent-Transfer-Encoding: 7bit\r\n",
                      "base64", false) == "A: 1\r\nContent-Transfer-Encoding: base64\r\nB: 2\r\n");
  CHECK(with_encoding("A: 1", "7bit", false) == "A: 1\r\nContent-Transfer-Encoding: 7bit\r\n");
  CHECK(with_encoding("", "7bit", true) ==
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: 7bit\r\n");
}

}  // namespace
}  // namespace postern
