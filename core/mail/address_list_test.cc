#include <doctest/doctest.h>

#include "postern/message.h"

using namespace postern;

namespace {

// "name|route|local|domain", groups as "{name" and "}".
std::string shown(std::string_view value) {
  std::string out;
  for (const HeaderAddress& item : parse_address_list(value).items) {
    if (!out.empty()) out += " ";
    if (item.kind == HeaderAddress::Kind::kGroupStart) {
      out += "{" + item.name;
    } else if (item.kind == HeaderAddress::Kind::kGroupEnd) {
      out += "}";
    } else {
      out += item.name + "|" + item.route + "|" + item.local + "|" + item.domain;
    }
  }
  return out;
}

bool broken(std::string_view value) {
  return parse_address_list(value).broken;
}

}  // namespace

TEST_CASE("ordinary lists") {
  CHECK(shown("a@x.org") == "||a|x.org");
  CHECK(shown("Joe Doe <joe@x.org>, b@y.org") == "Joe Doe||joe|x.org ||b|y.org");
  CHECK(shown("\"Doe, Joe\" <joe@x.org>") == "Doe, Joe||joe|x.org");
  CHECK(shown("<joe@x.org>") == "||joe|x.org");
  CHECK(shown("\"joe doe\"@x.org") == "||joe doe|x.org");
  CHECK(shown("joe@[192.0.2.1]") == "||joe|[192.0.2.1]");
  CHECK_FALSE(broken("Joe Doe <joe@x.org>, b@y.org"));
  CHECK(shown("").empty());
}

TEST_CASE("groups, full and empty") {
  CHECK(shown("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;") ==
        "{A Group Ed Jones||c|a.test ||joe|where.test John||jdoe|one.test }");
  CHECK(shown("Undisclosed recipients:;") == "{Undisclosed recipients }");
  CHECK(shown("a@x, g: b@y; , c@z") == "||a|x {g ||b|y } ||c|z");
  CHECK_FALSE(broken("a@x, g: b@y; , c@z"));
  CHECK(shown("open: a@x") == "{open ||a|x }");
  CHECK(broken("open: a@x"));
  CHECK(parse_address_list("g: a@x, b@y;").mailboxes() == 2);
}

TEST_CASE("comments and folds anywhere") {
  CHECK(shown("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>") == "Pete||pete|silly.test");
  CHECK(shown("joe@x.org (Joe (the) Doe)") == "Joe (the) Doe||joe|x.org");
  CHECK(shown("a@x (One), b@y (Two)") == "One||a|x Two||b|y");
  CHECK(shown("Mary Smith\r\n <mary@x.test>,\r\n\tb@y") == "Mary Smith||mary|x.test ||b|y");
  CHECK_FALSE(broken("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"));
}

TEST_CASE("obsolete forms") {
  CHECK(shown("Joe Q. Public <john.q.public@example.com>") == "Joe Q. Public||john.q.public|example.com");
  CHECK(shown("john . doe @ x . org") == "||john.doe|x.org");
  CHECK(shown("Mary <@node.test,@other.test:mary@example.net>, , jdoe@test . example") ==
        "Mary|@node.test,@other.test|mary|example.net ||jdoe|test.example");
  CHECK_FALSE(broken("Mary <@node.test:mary@example.net>, , jdoe@test . example"));
}

TEST_CASE("broken lists give what can be had") {
  CHECK(shown("root") == "||root|");
  CHECK(shown("Joe Doe joe@x.org") == "Joe Doe||joe|x.org");
  CHECK(broken("Joe Doe joe@x.org"));
  CHECK(shown("Doe, Joe <joe@x.org>") == "||Doe| Joe||joe|x.org");
  CHECK(shown("a@x; b@y") == "||a|x ||b|y");
  CHECK(broken("a@x; b@y"));
  CHECK(shown("<joe@x.org> trailing, b@y") == "||joe|x.org ||b|y");
  CHECK(shown("<>") == "|||");
  CHECK(shown("<joe@x.org") == "||joe|x.org");
  CHECK(broken("<joe@x.org"));
  CHECK(broken("\"open <joe@x.org>"));
  CHECK(broken("a@x@y"));
  CHECK(broken("@x"));
  CHECK(broken("a > b"));
  for (std::string_view text : {",", ";", ":", "<", ">", "@", "(", ")", "[", "]", "\\", "\"", ".", "<<<>>>", ":::;;;",
                                "@@,@", "<@", "<@:", "<@,:"}) {
    INFO("list: ", text);
    (void)parse_address_list(text);
  }
}

TEST_CASE("names decode and addresses are checked") {
  const AddressList list = parse_address_list(
      "=?utf-8?q?J=C3=B6rg?= <j\xc3\xb6rg@b\xc3\xbc"
      "cher.example>, bad@x..y, \"a b\"@x.org");
  REQUIRE(list.items.size() == 3);
  CHECK(list.items[0].display_name() == "J\xc3\xb6rg");
  CHECK(list.items[0].address()->to_string() == "j\xc3\xb6rg@xn--bcher-kva.example");
  CHECK_FALSE(list.items[1].address().has_value());
  CHECK(list.items[2].address()->to_string() == "\"a b\"@x.org");
}

TEST_CASE("lists are bounded and take linear time") {
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += "a@x,";
  const AddressList list = parse_address_list(many);
  CHECK(list.truncated);
  CHECK(list.items.size() == kMaxHeaderAddresses);
  CHECK(parse_address_list(std::string(200'000, '(')).broken);
  CHECK(parse_address_list(std::string(200'000, '<')).broken);
  CHECK(parse_address_list(std::string(200'000, '@')).broken);
  std::string words;
  for (int i = 0; i < 50'000; ++i) words += "a ";
  CHECK(parse_address_list(words + "<a@x>").items.front().name.size() == 99'999);
}
