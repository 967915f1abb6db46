// Who is who: names, aliases, sub-addresses, postmaster; what is wrong with settings; and a reload under way.
#include "directory.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "postern/nursery.h"
#include "postern/sim.h"

using namespace postern;
using namespace postern::auth;

namespace {

constexpr const char* kLocked = "!";

struct Given {
  AuthSettings auth;
  DirectorySettings directory;
  std::vector<UserEntry> users;
  Diagnostics diagnostics;

  Given() {
    domain("example.org");
    account("Alice@Example.ORG");
  }
  DomainSettings& domain(std::string name, DomainKind kind = DomainKind::kLocal) {
    DomainSettings& made = directory.domains.emplace_back();
    made.name = std::move(name);
    made.kind = kind;
    return made;
  }
  AccountSettings& account(std::string name) {
    AccountSettings& made = directory.accounts.emplace_back();
    made.name = std::move(name);
    made.password = kLocked;
    return made;
  }
  void alias(std::string from, std::vector<std::string> to) {
    AliasSettings& made = directory.aliases.emplace_back();
    made.from = std::move(from);
    made.to = std::move(to);
  }
  std::shared_ptr<const Snapshot> build() { return build_snapshot(auth, directory, users, diagnostics); }
  bool complains(std::string_view text) { return !build() && diagnostics.render().find(text) != std::string::npos; }
};

AddressLookup find(const Snapshot& snapshot, std::string_view address) {
  Address::Options options;
  options.allow_postmaster = true;
  return snapshot.find(*Address::parse(address, options));
}
using Kind = AddressLookup::Kind;

}  // namespace

TEST_CASE("an account is found in any case, with and without a sub-address") {
  Given given;
  auto snapshot = given.build();
  REQUIRE(snapshot);
  for (const char* name :
       {"alice@example.org", "ALICE@EXAMPLE.org", "Alice+news@example.org", "alice+a+b@example.org"}) {
    CAPTURE(name);
    CHECK(find(*snapshot, name).kind == Kind::kAccount);
    CHECK(find(*snapshot, name).account == "alice@example.org");
  }
  CHECK(find(*snapshot, "alice-news@example.org").kind == Kind::kNoSuchUser);
  CHECK(find(*snapshot, "bob@example.org").kind == Kind::kNoSuchUser);
  CHECK(find(*snapshot, "alice@example.com").kind == Kind::kForeign);
  CHECK(snapshot->find(Address()).kind == Kind::kForeign);
}

TEST_CASE("without a delimiter there are no sub-addresses") {
  Given given;
  given.auth.recipient_delimiter.clear();
  CHECK(find(*given.build(), "alice+news@example.org").kind == Kind::kNoSuchUser);
}

TEST_CASE("a whole name wins over the sub-address it looks like") {
  Given given;
  given.account("alice+work@example.org");
  auto snapshot = given.build();
  CHECK(find(*snapshot, "alice+work@example.org").account == "alice+work@example.org");
  CHECK(find(*snapshot, "alice+home@example.org").account == "alice@example.org");
}

TEST_CASE("aliases lead to targets, an account's own aliases to the account") {
  Given given;
  given.directory.accounts[0].aliases = {"al", "a.lice@example.org"};
  given.alias("team", {"alice", "bob@elsewhere.example"});
  auto snapshot = given.build();
  REQUIRE(snapshot);
  CHECK(find(*snapshot, "al@example.org").account == "alice@example.org");
  AddressLookup team = find(*snapshot, "team+x@example.org");
  CHECK(team.kind == Kind::kAlias);
  REQUIRE(team.targets.size() == 2);
  CHECK(team.targets[1].to_string() == "bob@elsewhere.example");
  CHECK(snapshot->facts().foreign_aliases == 1);
  CHECK(snapshot->facts().wild_aliases == 0);
}

TEST_CASE("an alias that leads to nobody of ours is told, and not where a catch-all or another server takes the mail") {
  Given given;
  given.domain("caught.example").catch_all = "alice@example.org";
  given.domain("branch.example", DomainKind::kRelay);
  given.alias("well", {"alice", "alice+x", "x@elsewhere.example", "any@caught.example", "any@branch.example", "team"});
  given.alias("team", {"alice"});
  given.alias("postmaster", {"alice"});
  given.alias("postmaster@caught.example", {"alice"});
  REQUIRE(given.build());
  CHECK(given.diagnostics.items().empty());
  given.alias("info", {"alice", "alcie"});
  REQUIRE(given.build());
  REQUIRE(given.diagnostics.items().size() == 1);
  CHECK(given.diagnostics.items()[0].code == "auth.alias-to-nobody");
  CHECK(given.diagnostics.items()[0].text ==
        "the alias info leads to alcie@example.org, and there is no account or alias of that name");
}

