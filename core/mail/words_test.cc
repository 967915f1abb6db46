#include <doctest/doctest.h>

#include "postern/message.h"

using namespace postern;

TEST_CASE("encoded words become UTF-8") {
  CHECK(decode_words("plain") == "plain");
  CHECK(decode_words("=?iso-8859-1?q?Andr=E9_Pirard?= <a@x>") == "Andr\xc3\xa9 Pirard <a@x>");
  CHECK(decode_words("=?UTF-8?B?w7bDpA==?=") == "\xc3\xb6\xc3\xa4");
  CHECK(decode_words("=?utf-8*de?b?w7Y?= x") == "\xc3\xb6 x");
  CHECK(decode_words("=?iso-8859-15?q?=A4?=") == "\xe2\x82\xac");
  CHECK(decode_words("=?us-ascii?q?=93hi=94?=") == "\xe2\x80\x9chi\xe2\x80\x9d");
  CHECK(decode_words("=?koi8-r?B?8NLJ18XU?=") == "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82");
  CHECK(decode_words("=?gb2312?B?xOO6ww==?=") == "\xe4\xbd\xa0\xe5\xa5\xbd");
  CHECK(decode_words("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=") == "\xe6\x97\xa5\xe6\x9c\xac");
}

TEST_CASE("white space between two encoded words goes, any other stays") {
  CHECK(decode_words("=?utf-8?q?a?= =?utf-8?q?b?=") == "ab");
  CHECK(decode_words("=?utf-8?q?a?= \t =?iso-8859-1?q?b?=") == "ab");
  CHECK(decode_words("=?utf-8?q?a?= b") == "a b");
  CHECK(decode_words("a =?utf-8?q?b?=") == "a b");
  CHECK(decode_words("=?utf-8?q?a_?= =?utf-8?q?b?=") == "a b");
}

TEST_CASE("a character split between two words is put together again") {
  CHECK(decode_words("=?utf-8?b?w7bD?= =?utf-8?b?pA==?=") == "\xc3\xb6\xc3\xa4");
  CHECK(decode_words("=?utf-8?q?=C3?= =?utf-8?q?=B6?=") == "\xc3\xb6");
}

TEST_CASE("what is no encoded word stays as it is") {
  for (std::string_view text : {"=?", "=?=", "=?utf-8?", "=?utf-8?q", "=?utf-8?q?", "=?utf-8?q?abc", "=?utf-8?q?abc?",
                                "=?utf-8?x?abc?=", "=??q?abc?=", "a =? b", "=?a b?q?c?=", "=?=?=?"}) {
    CHECK(decode_words(text) == text);
  }
  CHECK(decode_words("=?bad?= =?utf-8?q?ok?=") == "=?bad?= ok");
}

TEST_CASE("decoding brings no line ends, NULs or ill-formed UTF-8 into a header") {
  CHECK(decode_words("=?utf-8?q?a=0D=0ABcc:_x=00?=") == "a  Bcc: x ");
  CHECK(is_valid_utf8(decode_words("=?utf-8?q?=C3?=")));
  CHECK(is_valid_utf8(decode_words("\xff raw")));
  CHECK(decode_words("raw \xe9") == "raw \xc3\xa9");
  CHECK(decode_words("=?x-unknown?q?=E9?=") == "\xc3\xa9");
  CHECK(is_valid_utf8(decode_words("=?big5?b?/////w==?=")));
}

TEST_CASE("charsets beyond those that mail needs are not served") {
  CHECK_FALSE(to_utf8("a", "UTF-8//TRANSLIT").has_value());
  CHECK_FALSE(to_utf8("a", "ISO-2022-CN-EXT").has_value());
  CHECK_FALSE(to_utf8("a", std::string(100, 'x')).has_value());
  CHECK_FALSE(to_utf8("a", "").has_value());
  CHECK(to_utf8("\xe9\xf1", "Windows-1252") == "\xc3\xa9\xc3\xb1");
  CHECK(to_utf8("\xe0", "iso-8859-7") == "\xce\xb0");
  CHECK(to_utf8("a\xff", "utf-8") == "a\xef\xbf\xbd");
}

TEST_CASE("encoding gives words of at most 75 octets that decode to the same text") {
  CHECK(encode_words("plain text") == "plain text");
  std::string text = "\xe2\x82\xac";
  for (int i = 0; i < 7; ++i) {
    const std::string coded = encode_words(text);
    CHECK(decode_words(coded) == text);
    std::size_t longest = 0;
    std::size_t at = 0;
    while (at < coded.size()) {
      const std::size_t end = std::min(coded.find(' ', at), coded.size());
      longest = std::max(longest, end - at);
      at = end + 1;
    }
    CHECK(longest <= 75);
    text += text + "x";
  }
  CHECK(decode_words(encode_words("=?utf-8?q?a?=")) == "=?utf-8?q?a?=");
}

TEST_CASE("of a field's value the names are encoded, and never the addresses and ids beside them") {
  CHECK(encode_field_value("J\xc3\xbcrgen <j@example.org>, Bob <b@example.org>") ==
        "=?utf-8?b?SsO8cmdlbg==?= <j@example.org>, Bob <b@example.org>");
  CHECK(encode_field_value("<1.2@example.org>") == "<1.2@example.org>");
  CHECK(encode_field_value("gr\xc3\xbc\xc3\x9f < Gott") == encode_words("gr\xc3\xbc\xc3\x9f < Gott"));
  CHECK(encode_field_value("").empty());
}

TEST_CASE("hostile values take linear time") {
  std::string starts;
  for (int i = 0; i < 100'000; ++i) starts += "=?a?q?";
  CHECK(decode_words(starts) == starts);
  std::string words;
  for (int i = 0; i < 100'000; ++i) words += "=?utf-8?q?=41?= ";
  CHECK(decode_words(words).size() == 100'001);
}
