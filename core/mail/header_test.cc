#include "postern/message.h"

#include <doctest/doctest.h>

using namespace postern;

namespace {

const std::string kMessage =
    "Return-Path: <>\r\n"
    "Received: from a by b;\r\n"
    "\tSat, 21 Nov 2026 23:04:37 +0000\r\n"
    "Received: second\r\n"
    "SUBJECT : folded\r\n"
    " value \r\n"
    "X-Empty:\r\n"
    "\r\n"
    "Subject: of the body\r\n";

std::vector<std::string> names(const HeaderBlock& block) {
  std::vector<std::string> out;
  for (const HeaderField& field : block) out.emplace_back(field.name);
  return out;
}

}  // namespace

TEST_CASE("fields are found where they lie") {
  const HeaderBlock block(kMessage);
  CHECK(names(block) == std::vector<std::string>{"Return-Path", "Received", "Received", "SUBJECT", "X-Empty"});
  CHECK(block.count("received") == 2);
  CHECK(block.find("RECEIVED", 1)->value() == "second");
  CHECK_FALSE(block.find("Received", 2).has_value());
  CHECK(block.find_last("Received")->value() == "second");
  CHECK(block.value("subject") == "folded value");
  CHECK(block.value("x-empty").empty());
  CHECK(block.value("x-none").empty());
  CHECK(block.find("Received")->raw_value == " from a by b;\r\n\tSat, 21 Nov 2026 23:04:37 +0000");
  CHECK(kMessage.substr(block.body_offset()) == "Subject: of the body\r\n");
  CHECK(block.body_offset() == block.fields_size() + 2);
}

TEST_CASE("every octet of a header belongs to one field") {
  for (std::string_view text :
       {"", "\r\n", "\n", "a", "a:", "a:b", ":b\r\n", " x\r\n y\r\na: b\n", "From x y:z\r\na:b\r\n\r\n",
        "a:b\r\n \r\n\r\nbody", "a b: c\r\n\r\n", "a\r\r\nb:c\n", "\r", "a: b\r", "a\xc3\xb6: b\r\n"}) {
    INFO("header: ", text);
    const HeaderBlock block(text);
    std::size_t at = 0;
    for (const HeaderField& field : block) {
      CHECK(field.offset == at);
      CHECK(field.raw.data() == text.data() + at);
      CHECK_FALSE(field.raw.empty());
      at += field.raw.size();
    }
    CHECK(at == block.fields_size());
    CHECK(block.body_offset() >= at);
  }
}

TEST_CASE("lines that are no fields are kept apart without hiding those that are") {
  const HeaderBlock block("From joe Sat Nov 21 10:11:12 2026\nto: a@x\nno colon here\n continued\nCc : b@x\n\nbody");
  CHECK(names(block) == std::vector<std::string>{"", "to", "", "Cc"});
  CHECK(block.find("")->raw_value == "From joe Sat Nov 21 10:11:12 2026");
  CHECK(block.value("cc") == "b@x");
  CHECK(block.bytes().substr(block.body_offset()) == "body");
}

TEST_CASE("a header that only folds white space does not end there") {
  const HeaderBlock block("a: b\r\n \r\n c\r\nd: e\r\n");
  CHECK(names(block) == std::vector<std::string>{"a", "d"});
  CHECK(block.value("a") == "b  c");
}

TEST_CASE("limits of a header have names") {
  CHECK(HeaderBlock::checked(kMessage, {}).has_value());
  CHECK(HeaderBlock::checked(kMessage, {.max_bytes = 10}).error().code == "header.too-large");
  CHECK(HeaderBlock::checked(kMessage, {.max_fields = 4}).error().code == "header.too-many-fields");
  CHECK(HeaderBlock::checked(kMessage, {.max_fields = 5}).has_value());
}

TEST_CASE("the scanner finds the end of a header however it is cut") {
  for (const std::string& text : {kMessage, std::string("a: b\n\nbody"), std::string("\r\nbody"),
                                  std::string("a: b\r\n\n"), std::string("a: \xff\r\n\r\r\n\r\n")}) {
    const std::size_t want = HeaderBlock(text).body_offset();
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      HeaderScanner scanner;
      std::size_t got = scanner.feed(std::string_view(text).substr(0, cut));
      CHECK(got <= cut);
      if (!scanner.done()) got += scanner.feed(std::string_view(text).substr(cut));
      CHECK(got == want);
      CHECK(scanner.done());
      CHECK(scanner.size() == want);
      CHECK(scanner.feed("more") == 0);
    }
    HeaderScanner by_octet;
    std::size_t got = 0;
    for (char c : text) got += by_octet.feed({&c, 1});
    CHECK(got == want);
  }
}

TEST_CASE("the scanner counts fields, the longest line and 8-bit octets") {
  HeaderScanner scanner;
  scanner.feed(kMessage);
  CHECK(scanner.fields() == 5);
  CHECK(scanner.longest_line() == 32);
  CHECK_FALSE(scanner.has_8bit());
  CHECK_FALSE(scanner.over_limit());
  HeaderScanner small({.max_bytes = 20, .max_fields = 1});
  small.feed("a: \xff\r\nb: c");
  CHECK(small.has_8bit());
  CHECK(small.over_limit());
}

TEST_CASE("message ids are found among whatever stands between") {
  CHECK(parse_message_ids("<a@x>\r\n <b@y> junk <c\r\n @z>") == std::vector<std::string>{"<a@x>", "<b@y>", "<c@z>"});
  CHECK(parse_message_ids("<<a@x> <> <b").size() == 1);
  CHECK(parse_message_ids("none").empty());
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "<a@x>";
  CHECK(parse_message_ids(many).size() == kMaxMessageIds);
  CHECK(parse_message_ids("<" + std::string(2000, 'a') + "> <b@x>") == std::vector<std::string>{"<b@x>"});
}

TEST_CASE("a new message id holds time, randomness and host") {
  const WallTime now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 1) + 3h + 4min + 5s;
  CHECK(make_message_id(now, 0x1a2b3c4d5e6f7081, "x.org") == "<20261101030405.1a2b3c4d5e6f7081@x.org>");
}
