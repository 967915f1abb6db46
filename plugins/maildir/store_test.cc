// Deliveries and mailboxes on a real folder.
#include "fixture_for_tests.h"

namespace postern::maildir {

namespace {

Task<void> one_delivery(World* world) {
  MessageReader reader = co_await world->message("Subject: x\r\n\r\nbody\r\n");
  DeliveryRequest request{.account = "alice@example.org",
                          .prefix = "Return-Path: <>\r\n",
                          .received = WallTime(std::chrono::seconds(1767225600)),
                          .unique = "0abc-0"};
  auto token = co_await world->store.stage(request, reader);
  REQUIRE(token);
  CHECK(world->files("example.org/alice/tmp") == std::vector<std::string>{"1767225600.0abc-0.mx.example"});
  CHECK(world->files("example.org/alice/new").empty());
  CHECK(*co_await world->store.is_staged(*token));
  // A second try, as after a crash before `placed`, meets its own file.
  auto again = co_await world->store.stage(request, reader);
  REQUIRE(again);
  CHECK(*again == *token);
  REQUIRE(co_await world->store.publish(*token));
  CHECK_FALSE(*co_await world->store.is_staged(*token));
  REQUIRE(co_await world->store.publish(*token));  // a publish whose answer was lost
}

Task<void> lost_file(World* world) {
  const std::string token = co_await world->stage("bob", "x\r\n", "1-0");
  fs::remove_all(world->folder.path() / "_local/bob/tmp");
  auto published = co_await world->store.publish(token);
  REQUIRE_FALSE(published);
  CHECK(published.error().code == "store.gone");
  co_await world->store.discard(token);
  auto bad = co_await world->store.publish("../x\ty");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == "store.token");
}

Task<void> deliver_flagged(World* world) {
  co_await world->deliver("bob", "x\r\n", "1-0", {"\\Seen", "\\Flagged"}, "Lists/postern");
  auto mailbox = co_await world->open("bob", "Lists/postern");
  REQUIRE(mailbox->messages().size() == 1);
  CHECK(mailbox->messages()[0].seen);
  auto missing = co_await world->store.open("bob", "Other");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == "store.no_folder");
}

Task<void> deliver_many(World* world, std::string account, int from, int count) {
  for (int i = from; i < from + count; ++i)
    co_await world->deliver(account, "Subject: x\r\n\r\nbody\r\n", std::to_string(i) + "-0");
}
Task<void> two_writers(World* world) {
  Nursery nursery(co_await this_executor());
  for (int i = 0; i < 10; ++i) nursery.spawn(deliver_many(world, i % 2 == 0 ? "bob" : "eve", i * 100, 10));
  co_await nursery.join();
}

Task<void> big_message(World* world, std::string text) {
  co_await world->deliver("bob", text, "big-0");
  auto mailbox = co_await world->open("bob");
  REQUIRE(mailbox->messages().size() == 1);
  CHECK(mailbox->messages()[0].size == text.size());
  CHECK(co_await world->read(mailbox.get(), 0) == text);
}

Task<void> long_names(World* world) {
  const std::string account =
      std::string(60, 'l') + "@" + std::string(60, 'd') + "." + std::string(60, 'e') + ".example";
  const std::string token = co_await world->stage(account, "x\r\n", "1-0");
  CHECK(token.size() <= kNoteLimit);
  CHECK(token.starts_with("@"));
  CHECK(*co_await world->store.is_staged(token));
  REQUIRE(co_await world->store.publish(token));
  CHECK_FALSE(*co_await world->store.is_staged(token));
  auto mailbox = co_await world->open(account);
  CHECK(mailbox->messages().size() == 1);
}

Task<void> sweep_old(World* world) {
  co_await world->stage("bob@x", "x\r\n", "1-0");
  co_await world->stage("bob@x", "x\r\n", "2-0", {}, "Junk");
  const auto now = std::chrono::floor<WallTime::duration>(std::chrono::system_clock::now());
  CHECK(co_await world->store.sweep(now - std::chrono::hours(1)) == 0);
  CHECK(co_await world->store.sweep(now + std::chrono::hours(1)) == 2);
}

}  // namespace

TEST_CASE("a delivery is staged, published once, and found under the name that its unique text gives") {
  for (const SyncMode sync : {SyncMode::kFileSystem, SyncMode::kFile}) {
    World world(sync);
    world.run(one_delivery(&world));
    CHECK(world.files("example.org/alice/tmp").empty());
    CHECK(world.files("example.org/alice/new") == std::vector<std::string>{"1767225600.0abc-0.mx.example,S=33,W=37"});
    CHECK(content(world.folder.path() / "example.org/alice/new/1767225600.0abc-0.mx.example,S=33,W=37") ==
          "Return-Path: <>\nSubject: x\n\nbody\n");
  }
}

TEST_CASE("a staged file that is gone without a trace is said to be gone") {
  World world;
  world.run(lost_file(&world));
}

TEST_CASE("flags choose cur, and a sub-folder is a Maildir++ folder") {
  World world;
  world.run(deliver_flagged(&world));
  CHECK(world.files("_local/bob/.Lists.postern/cur") ==
        std::vector<std::string>{"1767225600.1-0.mx.example,S=2,W=3:2,FS"});
  CHECK(fs::exists(world.folder.path() / "_local/bob/.Lists.postern/maildirfolder"));
}

TEST_CASE("deliveries side by side never meet, and share their syncs") {
  World world;
  world.run(two_writers(&world));
  CHECK(world.files("_local/bob/new").size() == 50);
  CHECK(world.files("_local/eve/new").size() == 50);
  CHECK(world.files("_local/bob/tmp").empty());
}

TEST_CASE("a large message passes in pieces and comes back octet by octet") {
  std::string text = "Subject: big\r\n\r\n";
  for (int i = 0; text.size() < 3'000'000; ++i)
    text += "line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 70), 'x') + "\r\n";
  World world;
  world.run(big_message(&world, text));
}

TEST_CASE("a token fits a spool's mark, however long the account's name is") {
  World world;
  world.run(long_names(&world));
}

TEST_CASE("only old temporary files are swept") {
  World world;
  world.run(sweep_old(&world));
}

TEST_CASE("a store that cannot be written refuses, and says so") {
  World world;
  fs::remove_all(world.folder.path());
  std::ofstream(world.folder.path()) << "a file where the root should be";
  struct Try {
    static Task<void> stage(World* world) {
      MessageReader reader = co_await world->message("x\r\n");
      auto token = co_await world->store.stage({.account = "bob", .unique = "1"}, reader);
      REQUIRE_FALSE(token);
      CHECK(token.error().code == "store.io");
      auto nobody = co_await world->store.stage({.account = "", .unique = "1"}, reader);
      REQUIRE_FALSE(nobody);
      CHECK(nobody.error().code == "store.no_account");
    }
  };
  world.run(Try::stage(&world));
}

}  // namespace postern::maildir
