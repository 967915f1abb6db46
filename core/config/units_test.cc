#include <doctest/doctest.h>

#include <cstdint>

#include "postern/config.h"

namespace postern {
namespace {

TEST_CASE("sizes are read with their unit") {
  CHECK(parse_size("25 MiB") == 25_MiB);
  CHECK(parse_size("64KiB") == 64_KiB);
  CHECK(parse_size(" 1 gib ") == 1_GiB);
  CHECK(parse_size("512 B") == 512_B);
  CHECK(parse_size("3 KB") == Size{3000});
  CHECK(parse_size("3 MB") == Size{3'000'000});
  CHECK(parse_size("2 TiB") == Size{2ULL << 40});
  CHECK(parse_size("0") == Size{});
  for (const char* wrong :
       {"", "25", "MiB", "-1 B", "1.5 MiB", "1 MiBs", "1 M", "99999999999999999999 B", "99999999999 TiB", "1 MiB 2 B"})
    CHECK_FALSE_MESSAGE(parse_size(wrong), wrong);
}

TEST_CASE("durations are read with their units, from the large to the small") {
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("30s") == 30s);
  CHECK(parse_duration("5 m") == 5min);
  CHECK(parse_duration("1d") == 24h);
  CHECK(parse_duration("1w") == 168h);
  CHECK(parse_duration("1h30m") == 90min);
  CHECK(parse_duration("1h 30m 5s") == 1h + 30min + 5s);
  CHECK(parse_duration("250us") == 250us);
  CHECK(parse_duration("0") == 0s);
  for (const char* wrong :
       {"", "10", "m", "-5m", "1.5h", "5min", "30m1h", "5m5m", "1h30", "9999999999d", "106751d 1000h", "5 m x"})
    CHECK_FALSE_MESSAGE(parse_duration(wrong), wrong);
}

TEST_CASE("what is written reads back as the same") {
  for (std::uint64_t bytes :
       {0ULL, 1ULL, 999ULL, 1000ULL, 1024ULL, 1536ULL, 25ULL << 20, 3'000'000ULL, (1ULL << 40) + 1, ~0ULL})
    CHECK(parse_size(to_text(Size{bytes})) == Size{bytes});
  for (std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{999}, std::int64_t{1'500'000'000},
                         std::int64_t{5'400'000'000'000}, std::int64_t{123'456'789'012'345}, INT64_MAX})
    CHECK(parse_duration(to_text(Duration(n))) == Duration(n));
  CHECK(to_text(25_MiB) == "25 MiB");
  CHECK(to_text(Size{1'000'000}) == "1 MB");
  CHECK(to_text(Size{1025}) == "1025 B");
  CHECK(to_text(Duration(90min)) == "90m");
  CHECK(to_text(Duration(1500ms)) == "1s500ms");
  CHECK(to_text(Duration(25h + 1s)) == "1d1h1s");
}

}  // namespace
}  // namespace postern
