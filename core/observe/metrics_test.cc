#include "postern/metrics.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace postern {
namespace {

TEST_CASE("metrics are rendered as Prometheus reads them") {
  Metrics metrics(2);
  Counter& mx = metrics.counter("postern_smtp_accepted_total", "Messages answered with 250.", {{"role", "mx"}});
  Counter& submission =
      metrics.counter("postern_smtp_accepted_total", "Messages answered with 250.", {{"role", "a\\b\"c\nd"}});
  Gauge& sessions = metrics.gauge("postern_pop3_sessions", "Sessions \\ now\nopen.");
  mx.add(0);
  mx.add(1, 4);
  mx.add_shared();
  submission.add(1);
  sessions.add(0, 3);
  sessions.sub(1, 1);
  metrics.watch("postern_memory_bytes", "Resident memory.", [] { return 1.5e6; });
  CHECK(metrics.render() ==
        "# HELP postern_memory_bytes Resident memory.\n"
        "# TYPE postern_memory_bytes gauge\n"
        "postern_memory_bytes 1500000\n"
        "# HELP postern_pop3_sessions Sessions \\\\ now\\nopen.\n"
        "# TYPE postern_pop3_sessions gauge\n"
        "postern_pop3_sessions 2\n"
        "# HELP postern_smtp_accepted_total Messages answered with 250.\n"
        "# TYPE postern_smtp_accepted_total counter\n"
        "postern_smtp_accepted_total{role=\"a\\\\b\\\"c\\nd\"} 1\n"
        "postern_smtp_accepted_total{role=\"mx\"} 6\n");
}

TEST_CASE("histograms are cumulative, with their unit") {
  Metrics metrics(1);
  Histogram& commit =
      metrics.histogram("postern_spool_commit_seconds", "Time of a commit.", HistogramScale::kSeconds, {{"kind", "a"}});
  commit.observe(0, 100us);
  commit.observe(0, 101us);
  commit.observe(0, 2s);
  commit.observe_shared(2h);
  commit.observe(0, Duration(-5));
  CHECK(commit.count() == 5);
  std::string out = metrics.render();
  auto has = [&](std::string_view line) { return out.find(line) != std::string::npos; };
  CHECK(has("# TYPE postern_spool_commit_seconds histogram\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"0.0001\"} 2\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"0.00025\"} 3\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"1\"} 3\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"2.5\"} 4\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"1000\"} 4\n"));
  CHECK(has("postern_spool_commit_seconds_bucket{kind=\"a\",le=\"+Inf\"} 5\n"));
  CHECK(has("postern_spool_commit_seconds_sum{kind=\"a\"} 7202.000201\n"));
  CHECK(has("postern_spool_commit_seconds_count{kind=\"a\"} 5\n"));

  Histogram& size = metrics.histogram("postern_smtp_message_bytes", "Size.", HistogramScale::kBytes);
  size.observe(0, std::uint64_t{257});
  CHECK(size.in_bucket(1) == 1);
  Histogram& rcpts = metrics.histogram("postern_smtp_recipients", "Recipients.", HistogramScale::kCount);
  rcpts.observe(0, std::uint64_t{1000000});
  CHECK(rcpts.in_bucket(histogram_limits(HistogramScale::kCount).size()) == 1);
}

TEST_CASE("limits rise") {
  for (auto scale : {HistogramScale::kSeconds, HistogramScale::kBytes, HistogramScale::kCount}) {
    auto limits = histogram_limits(scale);
    for (std::size_t at = 1; at < limits.size(); ++at) CHECK(limits[at - 1] < limits[at]);
  }
}

TEST_CASE("the same declaration gives the same metric") {
  Metrics metrics(1);
  Counter& a = metrics.counter("postern_a_total", "A.", {{"x", "1"}});
  CHECK(&a == &metrics.counter("postern_a_total", "A.", {{"x", "1"}}));
  CHECK(&a != &metrics.counter("postern_a_total", "A.", {{"x", "2"}}));
}

TEST_CASE("wrong declarations are refused") {
  Metrics metrics(1);
  metrics.counter("postern_a_total", "A.");
  CHECK_THROWS_AS(metrics.counter("postern_a_total", "B."), Error);
  CHECK_THROWS_AS(metrics.counter("postern_a", "A."), Error);
  CHECK_THROWS_AS(metrics.gauge("postern_b_total", "B."), Error);
  CHECK_THROWS_AS(metrics.gauge("other_b", "B."), Error);
  CHECK_THROWS_AS(metrics.gauge("postern_B", "B."), Error);
  CHECK_THROWS_AS(metrics.gauge("postern_b", "B.", {{"le", "1"}}), Error);
  CHECK_THROWS_AS(metrics.gauge("postern_b", "B.", {{"a b", "1"}}), Error);
  CHECK_THROWS_AS(metrics.watch("postern_a_total", "A.", [] { return 1.0; }), Error);
  metrics.histogram("postern_h_bytes", "H.", HistogramScale::kBytes);
  CHECK_THROWS_AS(metrics.histogram("postern_h_bytes", "H.", HistogramScale::kCount), Error);
}

TEST_CASE("label sets beyond the limit share one series") {
  Metrics metrics(1);
  auto counter = [&](int n) -> Counter& {
    return metrics.counter("postern_a_total", "A.", {{"peer", std::to_string(n)}});
  };
  for (int n = 0; n < static_cast<int>(Metrics::kMaxSeries); ++n) counter(n);
  Counter& other = counter(5000);
  CHECK(&other == &counter(5001));
  CHECK(&other != &counter(5));
  other.add(0, 7);
  CHECK(metrics.render().find("postern_a_total{peer=\"other\"} 7\n") != std::string::npos);
}

TEST_CASE("workers count side by side and lose nothing, while others read") {
  Metrics metrics(4);
  std::vector<Counter*> counters;
  for (int n = 0; n < 600; ++n)
    counters.push_back(&metrics.counter("postern_many_total", "M.", {{"n", std::to_string(n)}}));
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < 4; ++worker)
    threads.emplace_back([&, worker] {
      for (int round = 0; round < 1000; ++round)
        for (Counter* counter : {counters.front(), counters.back()}) {
          counter->add(worker);
          counter->add_shared();
        }
    });
  std::uint64_t last = 0;
  for (int n = 0; n < 100; ++n) {
    CHECK(counters.front()->value() >= last);
    last = counters.front()->value();
  }
  for (auto& thread : threads) thread.join();
  CHECK(counters.front()->value() == 8000);
  CHECK(counters.back()->value() == 8000);
  CHECK(counters[1]->value() == 0);
}

TEST_CASE("the reference lists each family once") {
  Metrics metrics(1);
  metrics.counter("postern_smtp_octets_bytes_total", "Octets received.", {{"role", "mx"}, {"ip", "6"}});
  metrics.counter("postern_smtp_octets_bytes_total", "Octets received.", {{"role", "submission"}, {"ip", "4"}});
  metrics.gauge("postern_sessions", "Open sessions.");
  CHECK(metrics.render_reference() ==
        "# Metrics\n\nGenerated from the declarations; do not edit.\n\n"
        "| Name | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n"
        "| `postern_sessions` | gauge | pieces |  | Open sessions. |\n"
        "| `postern_smtp_octets_bytes_total` | counter | bytes | `ip`, `role` | Octets received. |\n");
}

}  // namespace
}  // namespace postern
