#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "postern/nursery.h"
#include "postern/sim.h"
#include "shard.h"
#include "store.h"

namespace postern::memory {
namespace {

using Kind = KeyValueRequest::Kind;

struct Small {
  Shard shard;
  Instant now{};
  explicit Small(ShardLimits limits = {}) : shard(limits, 7) {}
  Result<KeyValueReply> ask(KeyValueRequest request) { return shard.apply(request, now); }
  void set(std::string key, std::string value, std::optional<Duration> expiry = {}) {
    REQUIRE(ask({.kind = Kind::kSet, .key = std::move(key), .value = std::move(value), .expiry = expiry}));
  }
  std::string get(std::string key) {
    auto reply = ask({.key = std::move(key)});
    REQUIRE(reply);
    return reply->value.value_or("nothing");
  }
  std::int64_t more(std::string key, std::int64_t by = 1, std::optional<Duration> expiry = {}) {
    auto reply = ask({.kind = Kind::kIncrement, .key = std::move(key), .by = by, .expiry = expiry});
    REQUIRE(reply);
    return reply->number;
  }
};

}  // namespace

TEST_CASE("a value is there until it is removed, replaced or at its end") {
  Small store;
  CHECK(store.get("a") == "nothing");
  store.set("a", "one");
  CHECK(store.get("a") == "one");
  store.set("a", "two", 10s);
  CHECK(store.get("a") == "two");
  store.now += 10s;
  CHECK(store.get("a") == "nothing");
  CHECK(store.shard.keys() == 0);
  store.set("a", "three", 10s);
  store.set("a", "four");
  store.now += 1000s;
  CHECK(store.get("a") == "four");
  CHECK(store.ask({.kind = Kind::kRemove, .key = "a"})->number == 1);
  CHECK(store.ask({.kind = Kind::kRemove, .key = "a"})->number == 0);
  CHECK(store.shard.octets() == 0);
}

TEST_CASE("a number counts in a fixed window: its end is that of the first increment") {
  Small store;
  CHECK(store.more("n", 1, 60s) == 1);
  store.now += 50s;
  CHECK(store.more("n", 5, 60s) == 6);
  store.now += 10s;
  CHECK(store.more("n", -3, 60s) == -3);
  CHECK(store.get("n") == "-3");
  store.set("text", "12 apples");
  CHECK(store.ask({.kind = Kind::kIncrement, .key = "text"}).error().code == "kv.type");
  store.set("most", "9223372036854775807");
  CHECK(store.ask({.kind = Kind::kIncrement, .key = "most"}).error().code == "kv.type");
  CHECK(store.get("most") == "9223372036854775807");
}

TEST_CASE("a full store lets go of what has expired, then of what was used longest ago") {
  Small store({.keys = 3, .octets = 1 << 20});
  store.set("old", "x");
  store.set("short", "x", 1s);
  store.set("busy", "1");
  CHECK(store.get("old") == "x");  // used last now
  store.now += 2s;
  store.set("new", "x");
  CHECK(store.shard.evicted() == 0);
  CHECK(store.get("short") == "nothing");
  store.more("busy");
  store.get("old");
  store.set("newer", "x");
  CHECK(store.shard.evicted() == 1);
  CHECK(store.get("new") == "nothing");
  CHECK(store.get("old") == "x");
  CHECK(store.get("busy") == "2");
}

TEST_CASE("octets are bounded as well, and a value that never fits is refused") {
  Small store({.keys = 1000, .octets = 4096});
  for (int i = 0; i < 100; ++i) store.set("key" + std::to_string(i), std::string(500, 'v'));
  CHECK(store.shard.octets() <= 4096);
  CHECK(store.get("key99").size() == 500);
  CHECK(store.ask({.kind = Kind::kSet, .key = "k", .value = std::string(5000, 'v')}).error().code == "kv.limit");
  CHECK(store.ask({.kind = Kind::kSet, .key = "key99", .value = std::string(5000, 'v')}).error().code == "kv.limit");
  CHECK(store.get("key99").size() == 500);
}

TEST_CASE("expired keys do not pile up, though nobody asks for them again") {
  Small store;
  for (int i = 0; i < 1000; ++i) store.set("a" + std::to_string(i), "x", 1s);
  store.now += 5s;
  for (int i = 0; i < 100; ++i) store.set("b" + std::to_string(i), "x");
  CHECK(store.shard.keys() == 100);
}

namespace {
Task<void> count(MemoryStore* store, int times, std::string key, std::atomic<int>* done) {
  for (int i = 0; i < times; ++i) {
    auto reply = co_await store->ask({.kind = Kind::kIncrement, .key = key}, Deadline::after(5s));
    CHECK(reply);
  }
  ++*done;
}
Task<void> read(MemoryStore* store, std::string key, std::string* value) {
  *value = (co_await store->ask({.key = std::move(key)}, Deadline::after(5s)))->value.value_or("nothing");
}
}  // namespace

TEST_CASE("no increment is lost, whichever worker asks") {
  constexpr unsigned kWorkers = 4;
  constexpr int kTimes = 200;
  auto runtime = make_uv_runtime({.workers = kWorkers, .pin_workers = false});
  Metrics metrics(kWorkers);
  MemoryStore store(*runtime, {}, 3, metrics);
  std::vector<std::unique_ptr<Nursery>> nurseries;
  std::atomic<int> done = 0;
  std::string values[2];
  for (unsigned i = 0; i < kWorkers; ++i) nurseries.push_back(std::make_unique<Nursery>(runtime->worker(i)));
  for (unsigned i = 0; i < kWorkers; ++i)
    runtime->worker(i).post_remote_fn([&, i] {
      for (const char* key : {"one", "two"}) nurseries[i]->spawn(count(&store, kTimes, key, &done));
    });
  std::thread waiter([&] {
    while (done < 2 * static_cast<int>(kWorkers)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    runtime->worker(1).post_remote_fn([&] {
      nurseries[1]->spawn(read(&store, "one", &values[0]));
      nurseries[1]->spawn(read(&store, "two", &values[1]));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    runtime->stop();
  });
  runtime->run();
  waiter.join();
  const std::string all = std::to_string(kWorkers * kTimes);
  CHECK(values[0] == all);
  CHECK(values[1] == all);
  nurseries.clear();
}

}  // namespace postern::memory
