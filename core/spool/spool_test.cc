#include <doctest/doctest.h>

#include <algorithm>

#include "core/spool/testing.h"

using namespace postern;
using namespace postern::spool;

TEST_CASE("a committed message can be read back, octet by octet") {
  Bench bench;
  std::string content = make_message(1, 3000);
  auto id = put(bench.world, *bench.spool, content, {.envelope = "E", .client = "C", .plan = "P", .trail = "T"});
  REQUIRE(id);
  auto reader = bench.world.wait(bench.spool->open(bench.world, *id));
  REQUIRE(reader);
  CHECK(reader->envelope() == "E");
  CHECK(reader->client() == "C");
  CHECK(reader->plan() == "P");
  CHECK(reader->trail() == "T");
  CHECK(reader->header() == "Subject: 1\r\nFrom: <a@example.org>\r\n");
  CHECK(*content_of(bench.world, *reader) == content);
  reader->rewind();
  CHECK(*content_of(bench.world, *reader) == content);
  CHECK(reader->info().size == content.size());
}

TEST_CASE("what was committed survives a power cut, and a draft that was not does not appear") {
  Bench bench;
  std::string content = make_message(2, 5000);
  auto id = put(bench.world, *bench.spool, content);
  REQUIRE(id);
  Draft unfinished = bench.spool->begin(bench.world);
  REQUIRE(bench.world.append(unfinished, "half a mess"));
  bench.power_cut(7);
  bench.open();
  CHECK(bench.list().size() == 1);
  CHECK(*get(bench.world, *bench.spool, *id) == content);
}

