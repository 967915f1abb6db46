#include <doctest/doctest.h>

#include "postern/message.h"

using namespace postern;

namespace {

const std::string kHeader = "A: 1\r\nB: 2\r\n folded\r\nA: 3\r\nC:4\r\n\r\nbody";

std::string edited(const HeaderEdits& edits, std::string_view header = kHeader) {
  const HeaderBlock block(header);
  const HeaderEdits::Pieces pieces = edits.apply(block);
  CHECK(pieces.consumed == block.fields_size());
  const std::string joined = pieces.join();
  CHECK(joined.size() == pieces.size);
  return joined;
}

}  // namespace

TEST_CASE("without edits the header is one untouched piece") {
  const HeaderBlock block(kHeader);
  const HeaderEdits edits;
  const auto pieces = edits.apply(block);
  REQUIRE(pieces.parts.size() == 1);
  CHECK(pieces.parts[0].data() == kHeader.data());
  CHECK(pieces.parts[0].size() == block.fields_size());
}

TEST_CASE("fields are added, removed and replaced, and the rest keeps its octets") {
  HeaderEdits edits;
  CHECK(edits.add_top("X", "first"));
  CHECK(edits.add_top("Y", "above"));
  CHECK(edits.append("Z", "last"));
  CHECK(edits.remove("a", 1));
  CHECK(edits.replace("B", 0, "new"));
  CHECK(edited(edits) == "Y: above\r\nX: first\r\nA: 1\r\nB: new\r\nC:4\r\nZ: last\r\n");
}

TEST_CASE("numbers count fields as they came, and later edits win") {
  HeaderEdits edits;
  edits.remove("A", 0);
  edits.remove("A", 1);
  CHECK(edited(edits) == "B: 2\r\n folded\r\nC:4\r\n");
  edits.replace("A", 1, "back");
  CHECK(edited(edits) == "B: 2\r\n folded\r\nA: back\r\nC:4\r\n");
  edits.remove_all("A");
  CHECK(edited(edits) == "B: 2\r\n folded\r\nC:4\r\n");
}

TEST_CASE("removing all takes back what was added before, not after") {
  HeaderEdits edits;
  edits.add_top("A", "x");
  edits.append("a", "y");
  edits.replace("A", 7, "z");
  edits.remove_all("A");
  edits.append("A", "kept");
  CHECK(edited(edits) == "B: 2\r\n folded\r\nC:4\r\nA: kept\r\n");
}

TEST_CASE("replacing what is not there appends it once") {
  HeaderEdits edits;
  edits.replace("New", 0, "one");
  edits.replace("New", 0, "two");
  CHECK(edited(edits).ends_with("C:4\r\nNew: two\r\n"));
}

TEST_CASE("a header that broke off does not swallow what is appended") {
  HeaderEdits edits;
  edits.append("Z", "1");
  CHECK(edited(edits, "A: 1") == "A: 1\r\nZ: 1\r\n");
  CHECK(edited(edits, "") == "Z: 1\r\n");
  CHECK(edited(edits, "\r\nbody") == "Z: 1\r\n");
  CHECK(edited(edits, "A: 1\n\nbody") == "A: 1\nZ: 1\r\n");
}

TEST_CASE("nothing can be injected through a value or a name") {
  CHECK(make_field("X", "a\r\nBcc: b\n\n\rc") == "X: a\r\n Bcc: b\r\n c\r\n");
  CHECK(make_field("X", "a\r\n\tfold\r\n   \r\n\r\nend\r\n") == "X: a\r\n\tfold\r\n end\r\n");
  CHECK(make_field("X", std::string_view("a\0b", 3)) == "X: a b\r\n");
  CHECK(make_field("X", "  ") == "X:\r\n");
  CHECK(HeaderBlock(make_field("X", "\r\n\r\nY: z")).count("Y") == 0);
  HeaderEdits edits;
  CHECK_FALSE(edits.append("X: y\r\nZ", "1"));
  CHECK_FALSE(edits.append("", "1"));
  CHECK_FALSE(edits.append("X Y", "1"));
  CHECK_FALSE(edits.append(std::string(77, 'x'), "1"));
  CHECK(edits.empty());
}

TEST_CASE("long values are folded at blanks and unfold to the same value") {
  std::string value;
  for (int i = 0; i < 60; ++i) value += "word" + std::to_string(i) + (i % 7 == 0 ? "  " : " ");
  value.pop_back();
  const std::string field = make_field("Subject", value);
  CHECK(HeaderBlock(field).value("Subject") == value);
  std::size_t at = 0;
  while (at < field.size()) {
    const std::size_t end = field.find("\r\n", at);
    CHECK(end - at <= 78);
    at = end + 2;
  }
  const std::string one_word(500, 'x');
  CHECK(make_field("X", one_word) == "X: " + one_word + "\r\n");
}

TEST_CASE("edits survive their encoding, and damage is refused") {
  HeaderEdits edits;
  edits.add_top("X", "first");
  edits.append("Z", "a\r\n b");
  edits.remove("A", 1);
  edits.remove_all("Q");
  edits.replace("B", 3, "new");
  std::string bytes;
  edits.encode(bytes);
  const auto back = HeaderEdits::decode(bytes);
  REQUIRE(back.has_value());
  CHECK(*back == edits);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    (void)HeaderEdits::decode(std::string_view(bytes).substr(0, i));
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      if (const auto decoded = HeaderEdits::decode(bad))
        CHECK(HeaderBlock(edited(*decoded)).fields_size() == edited(*decoded).size());
    }
  }
  CHECK(HeaderEdits::decode("").error().code == "edits.version");
  CHECK_FALSE(HeaderEdits::decode(std::string("\x01\x80\x0b\x00\x01X\x07X: a\r\nY", 14)).has_value());
}

TEST_CASE("lists of edits are merged, described and bounded") {
  HeaderEdits first;
  first.add_top("X", "1");
  HeaderEdits second;
  second.remove_all("X");
  second.replace("B", 0, "n");
  CHECK(first.merge(second));
  CHECK(first.describe() == std::vector<std::string>{"add-top X: 1", "remove-all X", "replace 0 B: n"});
  CHECK(edited(first) == "A: 1\r\nB: n\r\nA: 3\r\nC:4\r\n");
  HeaderEdits many;
  for (std::size_t i = 0; i < HeaderEdits::kMaxEdits; ++i) CHECK(many.append("X", "y"));
  CHECK_FALSE(many.append("X", "y"));
  CHECK_FALSE(many.merge(first));
}