TEST_CASE("a check of rules sees the directory that is to come, and look-ups the one in force") {
  Given given;
  SnapshotDirectory directory(given.build());
  given.account("bob@example.org");
  directory.stage(given.build());
  const Address bob = *Address::parse("bob@example.org");
  CHECK(directory.look_ahead(bob)->kind == Kind::kAccount);
  CHECK(directory.current().find(bob).kind == Kind::kNoSuchUser);
}

TEST_CASE("a relay domain's users are not ours to know, but its aliases are") {
  Given given;
  given.domain("branch.example", DomainKind::kRelay);
  given.alias("info@branch.example", {"alice"});
  auto snapshot = given.build();
  REQUIRE(snapshot);
  CHECK(snapshot->domain_kind("branch.example") == DomainKind::kRelay);
  CHECK(find(*snapshot, "x@branch.example").kind == Kind::kForeign);
  CHECK(find(*snapshot, "info@branch.example").kind == Kind::kAlias);
  CHECK(snapshot->facts().domains.size() == 2);
}

TEST_CASE("postmaster of every local domain reaches somebody") {
  SUBCASE("whom the setting names") {
    Given given;
    given.account("admin@example.org");
    given.domain("second.example");
    given.auth.postmaster = "admin";
    auto snapshot = given.build();
    REQUIRE(snapshot);
    CHECK(given.diagnostics.warnings() == 0);
    for (const char* name :
         {"postmaster@example.org", "PostMaster@second.example", "postmaster", "postmaster+x@example.org"})
      CHECK(find(*snapshot, name).account == "admin@example.org");
  }
  SUBCASE("the default domain's own, for the others") {
    Given given;
    given.domain("second.example");
    given.alias("postmaster", {"alice"});
    auto snapshot = given.build();
    CHECK(given.diagnostics.warnings() == 0);
    CHECK(find(*snapshot, "postmaster@second.example").targets[0].to_string() == "alice@example.org");
  }
  SUBCASE("the first account, with a warning") {
    Given given;
    CHECK(find(*given.build(), "postmaster@example.org").account == "alice@example.org");
    CHECK(given.diagnostics.items()[0].code == "auth.no-postmaster");
  }
  SUBCASE("nobody, when there are no accounts, with a warning") {
    Given given;
    given.directory.accounts.clear();
    CHECK(find(*given.build(), "postmaster@example.org").kind == Kind::kNoSuchUser);
    CHECK(given.diagnostics.warnings() == 1);
  }
}

TEST_CASE("a catch-all takes what nobody else does") {
  Given given;
  given.directory.domains[0].catch_all = "alice";
  auto snapshot = given.build();
  CHECK(find(*snapshot, "anything@example.org").account == "alice@example.org");
}

TEST_CASE("what is wrong with the settings is said") {
  SUBCASE("a domain twice") {
    Given given;
    given.domain("EXAMPLE.org");
    CHECK(given.complains("declared twice"));
  }
  SUBCASE("an account twice") {
    Given given;
    given.account("ALICE");
    CHECK(given.complains("alice@example.org is defined twice"));
  }
  SUBCASE("an account elsewhere") {
    Given given;
    given.account("a@b.example");
    CHECK(given.complains("not ours") == false);
    CHECK(given.complains("b.example is not a local domain"));
  }
  SUBCASE("an alias elsewhere") {
    Given given;
    given.alias("a@b.example", {"alice"});
    CHECK(given.complains("of a domain that is not ours"));
  }
  SUBCASE("an alias in circles") {
    Given given;
    given.alias("a", {"b"});
    given.alias("b", {"alice", "c"});
    given.alias("c", {"a"});
    CHECK(given.complains("leads back to itself"));
  }
  SUBCASE("a target that is no address") {
    Given given;
    given.alias("a", {"b@@c"});
    CHECK(given.complains("is not an address"));
  }
  SUBCASE("a catch-all that is nobody") {
    Given given;
    given.directory.domains[0].catch_all = "bob";
    CHECK(given.complains("there is no account or alias bob@example.org"));
  }
  SUBCASE("a postmaster that is nobody") {
    Given given;
    given.auth.postmaster = "bob";
    CHECK(given.complains("there is no account or alias"));
  }
  SUBCASE("a default domain that is not local") {
    Given given;
    given.auth.default_domain = "b.example";
    CHECK(given.complains("is not a local [[domain]]"));
  }
  SUBCASE("a password in the clear") {
    Given given;
    given.directory.accounts[0].password = "secret";
    CHECK(given.complains("is no hash"));
  }
}