TEST_CASE("a large body that just came in is read from memory, until newer ones need its room") {
  Bench bench;
  const auto spoil = [&](int number) {
    const std::string path = "/spool/bodies/0000000" + std::to_string(number) + ".body";
    std::string octets = bench.env.content(path);
    octets[5000] ^= 1;
    bench.env.set_content(path, octets);
  };
  const auto first = *put(bench.world, *bench.spool, make_message(1, 20'000));
  const auto too_big = *put(bench.world, *bench.spool, make_message(2, 60'000));
  spoil(1);
  spoil(2);
  CHECK(*get(bench.world, *bench.spool, first) == make_message(1, 20'000));
  CHECK(get(bench.world, *bench.spool, too_big).error().code == "spool.damaged");
  auto reader = bench.world.wait(bench.spool->open(bench.world, first));
  for (std::uint64_t i = 3; i < 20; ++i) REQUIRE(put(bench.world, *bench.spool, make_message(i, 20'000)));
  CHECK(*content_of(bench.world, *reader) == make_message(1, 20'000));  // whoever has it keeps it
  reader->rewind();
  CHECK(*content_of(bench.world, *reader) == make_message(1, 20'000));
  CHECK(get(bench.world, *bench.spool, first).error().code == "spool.damaged");
}

TEST_CASE("hot bodies leave memory with their messages") {
  Bench bench;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const auto id = *put(bench.world, *bench.spool, make_message(i, 20'000));
    CHECK(bench.stats().hot_body_bytes > 0);
    CHECK(bench.stats().hot_body_bytes <= 512 * 1024);
    REQUIRE(bench.done(id));
    CHECK(bench.stats().hot_body_bytes == 0);
  }
  {
    Draft draft = bench.spool->begin(bench.world);  // one that comes to nothing
    REQUIRE(bench.world.append(draft, make_message(1, 600'000)));
  }
  bench.world.run_until_idle();
  CHECK(bench.stats().hot_body_bytes == 0);
}

TEST_CASE("without room for hot bodies all are read from the disk") {
  SpoolSettings settings = small();
  settings.hot_bodies = 0;
  Bench bench(settings);
  const auto id = *put(bench.world, *bench.spool, make_message(1, 20'000));
  CHECK(bench.stats().hot_body_bytes == 0);
  CHECK(*get(bench.world, *bench.spool, id) == make_message(1, 20'000));
}

TEST_CASE("a large body goes to its own file, in bounded memory, and comes back whole") {
  Bench bench;
  std::string content = make_message(3, 1'500'000);
  auto id = put(bench.world, *bench.spool, content);
  REQUIRE(id);
  CHECK(bench.stats().body_files == 1);
  CHECK(*get(bench.world, *bench.spool, *id) == content);
  bench.power_cut(1);
  bench.open();
  CHECK(bench.reports.empty());
  CHECK(*get(bench.world, *bench.spool, *id) == content);
}

TEST_CASE("a body file is used again in place once its message is done") {
  Bench bench;
  std::string first = make_message(4, 100'000), second = make_message(5, 90'000);
  auto one = put(bench.world, *bench.spool, first);
  REQUIRE(bench.done(*one));
  CHECK(bench.stats().blank_body_files == 1);
  auto two = put(bench.world, *bench.spool, second);
  CHECK(bench.stats().body_files == 1);
  CHECK(*get(bench.world, *bench.spool, *two) == second);
  CHECK(get(bench.world, *bench.spool, *one).error().code == "spool.gone");
}

TEST_CASE("a reader keeps its body from being overwritten after the message is done") {
  Bench bench;
  std::string first = make_message(4, 100'000);
  auto one = put(bench.world, *bench.spool, first);
  auto reader = bench.world.wait(bench.spool->open(bench.world, *one));
  REQUIRE(bench.done(*one));
  REQUIRE(put(bench.world, *bench.spool, make_message(5, 100'000)));
  CHECK(*content_of(bench.world, *reader) == first);
}

TEST_CASE("a message is gone when its last recipient is done, also after a power cut") {
  Bench bench;
  auto id = put(bench.world, *bench.spool, make_message(6, 100), {.recipients = 2});
  REQUIRE(bench.done(*id, 0));
  CHECK(bench.list().at(0).recipients.at(0).state == RecipientState::kDone);
  CHECK(bench.list().at(0).recipients.at(1).state == RecipientState::kWaiting);
  REQUIRE(bench.done(*id, 1));
  CHECK(bench.list().empty());
  bench.power_cut(3);
  bench.open();
  CHECK(bench.list().empty());
}

TEST_CASE("marks are remembered: attempts, placed tokens, routes, holds") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(7, 100), {.recipients = 3});
  WallTime next = bench.world.wall() + 1h;
  REQUIRE(bench.world.wait(bench.spool->change(bench.world, bench.spool->attempted(id, 0, 3, next, "451 later"))));
  REQUIRE(bench.world.wait(bench.spool->placed(bench.world, id, 1, "tmp/123.host")));
  REQUIRE(bench.world.wait(bench.spool->route(bench.world, id, 2, "[192.0.2.1]")));
  REQUIRE(bench.world.wait(bench.spool->hold(bench.world, id, WallTime::max(), "by hand")));
  bench.power_cut(9);
  bench.open();
  MessageInfo info = bench.list().at(0);
  CHECK(info.recipients[0].attempts == 3);
  CHECK(info.recipients[0].next_attempt == next);
  CHECK(info.recipients[0].note == "451 later");
  CHECK(info.recipients[1].state == RecipientState::kPlaced);
  CHECK(info.recipients[1].note == "tmp/123.host");
  CHECK(info.recipients[2].route == "[192.0.2.1]");
  CHECK(info.held_until == WallTime::max());
  CHECK(info.hold_reason == "by hand");
  REQUIRE(bench.world.wait(bench.spool->hold(bench.world, id, WallTime{}, "")));
  CHECK_FALSE(bench.list().at(0).held_until);
}

TEST_CASE("a recalled message is gone at once") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(8, 100), {.recipients = 3});
  REQUIRE(bench.world.wait(bench.spool->recall(bench.world, id)));
  CHECK(bench.list().empty());
}

TEST_CASE("lazy marks are synced when their time has come, without a commit") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(9, 100));
  bench.spool->done_lazily(bench.world, id, 0);
  bench.world.run_until_idle();
  CHECK(bench.list().size() == 1);
  bench.world.advance(60ms);
  bench.world.run_until_idle();
  CHECK(bench.list().empty());
}

TEST_CASE("lazy marks are written when the spool is closed") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, make_message(9, 100));
  bench.spool->done_lazily(bench.world, id, 0);
  bench.restart();
  CHECK(bench.list().empty());
}

TEST_CASE("header edits and trace fields are part of the stored message") {
  Bench bench;
  for (std::size_t size : {100UL, 50'000UL}) {
    std::string message = make_message(10, size);
    Draft draft = bench.spool->begin(bench.world);
    for (std::size_t at = 0; at < message.size(); at += 7)
      REQUIRE(bench.world.append(draft, std::string_view(message).substr(at, 7)));
    CHECK(draft.header_complete());
    CHECK(draft.header() == "Subject: 10\r\nFrom: <a@example.org>\r\n");
    draft.replace_header("Subject: changed\r\n");
    draft.prepend("Received: b\r\n");
    draft.prepend("Received: a\r\n");
    std::string body = message.substr(message.find("\r\n\r\n") + 2);
    CHECK(draft.size() == std::string("Received: a\r\nReceived: b\r\nSubject: changed\r\n").size() + body.size());
    auto id = bench.world.wait(draft.commit({}));
    CHECK(*get(bench.world, *bench.spool, *id) == "Received: a\r\nReceived: b\r\nSubject: changed\r\n" + body);
  }
}

TEST_CASE("a header block without end stays within its limit, and nothing of it is lost") {
  Bench bench;
  std::string message(20'000, 'x');
  Draft draft = bench.spool->begin(bench.world);
  REQUIRE(bench.world.append(draft, message));
  CHECK(draft.header().size() == 4096);
  auto id = bench.world.wait(draft.commit({}));
  CHECK(*get(bench.world, *bench.spool, *id) == message);
}

TEST_CASE("messages without header, without body, and empty ones are kept as they came") {
  Bench bench;
  for (std::string message : {"", "\r\n", "\r\nbody\r\n", "A: b\r\n", "A: b\r\n\r\n", "A: b\r\n\r\n\r\n\r\n"}) {
    auto id = put(bench.world, *bench.spool, message);
    REQUIRE(id);
    CHECK(*get(bench.world, *bench.spool, *id) == message);
  }
}

TEST_CASE("a body can be read back before the commit") {
  Bench bench;
  for (std::size_t size : {5'000UL, 900'000UL}) {
    std::string message = make_message(11, size);
    Draft draft = bench.spool->begin(bench.world);
    REQUIRE(bench.world.append(draft, message));
    std::string body;
    while (true) {
      auto piece = bench.world.wait(draft.read_body(body.size(), 100'000));
      REQUIRE(piece);
      if (piece->empty()) break;
      body += *piece;
    }
    CHECK(body == message.substr(message.find("\r\n\r\n") + 2));
  }
}

TEST_CASE("a draft that is dropped gives its body file back, also in the middle of a write") {
  Bench bench;
  for (int steps : {0, 1, 5, 1000}) {
    Draft draft = bench.spool->begin(bench.world);
    std::optional<Result<void>> answer;
    std::string octets(300'000, 'x');
    append_to(draft, octets, answer);
    for (int i = 0; i < steps; ++i) bench.world.step();
    CHECK(answer);
  }
  bench.world.run_until_idle();
  REQUIRE(put(bench.world, *bench.spool, "x\r\n"));
  bench.world.run_until_idle();
  SpoolStats stats = bench.stats();
  CHECK(stats.body_files == stats.blank_body_files);
  CHECK(stats.blank_body_bytes <= bench.settings.max_blank_body_bytes);
}

TEST_CASE("segments are recycled, so that the disk holds what the messages need and not their history") {
  Bench bench;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    auto id = put(bench.world, *bench.spool, make_message(i, 2000));
    REQUIRE(id);
    REQUIRE(bench.done(*id));
  }
  bench.world.run_until_idle();
  SpoolStats stats = bench.stats();
  CHECK(stats.segments <= 2);
  CHECK(stats.segments + stats.spare_segments <= 6);
  CHECK(bench.env.used() < 8 * 64 * 1024 + 2 * 1024 * 1024);
}

TEST_CASE("old messages are moved out of segments that are mostly dead") {
  Bench bench;
  std::vector<std::pair<MessageId, std::string>> kept;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    std::string content = make_message(i, 2000);
    auto id = *put(bench.world, *bench.spool, content, {.recipients = 2});
    REQUIRE(bench.done(id, 0));
    if (i % 50 == 0) {
      REQUIRE(
          bench.world.wait(bench.spool->change(bench.world, bench.spool->attempted(id, 1, 2, WallTime(5us), "later"))));
      kept.emplace_back(id, content);
    } else {
      REQUIRE(bench.done(id, 1));
    }
  }
  bench.world.run_until_idle();
  CHECK(bench.stats().moved > 0);
  CHECK(bench.stats().segments < 10);
  for (int round = 0; round < 2; ++round) {
    CHECK(bench.list().size() == kept.size());
    for (auto& [id, content] : kept) CHECK(*get(bench.world, *bench.spool, id) == content);
    for (const MessageInfo& info : bench.list()) {
      CHECK(info.recipients[0].state == RecipientState::kDone);
      CHECK(info.recipients[1].attempts == 2);
      CHECK(info.recipients[1].note == "later");
    }
    bench.power_cut(5);
    bench.open();
    CHECK(bench.reports.empty());
  }
}

TEST_CASE("a mark that shares a batch with its message's move is not lost with the old segment") {
  Bench bench;
  auto kept = *put(bench.world, *bench.spool, make_message(0, 2000), {.recipients = 200});
  std::uint32_t next = 0;
  for (std::uint64_t i = 1; i < 1000 && next < 199; ++i) {
    auto id = *put(bench.world, *bench.spool, make_message(i, 4000));
    bench.spool->done_lazily(bench.world, id, 0);
    bench.spool->done_lazily(bench.world, kept, next++);
  }
  bench.world.advance(60ms);
  bench.world.run_until_idle();
  CHECK(bench.stats().moved > 3);
  bench.power_cut(1);
  bench.open();
  REQUIRE(bench.list().size() == 1);
  for (std::uint32_t i = 0; i < 199; ++i) CHECK(bench.list()[0].recipients[i].state == RecipientState::kDone);
}

TEST_CASE("a second process is told who has the spool") {
  Bench bench;
  auto second = open_spool(bench.settings, bench.world.host(bench.env));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == "spool.locked");
}

TEST_CASE("a full disk refuses with spool.full, still drains, and recovers") {
  Bench bench;
  bench.env.set_capacity(4 * 64 * 1024 + 700'000);
  std::vector<MessageId> ids;
  Result<MessageId> last = MessageId();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    last = put(bench.world, *bench.spool, make_message(i, 4000));
    if (!last) break;
    ids.push_back(*last);
  }
  REQUIRE_FALSE(last);
  CHECK(last.error().code == "spool.full");
  CHECK(ids.size() > 20);
  bench.restart();
  CHECK(put(bench.world, *bench.spool, make_message(1, 4000)).error().code == "spool.full");
  for (MessageId id : ids) REQUIRE(bench.done(id));
  CHECK(bench.list().empty());
  bench.world.run_until_idle();
  CHECK(put(bench.world, *bench.spool, make_message(2, 4000)));
}

TEST_CASE("on a full disk attempts are noted while there is room, and what ends a recipient always is") {
  Bench bench;
  bench.env.set_capacity(4 * 64 * 1024 + 700'000);
  std::vector<MessageId> ids;
  while (auto id = put(bench.world, *bench.spool, make_message(ids.size(), 4000))) ids.push_back(*id);
  REQUIRE(ids.size() > 20);
  Result<void> noted;
  for (std::uint32_t count = 1; noted && count < 2000; ++count)
    noted = bench.world.wait(bench.spool->change(
        bench.world, bench.spool->attempted(ids[count % ids.size()], 0, count, WallTime(5us), "451 come back later")));
  REQUIRE_FALSE(noted);
  CHECK(noted.error().code == "spool.full");
  for (MessageId id : ids) {
    REQUIRE(bench.world.wait(bench.spool->dot_sent(bench.world, id, 0)));
    REQUIRE(bench.done(id));
  }
  bench.restart();
  CHECK(bench.list().empty());
}

TEST_CASE("mail leaves min_free of the file system alone although segments are at hand") {
  Bench bench;
  bench.settings.min_free = 100'000;
  bench.restart();
  REQUIRE(put(bench.world, *bench.spool, make_message(1, 400)));
  bench.env.set_capacity(bench.env.used() + 50'000);
  Result<MessageId> last = MessageId();
  for (std::uint64_t i = 0; i < 100 && last; ++i) last = put(bench.world, *bench.spool, make_message(i, 400));
  REQUIRE_FALSE(last);
  CHECK(last.error().code == "spool.full");
  bench.env.set_capacity(bench.env.used() + 500'000);
  CHECK(put(bench.world, *bench.spool, make_message(2, 400)));
}

TEST_CASE("a full disk still moves what lives in sparse segments, and so gets room without new mail") {
  Bench bench;
  bench.env.set_capacity(5 * 64 * 1024 + 700'000);
  std::vector<MessageId> ids;
  Result<MessageId> last = MessageId();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    last = put(bench.world, *bench.spool, make_message(i, 2000));
    if (!last) break;
    ids.push_back(*last);
  }
  REQUIRE_FALSE(last);
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (i % 16 != 0) REQUIRE(bench.done(ids[i]));
  bench.world.run_until_idle();
  CHECK(bench.stats().moved > 0);
  CHECK(put(bench.world, *bench.spool, make_message(2, 2000)));
  for (std::size_t i = 0; i < ids.size(); i += 16) CHECK(get(bench.world, *bench.spool, ids[i]));
}

TEST_CASE("a full disk refuses a large body with spool.full, and recovers") {
  Bench bench;
  bench.env.set_capacity(bench.env.used() + 50'000);
  auto refused = put(bench.world, *bench.spool, make_message(1, 2'000'000));
  CHECK(refused.error().code == "spool.full");
  bench.env.set_capacity(~0ULL);
  std::string content = make_message(1, 2'000'000);
  auto id = put(bench.world, *bench.spool, content);
  REQUIRE(id);
  CHECK(*get(bench.world, *bench.spool, *id) == content);
}

TEST_CASE("a failed sync latches the spool: nothing is accepted until a restart") {
  Bench bench;
  auto good = put(bench.world, *bench.spool, make_message(1, 100));
  bench.env.fail_sync(EIO, 0);
  CHECK(put(bench.world, *bench.spool, make_message(2, 100)).error().code == "spool.latched");
  CHECK(put(bench.world, *bench.spool, make_message(3, 100)).error().code == "spool.latched");
  CHECK(put(bench.world, *bench.spool, make_message(3, 100'000)).error().code == "spool.latched");
  CHECK(bench.done(*good).error().code == "spool.latched");
  CHECK_FALSE(bench.stats().latched.empty());
  bench.power_cut(1);
  bench.open();
  CHECK(bench.list().size() == 1);
  CHECK(put(bench.world, *bench.spool, make_message(4, 100)));
}

TEST_CASE("a failed write of a body latches the spool") {
  Bench bench;
  bench.env.fail_write(EIO, 0);
  CHECK(put(bench.world, *bench.spool, make_message(1, 1'000'000)).error().code == "spool.latched");
  CHECK(put(bench.world, *bench.spool, make_message(2, 100)).error().code == "spool.latched");
}

TEST_CASE("a full disk pool is an answer, not an exception") {
  Bench bench;
  bench.world.pool_full = true;
  CHECK(put(bench.world, *bench.spool, make_message(1, 1'000'000)).error().code == "spool.busy");
  CHECK(bench.world.wait(bench.spool->stats(bench.world)).error().code == "spool.busy");
}

TEST_CASE("message ids sort by time, print in 13 characters, and are not given out twice after a restart") {
  Bench bench;
  MessageId last;
  for (int i = 0; i < 50; ++i) {
    if (i % 10 == 9) bench.restart();
    MessageId id = *put(bench.world, *bench.spool, "x\r\n");
    CHECK(id > last);
    CHECK(id.to_string().size() == 13);
    CHECK(id.to_string() > last.to_string());
    CHECK(MessageId::parse(id.to_string()) == id);
    last = id;
  }
  CHECK_FALSE(MessageId::parse("zzzzzzzzzzzzz"));
  CHECK_FALSE(MessageId::parse("0000000000000"));
  CHECK_FALSE(MessageId::parse("00000000000I1"));
  CHECK(bench.world.wall() - last.arrival() < 2ms);
}

TEST_CASE("a mark for a message that is gone does nothing") {
  Bench bench;
  auto id = *put(bench.world, *bench.spool, "x\r\n");
  REQUIRE(bench.done(id));
  CHECK(bench.done(id));
  CHECK(bench.done(MessageId(12345)));
  CHECK(bench.done(*put(bench.world, *bench.spool, "y\r\n"), 77));
  CHECK(bench.list().size() == 1);
}

TEST_CASE("a message that does not fit into a segment is refused") {
  Bench bench;
  CHECK(put(bench.world, *bench.spool, "x\r\n", {.trail = std::string(70'000, 't')}).error().code == "spool.too_large");
  CHECK(put(bench.world, *bench.spool, "x\r\n", {.recipients = 0}).error().code == "spool.recipients");
}
