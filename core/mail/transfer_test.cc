#include <doctest/doctest.h>

#include "postern/mime.h"

using namespace postern;

namespace {

struct Decoded {
  std::string text;
  bool damaged = false;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(TransferEncoding encoding, std::string_view text, std::size_t step = 0) {
  BodyDecoder decoder(encoding);
  Decoded out;
  for (std::size_t at = 0; at < text.size(); at += step == 0 ? text.size() : step) {
    decoder.feed(text.substr(at, step == 0 ? text.npos : step), out.text);
  }
  decoder.finish(out.text);
  out.damaged = decoder.damaged();
  return out;
}

void check(TransferEncoding encoding, std::string_view text, std::string_view want, bool damaged = false) {
  INFO("text: ", text);
  CHECK(decode(encoding, text).text == want);
  CHECK(decode(encoding, text).damaged == damaged);
  for (std::size_t step = 1; step <= text.size(); ++step) CHECK(decode(encoding, text, step) == decode(encoding, text));
}

constexpr auto kB64 = TransferEncoding::kBase64;
constexpr auto kQp = TransferEncoding::kQuotedPrintable;

}  // namespace

TEST_CASE("base64 decodes in pieces of any size") {
  check(kB64, "", "");
  check(kB64, "Zg==", "f");
  check(kB64, "Zm8=", "fo");
  check(kB64, "Zm9v", "foo");
  check(kB64, "Zm9v\r\nYmFy\r\n", "foobar");
  check(kB64, "/+//", "\xff\xef\xff");
}

TEST_CASE("damaged base64 gives what can be had and says so") {
  check(kB64, "Zm9", "fo", true);
  check(kB64, "Z", "", true);
  check(kB64, "Zm9v!YmFy", "foobar", true);
  check(kB64, "Zg==Zg==", "ff", true);
  check(kB64, "=Zm9v", "foo", true);
}

TEST_CASE("quoted-printable decodes in pieces of any size") {
  check(kQp, "a=3Db=c3=B6\r\n", "a=b\xc3\xb6\r\n");
  check(kQp, "soft=\r\nline=\nend", "softlineend");
  check(kQp, "soft= \t\r\nline", "softline");
  check(kQp, "trailing  \t\r\nblanks \nkept here", "trailing\r\nblanks\nkept here");
  check(kQp, "end  ", "end");
  check(kQp, "=20 \r\n", " \r\n");
}

TEST_CASE("damaged quoted-printable stays as it is and says so") {
  check(kQp, "a=zb", "a=zb", true);
  check(kQp, "a=4z", "a=4z", true);
  check(kQp, "a==41", "a=A", true);
  check(kQp, "a= b", "a= b", true);
  check(kQp, "a=", "a", true);
  check(kQp, "a=4", "a=4", true);
  check(kQp, "a\rb", "a\rb", true);
}

TEST_CASE("what needs no decoding passes through") {
  check(TransferEncoding::k8Bit, "=41 \r\n", "=41 \r\n");
  check(TransferEncoding::kUnknown, "Zg==", "Zg==");
}
