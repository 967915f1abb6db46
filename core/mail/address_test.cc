#include "postern/address.h"

#include <doctest/doctest.h>

#include <unordered_set>

using namespace postern;

namespace {

Address addr(std::string_view text) {
  Parsed<Address> parsed = Address::parse(text, {.allow_postmaster = true});
  INFO("address: ", text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

SyntaxFault refused(std::string_view text, Address::Options options = {}) {
  const Parsed<Address> parsed = Address::parse(text, options);
  INFO("address: ", text);
  REQUIRE_FALSE(parsed.has_value());
  return parsed.error();
}

PathOptions mail_from() {
  return {.allow_null = true};
}

}  // namespace

TEST_CASE("an ordinary address is taken apart and written back") {
  const Address a = addr("Joe.Doe@Example.ORG");
  CHECK(a.local() == "Joe.Doe");
  CHECK(a.domain().ascii() == "example.org");
  CHECK(a.to_string() == "Joe.Doe@example.org");
  CHECK(a.path() == "<Joe.Doe@example.org>");
  CHECK_FALSE(a.needs_smtputf8());
  CHECK_FALSE(a.is_null());
}

TEST_CASE("domains compare without case, local parts with it, quotes not at all") {
  CHECK(addr("a@EXAMPLE.org") == addr("a@example.ORG"));
  CHECK(addr("A@example.org") != addr("a@example.org"));
  CHECK(addr("\"joe\"@example.org") == addr("joe@example.org"));
  CHECK(addr("\"j\\oe\"@example.org") == addr("joe@example.org"));
  const std::unordered_set<Address> set{addr("a@x.org"), addr("a@X.ORG"), addr("\"a\"@x.org"), addr("b@x.org")};
  CHECK(set.size() == 2);
}

TEST_CASE("quoted local parts keep what needs quotes") {
  CHECK(addr("\"joe doe\"@x.org").local() == "joe doe");
  CHECK(addr("\"joe doe\"@x.org").to_string() == "\"joe doe\"@x.org");
  CHECK(addr("\"a\\\"b\\\\c\"@x.org").local() == "a\"b\\c");
  CHECK(addr("\"a\\\"b\\\\c\"@x.org").to_string() == "\"a\\\"b\\\\c\"@x.org");
  CHECK(addr("\"a@b\"@x.org").to_string() == "\"a@b\"@x.org");
  CHECK(addr("\"..\"@x.org").to_string() == "\"..\"@x.org");
  CHECK(addr("\"\"@x.org").to_string() == "\"\"@x.org");
  CHECK_FALSE(addr("\"\"@x.org").is_null());
}

TEST_CASE("address literals are typed") {
  CHECK(addr("a@[192.0.2.1]").domain().is_literal());
  CHECK(addr("a@[192.0.2.1]").domain().address() == IpAddress::parse("192.0.2.1"));
  CHECK(addr("a@[ipv6:2001:DB8::1]").to_string() == "a@[IPv6:2001:db8::1]");
  CHECK(refused("a@[192.0.2.256]").what == "the address literal has no valid address");
  CHECK(refused("a@[2001:db8::1]").what == "this kind of address literal is not known");
  CHECK(refused("a@[x400:foo]").what == "this kind of address literal is not known");
  CHECK(refused("a@[192.0.2.1").what == "the address literal lacks its closing bracket");
}

TEST_CASE("faults say what is wrong and where") {
  CHECK(refused("").what == "the local part is missing");
  CHECK(refused("@x.org").what == "the local part is missing");
  CHECK(refused("joe").what == "the address lacks '@' and a domain");
  CHECK(refused("joe@").what == "the domain is missing");
  CHECK(refused("joe@").offset == 4);
  CHECK(refused(".joe@x.org").what == "the local part starts with a dot");
  CHECK(refused("joe.@x.org").what == "the local part ends with a dot");
  CHECK(refused("joe..doe@x.org").offset == 4);
  CHECK(refused("joe doe@x.org").what == "the local part has a character that must be quoted");
  CHECK(refused("joe@x..org").what == "the domain has an empty label");
  CHECK(refused("joe@x..org").offset == 6);
  CHECK(refused("joe@x.org.").what == "the domain ends with a dot");
  CHECK(refused("joe@-x.org").what == "a label of the domain starts with a hyphen");
  CHECK(refused("joe@x-.org").what == "a label of the domain ends with a hyphen");
  CHECK(refused("joe@x/y.org").offset == 5);
  CHECK(refused("joe@a@b").what == "the domain has a character that is not allowed");
  CHECK(refused("\"joe@x.org").what == "the quoted local part lacks its closing quote");
  CHECK(refused("\"joe\\").what == "the quoted local part lacks its closing quote");
  CHECK(refused("\"j\noe\"@x.org").what == "the quoted local part has a control character");
  CHECK(refused(std::string_view("a\0b@x.org", 9)).offset == 1);
  CHECK(refused("joe@x..org").to_string() == "the domain has an empty label (at octet 7)");
}

TEST_CASE("limits of RFC 5321 hold exactly") {
  CHECK(addr(std::string(64, 'a') + "@x.org").local().size() == 64);
  CHECK(refused(std::string(65, 'a') + "@x.org").too_long);
  CHECK(Address::parse(std::string(120, 'a') + "@x.org", {.max_local_part = 128}).has_value());
  CHECK(Domain::parse(std::string(63, 'a') + ".org").has_value());
  CHECK(Domain::parse(std::string(64, 'a') + ".org").error().too_long);
  std::string domain;
  for (int i = 0; i < 4; ++i) domain += std::string(63, 'a') + ".";
  domain.pop_back();
  CHECK(Domain::parse(domain).has_value());
  CHECK(Domain::parse(domain + "a").error().too_long);
  // 1 + 1 + 255 octets and two brackets pass the limit of a path, though neither part passes its own.
  CHECK(parse_path("<a@" + domain + ">").error().too_long);
}

TEST_CASE("internationalised addresses: A-labels inside, U-labels for people, UTF-8 local parts flagged") {
  const Address a = addr(
      "user@B\xc3\xbc"
      "cher.example");
  CHECK(a.domain().ascii() == "xn--bcher-kva.example");
  CHECK(a.domain().unicode() ==
        "b\xc3\xbc"
        "cher.example");
  CHECK(a == addr("user@XN--bcher-KVA.example"));
  CHECK(a.display() ==
        "user@b\xc3\xbc"
        "cher.example");
  CHECK_FALSE(a.needs_smtputf8());
  const Address b = addr("j\xc3\xb6rg@example.org");
  CHECK(b.needs_smtputf8());
  CHECK(b.to_string() == "j\xc3\xb6rg@example.org");
  CHECK(addr("\"j\xc3\xb6 rg\"@x.org").needs_smtputf8());
  CHECK(refused("j\xc3\xb6rg@x.org", {.allow_utf8 = false}).what == "UTF-8 in the local part needs SMTPUTF8");
  CHECK(refused("j@\xc3\xb6.org", {.allow_utf8 = false}).what == "UTF-8 in the domain needs SMTPUTF8");
  CHECK(refused("j\xc3@x.org").what == "the local part is not valid UTF-8");
  CHECK(refused("j\xed\xa0\x80@x.org").what == "the local part is not valid UTF-8");
  CHECK(refused("j\xc0\xaf@x.org").what == "the local part is not valid UTF-8");
  CHECK(refused("j@x\xff.org").what == "the domain is not valid UTF-8");
  CHECK(Domain::parse("xn--zzzzzzzzzzzz.org")->unicode().size() > 0);  // what does not convert is shown as it is
}

TEST_CASE("sub-addresses are found behind the first delimiter") {
  CHECK(addr("user+news@x.org").tag() == "news");
  CHECK(addr("user+news@x.org").base() == "user");
  CHECK(addr("user+a+b@x.org").tag() == "a+b");
  CHECK(addr("user@x.org").tag().empty());
  CHECK(addr("user@x.org").base() == "user");
  CHECK(addr("+user@x.org").base() == "+user");
  CHECK(addr("user-news@x.org").tag("+-") == "news");
  CHECK(addr("user+x@x.org").without_tag() == addr("user@x.org"));
  CHECK_FALSE(addr("user+\xc3\xb6@x.org").without_tag().needs_smtputf8());
  CHECK(addr("a@x.org").with_domain(*Domain::parse("y.org")) == addr("a@y.org"));
}

TEST_CASE("postmaster alone is an address only where that is asked for") {
  CHECK(addr("PostMaster").is_bare_postmaster());
  CHECK(addr("PostMaster").is_postmaster());
  CHECK(addr("Postmaster").to_string() == "Postmaster");
  CHECK(addr("postmaster@x.org").is_postmaster());
  CHECK_FALSE(addr("postmaster@x.org").is_bare_postmaster());
  CHECK_FALSE(Address::parse("postmaster").has_value());
  CHECK(parse_path("<Postmaster>", {.allow_postmaster = true})->address.is_bare_postmaster());
  CHECK_FALSE(parse_path("<Postmaster>").has_value());
}

TEST_CASE("a path ends where its bracket closes and parameters follow") {
  const auto path = parse_path("<a@x.org> SIZE=100", mail_from());
  REQUIRE(path.has_value());
  CHECK(path->address == addr("a@x.org"));
  CHECK(path->length == 9);
  CHECK(parse_path("<\"a>b c\"@x.org> X", mail_from())->address.local() == "a>b c");
  CHECK(parse_path("<>", mail_from())->address.is_null());
  CHECK(parse_path("<> SIZE=1", mail_from())->length == 2);
  CHECK(parse_path("<>").error().what == "the null path is not allowed here");
  CHECK(parse_path("<a@x.org>SIZE=1").error().what == "a space must follow the path");
  CHECK(parse_path("<a@x.org").error().what == "the closing angle bracket is missing");
  CHECK(parse_path("<a@x.org foo>").error().what == "the closing angle bracket is missing");
  CHECK(parse_path("a@x.org").error().what == "the address must stand in angle brackets");
  CHECK(parse_path("").error().what == "the address must stand in angle brackets");
  CHECK(parse_path("<").error().what == "the address is missing");
  CHECK(parse_path("< a@x.org>").error().what == "the address is missing");
  CHECK(parse_path("<a@x..org>").error().offset == 5);
  CHECK(parse_path("<j\xc3\xb6@x.org>").error().what == "UTF-8 in the local part needs SMTPUTF8");
  CHECK(parse_path("<j\xc3\xb6@x.org>", {.allow_utf8 = true}).has_value());
  CHECK(parse_path("<<a@x.org>>").error().offset == 1);
}

TEST_CASE("old clients may leave brackets out or put blanks before the path") {
  const PathOptions loose{.allow_missing_brackets = true, .allow_null = true};
  CHECK(parse_path(" a@x.org SIZE=1", loose)->length == 8);
  CHECK(parse_path("  <a@x.org>", loose)->address == addr("a@x.org"));
  CHECK_FALSE(parse_path("a@x.org>", loose).has_value());
  CHECK(parse_path("  ", loose).error().what == "the address is missing");
}

TEST_CASE("source routes are accepted and stripped") {
  const auto path = parse_path("<@a.org,@[IPv6:::1]:joe@x.org> X", mail_from());
  REQUIRE(path.has_value());
  CHECK(path->source_route);
  CHECK(path->address == addr("joe@x.org"));
  CHECK_FALSE(parse_path("<@a.org>").has_value());
  CHECK(parse_path("<@a.org,b.org:joe@x.org>").error().what == "the source route expects '@'");
  CHECK_FALSE(parse_path("<@a.org:>").has_value());
  CHECK_FALSE(parse_path("<@a..org:j@x.org>").has_value());
}

TEST_CASE("addresses made from parts are quoted when they need it, and never unwritable") {
  const Domain domain = *Domain::parse("x.org");
  CHECK(Address::make("a b", domain)->to_string() == "\"a b\"@x.org");
  CHECK_FALSE(Address::make("a\r\nRCPT TO:<b>", domain).has_value());
  CHECK_FALSE(Address::make("\xff", domain).has_value());
  CHECK_FALSE(Address::make("a", Domain{}).has_value());
}

TEST_CASE("a domain knows what it is within") {
  const Domain org = *Domain::parse("example.org");
  CHECK(Domain::parse("mx.example.org")->is_within(org));
  CHECK(org.is_within(org));
  CHECK_FALSE(Domain::parse("badexample.org")->is_within(org));
  CHECK_FALSE(Domain::parse("[192.0.2.1]")->is_within(org));
  CHECK(Domain::parse("mx.example.org")->parent() == "example.org");
  CHECK(Domain::parse("org")->parent().empty());
  CHECK_FALSE(Domain::parse("[192.0.2.1]", {.allow_literal = false}).has_value());
  CHECK(Domain::parse("_dmarc.example.org").has_value());
  CHECK(Domain::literal(*IpAddress::parse("192.0.2.1")).ascii() == "[192.0.2.1]");
}

TEST_CASE("short addresses need no allocation beyond their strings") {
  const Address a = addr("user@example.org");
  CHECK(a.local().capacity() == std::string().capacity());
  CHECK(a.domain().ascii().capacity() == std::string().capacity());
}
