#include "core/dns/cache.h"

#include <doctest/doctest.h>

using namespace postern;
using namespace postern::dns;

namespace {

const Instant kStart{};

Cache::Limits limits() {
  return {.entries = 3, .bytes = 100'000, .min_ttl = 5s, .max_ttl = 3600s, .max_negative_ttl = 600s, .failure_ttl = 2s};
}

DnsAnswer answer(DnsStatus status, std::chrono::seconds ttl) {
  DnsAnswer out;
  out.status = status;
  out.ttl = ttl;
  if (out.ok()) out.records.emplace_back(TxtRecord{"x"});
  return out;
}

// How long an answer is kept, found by asking at each second.
std::chrono::seconds life(DnsStatus status, std::chrono::seconds ttl) {
  Cache cache(limits());
  cache.put("k", answer(status, ttl), kStart);
  std::chrono::seconds at{0};
  while (cache.find("k", kStart + at)) ++at;
  return at;
}

}  // namespace

TEST_CASE("an answer is found until its TTL is over, and says what is left") {
  Cache cache(limits());
  cache.put(Cache::key("a.org", RecordType::kTxt), answer(DnsStatus::kOk, 60s), kStart);
  CHECK_FALSE(cache.find(Cache::key("a.org", RecordType::kA), kStart));
  const auto found = cache.find(Cache::key("a.org", RecordType::kTxt), kStart + 20s);
  REQUIRE(found);
  CHECK(found->ttl == 40s);
  CHECK(found->records.size() == 1);
  CHECK(cache.find(Cache::key("a.org", RecordType::kTxt), kStart + 59s));
  CHECK_FALSE(cache.find(Cache::key("a.org", RecordType::kTxt), kStart + 60s));
  CHECK(cache.entries() == 0);
  CHECK(cache.bytes() == 0);
}

TEST_CASE("the time an answer is kept lies within the limits of its kind") {
  CHECK(life(DnsStatus::kOk, 0s) == 5s);
  CHECK(life(DnsStatus::kOk, 60s) == 60s);
  CHECK(life(DnsStatus::kOk, 1'000'000s) == 3600s);
  CHECK(life(DnsStatus::kNxDomain, 60s) == 60s);
  CHECK(life(DnsStatus::kNxDomain, 3600s) == 600s);
  CHECK(life(DnsStatus::kNoData, 0s) == 5s);
  CHECK(life(DnsStatus::kServfail, 60s) == 2s);
  CHECK(life(DnsStatus::kTimeout, 0s) == 2s);
  CHECK(life(DnsStatus::kOverloaded, 60s) == 0s);
}

TEST_CASE("the least recently used answer leaves a full cache") {
  Cache cache(limits());
  for (const char* key : {"a", "b", "c"}) cache.put(key, answer(DnsStatus::kOk, 60s), kStart);
  CHECK(cache.find("a", kStart));
  cache.put("d", answer(DnsStatus::kOk, 60s), kStart);
  CHECK(cache.entries() == 3);
  CHECK(cache.find("a", kStart));
  CHECK_FALSE(cache.find("b", kStart));
  CHECK(cache.find("c", kStart));
  CHECK(cache.find("d", kStart));
}

TEST_CASE("octets are bounded too, and an answer larger than the cache is not kept") {
  Cache::Limits small = limits();
  small.entries = 1000;
  small.bytes = 8'000;
  Cache cache(small);
  for (int i = 0; i < 100; ++i) {
    DnsAnswer text = answer(DnsStatus::kOk, 60s);
    text.records[0] = TxtRecord{std::string(1'000, 'x')};
    cache.put(std::to_string(i), text, kStart);
    CHECK(cache.bytes() <= 8'000);
  }
  CHECK(cache.entries() >= 4);
  CHECK(cache.find("99", kStart));
  const std::size_t before = cache.entries();
  DnsAnswer huge = answer(DnsStatus::kOk, 60s);
  huge.records[0] = TxtRecord{std::string(9'000, 'x')};
  cache.put("huge", huge, kStart);
  CHECK_FALSE(cache.find("huge", kStart));
  CHECK(cache.entries() == before);
}

TEST_CASE("a newer answer takes the place of the older, and no entries means no cache") {
  Cache cache(limits());
  cache.put("k", answer(DnsStatus::kOk, 60s), kStart);
  const std::size_t bytes = cache.bytes();
  cache.put("k", answer(DnsStatus::kOk, 90s), kStart);
  CHECK(cache.entries() == 1);
  CHECK(cache.bytes() == bytes);
  CHECK(cache.find("k", kStart + 80s));

  Cache::Limits off = limits();
  off.entries = 0;
  Cache none(off);
  none.put("k", answer(DnsStatus::kOk, 60s), kStart);
  CHECK_FALSE(none.find("k", kStart));
}
