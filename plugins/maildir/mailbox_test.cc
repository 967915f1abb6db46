// Mailboxes as POP3 sees them: identities, sizes, removal, attributes; beside other programs that change the folder.
#include "fixture_for_tests.h"

namespace postern::maildir {

namespace {

Task<void> stable_ids(World* world) {
  for (int i = 0; i < 3; ++i)
    co_await world->deliver("bob", "Subject: " + std::to_string(i) + "\r\n\r\n", std::to_string(i) + "-0");
  auto first = co_await world->open("bob");
  REQUIRE(first->messages().size() == 3);
  const auto before = first->messages();
  CHECK(before[0].uid == 1);
  CHECK(before[2].uid == 3);
  CHECK(before[0].size == 14);
  // Another program sets flags, and one is marked here; a fourth arrives.
  const fs::path inbox = world->folder.path() / "_local/bob";
  const std::string name = world->files("_local/bob/new").front();
  fs::rename(inbox / "new" / name, inbox / "cur" / (name + ":2,F"));
  REQUIRE(co_await first->mark_seen({0, 1}));
  CHECK(co_await world->read(first.get(), 0) == "Subject: 0\r\n\r\n");
  co_await world->deliver("bob", "x\r\n", "9-0");
  auto second = co_await world->open("bob");
  const auto& after = second->messages();
  REQUIRE(after.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(after[i].uid == before[i].uid);
    CHECK(after[i].unique_id == before[i].unique_id);
    CHECK(after[i].size == before[i].size);
    CHECK(after[i].seen == (i < 2));
  }
  CHECK(after[3].uid == 4);
  CHECK(first->messages().size() == 3);
  CHECK(world->files("_local/bob/cur").front().ends_with(":2,FS"));
}

Task<void> removal(World* world) {
  for (int i = 0; i < 3; ++i) co_await world->deliver("bob", "x\r\n", std::to_string(i) + "-0");
  auto mailbox = co_await world->open("bob");
  auto other = co_await world->open("bob");
  REQUIRE(co_await other->mark_seen({1}));  // renamed behind the first one's back
  REQUIRE(co_await mailbox->remove({0, 1}));
  REQUIRE(co_await mailbox->remove({0}));  // gone already
  auto gone = co_await other->read(0);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == "store.gone");
  co_await world->deliver("bob", "x\r\n", "7-0");
  auto later = co_await world->open("bob");
  REQUIRE(later->messages().size() == 2);
  CHECK(later->messages()[0].uid == 3);
  CHECK(later->messages()[1].uid == 4);  // numbers of removed messages do not come back
}

Task<void> all_removed(World* world) {
  co_await world->deliver("bob", "x\r\n", "1-0");
  auto mailbox = co_await world->open("bob");
  CHECK(mailbox->messages().at(0).uid == 1);
  REQUIRE(co_await mailbox->remove({0}));
  co_await world->deliver("bob", "x\r\n", "2-0");
  auto later = co_await world->open("bob");
  CHECK(later->messages().at(0).uid == 2);
}

Task<void> foreign(World* world) {
  auto empty = co_await world->open("bob");  // makes the INBOX
  CHECK(empty->messages().empty());
  const fs::path inbox = world->folder.path() / "_local/bob";
  std::ofstream(inbox / "new/1700000000.M1P2.other") << "Subject: y\n\nlines\n\n";
  std::ofstream(inbox / "cur/odd name:2,S") << "a\r\nb\n";
  std::ofstream(inbox / "cur/.hidden") << "no message";
  auto mailbox = co_await world->open("bob");
  REQUIRE(mailbox->messages().size() == 2);
  const MailboxMessage& one = mailbox->messages()[0];
  CHECK(one.unique_id == "1700000000.M1P2.other");
  CHECK(one.size == 23);
  CHECK(one.received == WallTime(std::chrono::seconds(1700000000)));
  CHECK(mailbox->messages()[1].unique_id.starts_with("h."));
  CHECK(mailbox->messages()[1].seen);
  CHECK(mailbox->messages()[1].size == 6);
  CHECK(co_await world->read(mailbox.get(), 1) == "a\r\nb\r\n");
  // The size was counted once: it is remembered, so the second opening does not look into the file.
  std::ofstream(inbox / "new/1700000000.M1P2.other") << "longer than it was before, which no mail ever becomes";
  auto again = co_await world->open("bob");
  CHECK(again->messages()[0].size == 23);
}

Task<void> attributes(World* world) {
  auto mailbox = co_await world->open("bob");
  CHECK(mailbox->attribute("pop3.last_uid").empty());
  REQUIRE(co_await mailbox->set_attribute("pop3.last_uid", "7"));
  REQUIRE(co_await mailbox->set_attribute("odd =\n%", "\nvalue = 1%"));
  CHECK(mailbox->attribute("pop3.last_uid") == "7");
  auto later = co_await world->open("bob");
  CHECK(later->attribute("pop3.last_uid") == "7");
  CHECK(later->attribute("odd =\n%") == "\nvalue = 1%");
  CHECK_FALSE(co_await later->set_attribute("big", std::string(100'000, 'x')));
}

Task<void> damaged_list(World* world) {
  co_await world->deliver("bob", "x\r\n", "1-0");
  co_await world->deliver("bob", "x\r\n", "2-0");
  auto first = co_await world->open("bob");
  const fs::path list = world->folder.path() / "_local/bob/postern-uidlist";
  const std::string whole = content(list);
  std::ofstream(list, std::ios::trunc | std::ios::binary) << whole.substr(0, whole.size() - 5);  // a torn append
  auto torn = co_await world->open("bob");
  REQUIRE(torn->messages().size() == 2);
  CHECK(torn->messages()[0].unique_id == first->messages()[0].unique_id);
  CHECK(torn->messages()[0].uid == 1);
  CHECK(torn->messages()[1].unique_id == first->messages()[1].unique_id);
  std::ofstream(list, std::ios::trunc | std::ios::binary) << "something else\n";
  auto rebuilt = co_await world->open("bob");
  REQUIRE(rebuilt->messages().size() == 2);
  CHECK(rebuilt->messages()[0].unique_id == first->messages()[0].unique_id);
  CHECK(content(list).starts_with("postern-uidlist 1 "));
}

}  // namespace

TEST_CASE("UIDs, unique-ids and sizes survive renames for flags and new arrivals") {
  World world;
  world.run(stable_ids(&world));
}

TEST_CASE("removal finds renamed files, forgives missing ones, and no number is given twice") {
  World world;
  world.run(removal(&world));
}

TEST_CASE("an emptied mailbox goes on counting") {
  World world;
  world.run(all_removed(&world));
}

TEST_CASE("messages that other programs put there are mail like any other") {
  World world;
  world.run(foreign(&world));
}

TEST_CASE("attributes are kept with the mailbox, whatever is in them") {
  World world;
  world.run(attributes(&world));
}

TEST_CASE("a torn or strange UID list costs numbers, never unique-ids") {
  World world;
  world.run(damaged_list(&world));
}

}  // namespace postern::maildir
