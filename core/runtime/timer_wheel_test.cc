#include "core/runtime/timer_wheel.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "postern/random.h"

using namespace postern;

namespace {

class Timer final : public TimerNode {
 public:
  explicit Timer(std::function<void()> fired = [] {}) : fired_(std::move(fired)) {}
  int count = 0;

 private:
  void fire() override {
    ++count;
    fired_();
  }
  std::function<void()> fired_;
};

constexpr Instant kStart = Instant(Duration(123'456'789));

}  // namespace

TEST_CASE("a timer fires at its instant, once, and never before") {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, kStart + 100ms);
  CHECK(timer.armed());
  CHECK(wheel.next_expiry() <= kStart + 100ms);
  wheel.advance(kStart + 99ms);
  CHECK(timer.count == 0);
  wheel.advance(kStart + 100ms);
  CHECK(timer.count == 1);
  CHECK(!timer.armed());
  CHECK(!wheel.next_expiry());
  wheel.advance(kStart + 1h);
  CHECK(timer.count == 1);
}

TEST_CASE("a timer between two ticks waits for the later one") {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, kStart + Duration(1'500'000));
  wheel.advance(kStart + Duration(1'600'000));
  CHECK(timer.count == 0);
  wheel.advance(kStart + 2ms);
  CHECK(timer.count == 1);
}

TEST_CASE("a timer in the past fires with the next advance") {
  TimerWheel wheel(kStart);
  wheel.advance(kStart + 5s);
  Timer timer;
  wheel.arm(timer, kStart + 1s);
  CHECK(wheel.next_expiry() <= kStart + 5s);
  wheel.advance(kStart + 5s);
  CHECK(timer.count == 1);
}

TEST_CASE("a disarmed timer stays silent and an armed one moves") {
  TimerWheel wheel(kStart);
  Timer a;
  Timer b;
  wheel.arm(a, kStart + 10ms);
  wheel.arm(b, kStart + 10ms);
  wheel.disarm(a);
  wheel.disarm(a);
  wheel.arm(b, kStart + 1min);
  wheel.advance(kStart + 59s);
  CHECK(a.count == 0);
  CHECK(b.count == 0);
  wheel.advance(kStart + 1min);
  CHECK(b.count == 1);
  CHECK(wheel.empty());
}

TEST_CASE("a timer that fires may disarm its neighbours of the same tick") {
  TimerWheel wheel(kStart);
  Timer second;
  Timer third;
  Timer first([&] { wheel.disarm(second); });
  for (Timer* timer : {&first, &second, &third}) wheel.arm(*timer, kStart + 3ms);
  wheel.advance(kStart + 3ms);
  CHECK(first.count == 1);
  CHECK(second.count == 0);
  CHECK(third.count == 1);
}

TEST_CASE("a timer that arms itself for now does not hold advance() up") {
  TimerWheel wheel(kStart);
  Timer* self = nullptr;
  Timer timer([&] { wheel.arm(*self, kStart); });
  self = &timer;
  wheel.arm(timer, kStart);
  wheel.advance(kStart);
  CHECK(timer.count == 1);
  CHECK(wheel.next_expiry() == kStart + 1ms);
  wheel.advance(kStart + 3ms);
  CHECK(timer.count == 4);
  wheel.disarm(timer);
}

TEST_CASE("a timer years ahead is kept and fires") {
  TimerWheel wheel(kStart);
  Timer timer;
  Timer farther;
  const Duration years = 24h * 365 * 5;
  wheel.arm(timer, kStart + years);
  wheel.arm(farther, kStart + years * 2);
  int wakes = 0;
  while (timer.count == 0 && wakes < 100) {
    const auto next = wheel.next_expiry();
    REQUIRE(next);
    CHECK(*next <= kStart + years);
    wheel.advance(*next);
    ++wakes;
  }
  CHECK(timer.count == 1);
  CHECK(wakes < 12);
  wheel.advance(kStart + years * 2);
  CHECK(farther.count == 1);
}

TEST_CASE("an idle loop is woken at most once for each level") {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.advance(kStart + Duration(987'654'321'000));
  const Instant due = kStart + Duration(987'654'321'000) + 5min;
  wheel.arm(timer, due);
  int wakes = 0;
  while (timer.count == 0) {
    REQUIRE(wakes < 6);
    const Instant next = *wheel.next_expiry();
    wheel.advance(next);
    ++wakes;
    if (timer.count == 1) CHECK((next >= due && next < due + 1ms));
  }
}

TEST_CASE("the wheel agrees with a sorted list, whatever is armed, moved and disarmed") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Prng random(seed);
    TimerWheel wheel(kStart);
    std::multimap<std::int64_t, std::size_t> model;  // tick to timer
    std::vector<std::unique_ptr<Timer>> timers;
    std::vector<std::int64_t> fired_at(200, -1);
    std::vector<std::int64_t> wanted(200, -1);
    std::int64_t now = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      timers.push_back(std::make_unique<Timer>([&fired_at, &now, i] { fired_at[i] = now; }));
    const auto forget = [&](std::size_t i) {
      for (auto it = model.begin(); it != model.end(); ++it)
        if (it->second == i) return void(model.erase(it));
    };
    for (int step = 0; step < 2000; ++step) {
      const auto i = static_cast<std::size_t>(random.below(wanted.size()));
      if (random.chance(0.5)) {
        const auto ahead = static_cast<std::int64_t>(random.next() >> (28 + random.below(36)));  // of all magnitudes
        wanted[i] = now + ahead;
        forget(i);
        model.emplace(wanted[i], i);
        wheel.arm(*timers[i], kStart + Duration(wanted[i] * 1'000'000));
      } else if (random.chance(0.3)) {
        forget(i);
        wheel.disarm(*timers[i]);
        CHECK(!timers[i]->armed());
      } else {
        const auto next = wheel.next_expiry();
        REQUIRE(next.has_value() == !model.empty());
        if (next) REQUIRE(*next <= kStart + Duration(std::max(now, model.begin()->first) * 1'000'000));
        now += static_cast<std::int64_t>(random.next() >> (30 + random.below(34)));
        wheel.advance(kStart + Duration(now * 1'000'000));
        while (!model.empty() && model.begin()->first <= now) {
          const std::size_t due = model.begin()->second;
          REQUIRE(fired_at[due] == now);
          REQUIRE(!timers[due]->armed());
          fired_at[due] = -1;
          model.erase(model.begin());
        }
        for (const std::int64_t at : fired_at) REQUIRE(at == -1);  // nothing fired that was not due
      }
      REQUIRE(wheel.size() == model.size());
    }
    for (auto& timer : timers) wheel.disarm(*timer);
    CHECK(wheel.empty());
  }
}
