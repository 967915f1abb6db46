// Texts of schedules and release rules, what settings say about wrong ones, and the instants that follow from them.
#include "schedule.h"

#include <doctest/doctest.h>

#include "postern/envelope.h"
#include "routes.h"

namespace postern::queue {

namespace {

std::string diagnose(std::string text) {
  ConfigSchemas schemas;
  schemas.add<QueueSettings>();
  Diagnostics diagnostics;
  Config::parse(schemas, "postern.toml", std::move(text), diagnostics);
  return diagnostics.render();
}

}  // namespace

TEST_CASE("a schedule is waits, some of them several times") {
  const auto waits = parse_schedule("1m, 5m*2,15m , 1h * 3, 1h30m");
  REQUIRE(waits);
  CHECK(*waits == std::vector<Duration>{1min, 5min, 5min, 15min, 1h, 1h, 1h, 90min});
}

TEST_CASE("what is wrong with a schedule is told with its place") {
  const auto fault = [](std::string_view text) {
    const auto parsed = parse_schedule(text);
    REQUIRE_FALSE(parsed);
    return parsed.error().what + " @" + std::to_string(parsed.error().offset);
  };
  CHECK(fault("") == "expected a wait such as 5m or 1h30m @0");
  CHECK(fault("1m, 5x") == "expected a wait such as 5m or 1h30m @4");
  CHECK(fault("1m, ") == "expected a wait such as 5m or 1h30m @4");
  CHECK(fault("1m*0") == "expected how often, from 1 to 64 @3");
  CHECK(fault("1m 5m") == "expected \",\" or \"*\" @3");
  CHECK(fault("1m*60, 5m*5") == "more than 64 waits @7");
  CHECK(fault("9d") == "a wait is from 1s to 7d @0");
}

TEST_CASE("a wrong schedule in the configuration is shown with a caret below the wrong word") {
  const std::string text = diagnose("[queue]\nretry = \"1m, 5x\"\n");
  CHECK(text.find("postern.toml:2:14") != std::string::npos);
  CHECK(text.find("expected a wait such as 5m") != std::string::npos);
  const std::string route = diagnose("[queue.routes.\"a.example\"]\nrelease = \"every 30m or 5 things\"\n");
  CHECK(route.find("postern.toml:2:27") != std::string::npos);
  CHECK(diagnose("[queue]\nretry = \"30s, 1m*3\"\n[queue.routes.\"a.example\"]\nrelease = \"on request\"\n").empty());
}

TEST_CASE("a release rule is a time, a count, both, or a request") {
  CHECK(parse_release("every 30m or 50 messages") == ReleaseRule{30min, 50});
  CHECK(parse_release("1 message") == ReleaseRule{std::nullopt, 1});
  CHECK(parse_release("on request") == ReleaseRule{});
  CHECK_FALSE(parse_release("every"));
  CHECK_FALSE(parse_release("50 messages and every 2m"));
}

TEST_CASE("the schedule repeats its last wait, meets the warning and the end exactly, and ends") {
  const Schedule schedule{.retry = {1min, 10min}, .give_up_after = 1h, .warn_after = 30min, .jitter = 10};
  const WallTime start{};
  const Milestones when = schedule.milestones(start);
  CHECK(schedule.next(when, 1, start, 0) == start + 54s);
  CHECK(*schedule.next(when, 9, start, 7) - start >= 9min);
  CHECK(schedule.next(when, 9, start + 25min, 7) == start + 30min);
  CHECK(schedule.next(when, 9, start + 55min, 7) == start + 1h);
  CHECK_FALSE(schedule.next(when, 1, start + 1h, 0));
}

TEST_CASE("a destination has its own route, that of a parent, or that of all") {
  QueueSettings settings;
  settings.routes["slow.example"].give_up_after = 1h;
  settings.routes[".example"].concurrency = 7;
  settings.routes["box.example"].release = "every 1h";
  const Routes routes(settings);
  CHECK(routes.of("slow.example").schedule.give_up_after == 1h);
  CHECK(routes.of("slow.example").concurrency == settings.destination_concurrency);
  CHECK(routes.of("a.b.example").concurrency == 7);
  CHECK(&routes.of("example.org") == &routes.base());
  CHECK(routes.collects(destination_hash("box.example")));
  CHECK_FALSE(routes.collects(destination_hash("slow.example")));
}

}  // namespace postern::queue
