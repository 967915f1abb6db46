// What `postern check` says about next hops and addresses that are not there.
#include "core/pipeline/target_checks.h"

#include <doctest/doctest.h>

#include <memory>
#include <utility>

#include "core/pipeline/rule_checks.h"

namespace postern {
namespace {

class Directs final : public Action {
 public:
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(ActionResult{}); }
  bool is_final() const override { return true; }
  std::string name() const override { return "directs"; }
  std::string gateway() const override { return through; }
  std::vector<Address> sends_to() const override { return sent; }
  std::vector<Address> rewrites_to() const override { return put; }

  std::string through;
  std::vector<Address> sent, put;
};

/// Knows alice (an account), team (an alias) and nobody else of example.org; of slow.example nothing without asking.
class Known final : public Directory {
 public:
  DomainKind domain_kind(std::string_view) const override { return DomainKind::kLocal; }
  std::string default_domain() const override { return "example.org"; }
  Task<AddressLookup> find(Address) override { return Task<AddressLookup>::ready({}); }
  DirectoryFacts facts() const override { return {}; }
  std::optional<AddressLookup> look_ahead(const Address& address) const override {
    if (address.domain().ascii() == "slow.example") return std::nullopt;
    AddressLookup found;
    if (address.domain().ascii() != "example.org") return found;
    found.kind = address.local() == "alice"  ? AddressLookup::Kind::kAccount
                 : address.local() == "team" ? AddressLookup::Kind::kAlias
                                             : AddressLookup::Kind::kNoSuchUser;
    return found;
  }
};

struct World {
  Known directory;
  KnownTargets known{true, {"smarthost", "backup"}, &directory};
  RuleSet rules;
  std::shared_ptr<Directs> action = std::make_shared<Directs>();

  World() {
    const auto source = std::make_shared<SourceText>("test.lua", "root\n  { out }\nwaive\n");
    PipelineRules& root = rules.pipelines["root"];
    root.name = "root";
    root.origin = {source, 1, 1};
    Rule rule;
    rule.name = "root#1";
    rule.origin = {source, 2, 3};
    rule.actions.push_back(action);
    root.rules.push_back(std::move(rule));
  }
  void waive(std::string code) {
    rules.waivers.emplace_back(std::move(code), "a reason");
    rules.waiver_origins.push_back({rules.pipelines["root"].origin.source, 3, 1});
  }
  std::string through(std::string gateway) {
    action->through = std::move(gateway);
    return said();
  }
  std::string said() const {
    Diagnostics diagnostics;
    check_targets(rules, known, diagnostics);
    return diagnostics.render();
  }
};

Address address(std::string_view text) {
  return *Address::parse(text);
}

TEST_CASE("a next hop of one word that is no route is told at its rule, with the route that was meant") {
  World world;
  CHECK(world.through("smarthots") ==
        "test.lua:2:3: warning: rule \"root#1\" relays through \"smarthots\", which is no route and no full name of a "
        "host [lint.unknown_gateway]\n"
        "  2 |   { out }\n"
        "    |   ^\n"
        "  did you mean \"smarthost\"?\n");
  CHECK(world.through("elsewhere").find("declare [[delivery.route]] name = \"elsewhere\"") != std::string::npos);
  for (const char* good : {"", "smarthost", "mx.example.org", "mx.example.org:25", "[mailhub]", "mailhub:25",
                           "192.0.2.1", "lmtp:unix:/run/lmtp", "localhost"}) {
    CAPTURE(good);
    CHECK(world.through(good).empty());
  }
  world.known.relays = false;  // nobody knows the routes
  CHECK(world.through("smarthots").empty());
}

TEST_CASE("mail to an address of ours that nobody has is told, and to others it is not") {
  World world;
  world.action->sent = {address("alice@example.org"), address("team@example.org"), address("x@elsewhere.example"),
                        address("x@slow.example")};
  CHECK(world.said().empty());
  world.action->sent = {address("bob@example.org")};
  CHECK(
      world.said() ==
      "test.lua:2:3: warning: rule \"root#1\" sends mail to bob@example.org, and there is no account or alias of that "
      "name here [lint.unknown_recipient]\n"
      "  2 |   { out }\n"
      "    |   ^\n"
      "  such mail is deferred until there is one\n");
}

TEST_CASE("what takes accounts alone is told of an alias and of an address elsewhere") {
  World world;
  world.action->put = {address("alice@example.org"), address("x@slow.example")};
  CHECK(world.said().empty());
  for (const char* wrong : {"team@example.org", "x@elsewhere.example", "bob@example.org"}) {
    CAPTURE(wrong);
    world.action->put = {address(wrong)};
    CHECK(world.said().find("there is no account of that name here") != std::string::npos);
  }
}

TEST_CASE("a script waives these as other lints, also where nobody looks at them") {
  World world;
  world.action->through = "mailhub";
  world.waive("lint.no_loop_guard");
  world.waive("lint.unknown_gateway");
  Diagnostics looked;
  check_rules(world.rules, looked, &world.known);
  CHECK(looked.render().empty());
  Diagnostics not_looked;
  check_rules(world.rules, not_looked);
  CHECK(not_looked.render().empty());
  world.action->through.clear();
  Diagnostics unused;
  check_rules(world.rules, unused, &world.known);
  CHECK(unused.render().find("no warning lint.unknown_gateway that this waiver silences") != std::string::npos);
}

}  // namespace
}  // namespace postern
