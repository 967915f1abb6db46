#include "names.h"

#include <doctest/doctest.h>

namespace postern::maildir {

TEST_CASE("an account lies below its domain") {
  CHECK(account_path("alice@example.org") == "example.org/alice");
  CHECK(account_path("alice") == "_local/alice");
  CHECK(account_path("a+b@example.org") == "example.org/a+b");
}

TEST_CASE("no account's name leads elsewhere or hides") {
  CHECK(account_path("../../etc/passwd") == "_local/%2E.%2F..%2Fetc%2Fpasswd");
  CHECK(account_path("..@..") == "%2E./%2E.");
  CHECK(account_path(".tokens@.tokens") == "%2Etokens/%2Etokens");
  CHECK(account_path("x@_local") == "%5Flocal/x");
  CHECK(account_path(std::string_view("a\0b@c\n", 6)) == "c%0A/a%00b");
  CHECK(account_path("x%2F@y") == "y/x%252F");
  CHECK_FALSE(account_path(""));
  CHECK_FALSE(account_path(std::string(300, 'a')));
  CHECK_FALSE(account_path(std::string(90, '/') + "@x"));
}

TEST_CASE("folders are named as Maildir++ has them") {
  CHECK(folder_path("INBOX") == "");
  CHECK(folder_path("inbox") == "");
  CHECK(folder_path("Junk") == ".Junk");
  CHECK(folder_path("Lists/postern") == ".Lists.postern");
  CHECK(folder_path("a.b") == ".a&AC4-b");
  CHECK(folder_path("..") == ".&AC4ALg-");
  CHECK(folder_path("Entw\xC3\xBCrfe") == ".Entw&APw-rfe");
  CHECK(folder_path("R&D") == ".R&-D");
  CHECK(folder_path("\xE5\x8F\xB0\xE5\x8C\x97") == ".&U,BTFw-");  // RFC 3501 §5.1.3 has this one
  CHECK_FALSE(folder_path("a//b"));
  CHECK_FALSE(folder_path("/a"));
  CHECK_FALSE(folder_path(std::string(300, 'a')));
}

TEST_CASE("a file's name tells sizes, flags and time, and keeps its base through changes of flags") {
  const std::string name = "1767225600.0abc-0.mx,S=120,W=130:2,FS";
  const FileName parts = parse_file_name(name);
  CHECK(parts.base == "1767225600.0abc-0.mx,S=120,W=130");
  CHECK(parts.size == 120);
  CHECK(parts.wire_size == 130);
  CHECK(parts.seen());
  CHECK(parts.delivered == WallTime(std::chrono::seconds(1767225600)));
  CHECK(parse_file_name(with_flag(name, 'D')).base == parts.base);
  CHECK(with_flag(name, 'R') == "1767225600.0abc-0.mx,S=120,W=130:2,FRS");
  CHECK(with_flag(name, 'S') == name);
  CHECK(with_flag("x", 'S') == "x:2,S");
  CHECK_FALSE(parse_file_name("odd").delivered);
  CHECK_FALSE(parse_file_name("12.x").delivered);
}

TEST_CASE("a unique-id fits RFC 1939, whatever the file is called") {
  CHECK(unique_id("1767225600.0abc-0.mx,S=120") == "1767225600.0abc-0.mx,S=120");
  for (const std::string& odd : {std::string(71, 'a'), std::string("a b"), std::string("\xC3\xBC"), std::string()}) {
    const std::string id = unique_id(odd);
    CHECK(id.size() == 34);
    CHECK(id.starts_with("h."));
  }
  CHECK(unique_id(std::string(71, 'a')) != unique_id(std::string(72, 'a')));
  CHECK(unique_id("a b") == "h.a68d62c6038b5822836dbc79780dff7a");  // written down: it may never change
}

TEST_CASE("a token brings back the place, and none leads out of the root") {
  Place place{.dir = "example.org/a..b/.Junk", .base = "1.x.h", .name = "1.x.h,S=3,W=4:2,S"};
  auto back = Place::parse(place.token());
  REQUIRE(back);
  CHECK(back->dir == place.dir);
  CHECK(back->tmp() == "example.org/a..b/.Junk/tmp/1.x.h");
  CHECK(back->target() == "example.org/a..b/.Junk/cur/1.x.h,S=3,W=4:2,S");
  for (const char* bad : {"", "x", "/etc\tpasswd", "a/../..\tx", "a\t../x", "a\t", "a\t.x", "\tx"})
    CHECK_FALSE(Place::parse(bad));
}

TEST_CASE("system flags become letters in order; keywords have none") {
  CHECK(flag_letters({"\\Seen", "\\Flagged", "todo", "\\draft"}) == "DFS");
  CHECK(flag_letters({}).empty());
}

}  // namespace postern::maildir
