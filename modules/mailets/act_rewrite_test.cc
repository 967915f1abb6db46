#include "mailets_for_tests.h"

namespace postern::mailets {
namespace {

ScriptValue map(std::vector<std::pair<std::string, std::string>> entries) {
  std::vector<std::pair<std::string, ScriptValue>> values;
  for (const auto& [from, to] : entries) values.emplace_back(from, value(to));
  return table(std::move(values));
}

TEST_CASE("recipients become those that the map says, step by step, and the others stay") {
  Mail m;
  m.add("Info@ours.example");
  m.add("admin@old.ours.example");
  REQUIRE(m.act("rewrite", map({{"info@ours.example", "sales@ours.example"},
                                {"sales@ours.example", "bob@ours.example"},
                                {"@old.ours.example", "@ours.example"}})));
  const auto& recipients = m.mail.envelope.recipients;
  CHECK(recipients[3].address == address("bob@ours.example"));
  CHECK(recipients[3].orcpt == "rfc822;Info@ours.example");
  CHECK(m.mail.lookups[3].account == "bob");
  CHECK(recipients[4].address == address("admin@ours.example"));
  CHECK(m.mail.lookups[4].account == "admin");
  CHECK(recipients[1].address == address("eve@ours.example"));
  CHECK(recipients[1].orcpt.empty());
  const auto trail = Trail::decode(m.mail.trail.bytes());
  CHECK(trail->back().answer == "admin@old.ours.example -> admin@ours.example");
}

TEST_CASE("who is kept here is not relayed any more") {
  Mail m;
  REQUIRE(m.act("rewrite", map({{"@relayed.example", "eve@ours.example"}})));
  CHECK(m.mail.envelope.recipients[2].address == address("eve@ours.example"));
  CHECK(m.select("relay_allowed") == "");
  CHECK(m.select("recipient_is_local") == "0-2");
}

TEST_CASE("a map leads to accounts of ours only, and a fault changes nobody") {
  Mail m;
  const auto out = m.act(
      "rewrite", map({{"bob@ours.example", "eve@ours.example"}, {"eve@ours.example", "someone@foreign.example"}}));
  REQUIRE_FALSE(out);
  CHECK(out.error().code == "rewrite.nobody");
  const auto half =
      m.act("rewrite", map({{"bob@ours.example", "admin@ours.example"}, {"eve@ours.example", "nobody@ours.example"}}));
  REQUIRE_FALSE(half);
  CHECK(m.mail.envelope.recipients[0].address == address("bob@ours.example"));
  m.directory.down = true;
  const auto later = m.act("rewrite", map({{"bob@ours.example", "admin@ours.example"}}), only(0));
  REQUIRE_FALSE(later);
  CHECK(later.error().code == "directory.temporary");
}

TEST_CASE("circles and what is no address are found when scripts are loaded") {
  Mail m;
  const auto complaint = [&](std::vector<std::pair<std::string, std::string>> entries) {
    return m.complaint("rewrite", map(std::move(entries)));
  };
  CHECK(complaint({{"a@x.example", "b@x.example"}, {"b@x.example", "A@x.example"}}).ends_with("leads back to itself"));
  CHECK(complaint({{"@x.example", "@y.example"}, {"@y.example", "@x.example"}}).ends_with("leads back to itself"));
  CHECK(complaint({{"a@x.example", "a@y.example"}, {"@y.example", "@x.example"}}).ends_with("leads back to itself"));
  CHECK(complaint({{"@x.example", "@x.example"}}).ends_with("leads back to itself"));
  CHECK(complaint({{"a@x.example", "@y.example"}}) == "\"@y.example\" is not a mail address");
  CHECK(complaint({{"@x.example", "y"}}) == "\"y\" is neither an address nor @ and a domain");
  CHECK(complaint({{"x", "a@y.example"}}) == "\"x\" is neither an address nor @ and a domain");
  CHECK(complaint({{"@x.example", "a@y.example"}, {"a@y.example", "b@z.example"}}).empty());
  CHECK(m.complaint("rewrite") == "needs a table of names");
}

}  // namespace
}  // namespace postern::mailets