TEST_CASE("log-in names are made canonical") {
  Given given;
  auto snapshot = given.build();
  CHECK(snapshot->canonical("ALICE") == "alice@example.org");
  CHECK(snapshot->canonical("Alice@EXAMPLE.org") == "alice@example.org");
  CHECK(snapshot->canonical("a@bücher.example") == "a@xn--bcher-kva.example");
}

TEST_CASE("a users file is read line by line, and each mistake has its place") {
  Diagnostics diagnostics;
  auto users =
      parse_users("users",
                  "# people\r\n\nalice@example.org:!\nbob:*:apop=s3cret:\nno colon here\n:!\na b:!\ncarol:secret\n"
                  "dave:!:apup=x\neve:$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$aGFzaA\nlast:!",
                  diagnostics);
  REQUIRE(users.size() == 3);
  CHECK(users[1].name == "bob");
  CHECK(users[1].apop_secret == "s3cret");
  CHECK(users[2].name == "last");
  CHECK(diagnostics.errors() == 6);
  std::string text = diagnostics.render();
  for (const char* part : {"users:5:1: error: expected \"name:hash\"", "users:6:1: error: the name is empty",
                           "users:7:1: error: the name has a blank", "users:8:7: error: the hash is no hash",
                           "users:9:8: error: unknown option \"apup\"", "did you mean \"apop\"",
                           "users:10:5: error: the hash needs more than 1 GiB"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find("carol:secret") == std::string::npos);  // a log is no place for passwords
}

TEST_CASE("a users file that is missing is an error, one for all to read a warning") {
  char folder[] = "/tmp/postern-users-XXXXXX";
  REQUIRE(mkdtemp(folder));
  std::filesystem::path file = std::filesystem::path(folder) / "users";
  Given given;
  given.auth.users_file = file;
  CHECK_FALSE(load_snapshot(given.auth, given.directory, given.diagnostics));
  CHECK(given.diagnostics.render().find("cannot read") != std::string::npos);
  std::ofstream(file) << "bob:!\n";
  ::chmod(file.c_str(), 0644);
  Diagnostics second;
  auto snapshot = load_snapshot(given.auth, given.directory, second);
  REQUIRE(snapshot);
  CHECK(find(*snapshot, "bob@example.org").kind == Kind::kAccount);
  CHECK(second.render().find("may read") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a reload replaces what look-ups see, all at once, and forgets the old when no worker can see it") {
  SimRuntime sim({.seed = 5, .workers = 3});
  Given given;
  auto first = given.build();
  std::weak_ptr<const Snapshot> oldest = first;
  SnapshotDirectory directory(std::move(first));
  CHECK_FALSE(directory.publish());  // nothing staged
  for (int round = 0; round < 2; ++round) {
    given.account("user" + std::to_string(round));
    directory.stage(given.build());
    CHECK(directory.current().accounts() == static_cast<std::size_t>(round) + 1);
    CHECK(directory.publish());
    CHECK(directory.current().accounts() == static_cast<std::size_t>(round) + 2);
    CHECK_FALSE(oldest.expired());
    Nursery nursery(sim.worker(0));
    nursery.spawn(directory.retire(sim));
    sim.run_until_idle();
    CHECK(nursery.size() == 0);
  }
  CHECK(oldest.expired());
}

TEST_CASE("a reload that is wrong leaves what is in force") {
  Given given;
  SnapshotDirectory directory(given.build());
  given.account("alice");
  directory.stage(given.build());
  CHECK_FALSE(directory.publish());
  CHECK(directory.current().accounts() == 1);
}
