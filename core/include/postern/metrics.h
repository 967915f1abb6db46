// Metrics: counters, gauges and histograms with a cell per worker, summed when somebody asks.
//
//   Counter& accepted = registry.counter("postern_smtp_accepted_total", "Messages answered with 250.", {{"role",
//   "mx"}}); accepted.add(worker);                                       // one load and one store, no lock prefix
//   Histogram& commit = registry.histogram("postern_spool_commit_seconds", "Time of a commit.",
//   HistogramScale::kSeconds); commit.observe(worker, elapsed);
//
// Names are postern_<room>_<what>, with the unit last (_seconds, _bytes, _ratio) and _total for counters; the reference
// page is generated from these declarations.
//
// Owner:  main owns the registry; it outlives all who hold its metrics.
// Thread: declare at construction (a short lock, not for the hot path). A cell is written by its worker alone; threads
// that
//         are no worker use the *_shared calls. render() may run on any thread at any time.
// Errors: a malformed or contradictory declaration throws Error.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/error.h"
#include "postern/time.h"

namespace postern {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// The cells of one metric: `width` neighbours for each worker, and one more set for threads that are no worker.
class MetricCells {
 public:
  using Cell = std::atomic<std::uint64_t>;
  MetricCells() = default;
  MetricCells(Cell* first, std::size_t stride, unsigned workers) : first_(first), stride_(stride), workers_(workers) {}
  Cell& of(unsigned worker, std::size_t at = 0) const { return first_[worker * stride_ + at]; }
  Cell& shared(std::size_t at = 0) const { return of(workers_, at); }
  std::uint64_t sum(std::size_t at = 0) const {
    std::uint64_t total = 0;
    for (unsigned worker = 0; worker <= workers_; ++worker) total += of(worker, at).load(std::memory_order_relaxed);
    return total;
  }
  static void bump(Cell& cell, std::uint64_t n) {  // single writer: no read-modify-write needed
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

 private:
  Cell* first_ = nullptr;
  std::size_t stride_ = 0;
  unsigned workers_ = 0;
};

/// Only grows.
class Counter {
 public:
  explicit Counter(MetricCells cells) : cells_(cells) {}
  void add(unsigned worker, std::uint64_t n = 1) { MetricCells::bump(cells_.of(worker), n); }
  void add_shared(std::uint64_t n = 1) { cells_.shared().fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return cells_.sum(); }

 private:
  MetricCells cells_;
};

/// Goes up and down; its value is the sum of what the workers say.
class Gauge {
 public:
  explicit Gauge(MetricCells cells) : cells_(cells) {}
  void add(unsigned worker, std::int64_t n = 1) { MetricCells::bump(cells_.of(worker), static_cast<std::uint64_t>(n)); }
  void sub(unsigned worker, std::int64_t n = 1) { add(worker, -n); }
  void set(unsigned worker, std::int64_t n) {
    cells_.of(worker).store(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
  }
  void add_shared(std::int64_t n = 1) {
    cells_.shared().fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
  }
  void sub_shared(std::int64_t n = 1) { add_shared(-n); }
  void set_shared(std::int64_t n) { cells_.shared().store(static_cast<std::uint64_t>(n), std::memory_order_relaxed); }
  std::int64_t value() const { return static_cast<std::int64_t>(cells_.sum()); }

 private:
  MetricCells cells_;
};

/// Fixed bucket limits on a logarithmic scale, so that series of all versions can be compared.
enum class HistogramScale : std::uint8_t {
  kSeconds,  ///< 100 us to 1000 s in steps 1, 2.5, 5
  kBytes,    ///< 256 B to 1 GiB in steps of 4
  kCount,    ///< 1 to 100,000 in steps 1, 2, 5
};
/// Upper limits in nanoseconds, octets or pieces; a last bucket without limit follows.
std::span<const std::uint64_t> histogram_limits(HistogramScale scale);

class Histogram {
 public:
  Histogram(MetricCells cells, HistogramScale scale) : cells_(cells), limits_(histogram_limits(scale)), scale_(scale) {}
  void observe(unsigned worker, Duration duration) { observe(worker, raw(duration)); }
  /// Nanoseconds, octets or pieces.
  void observe(unsigned worker, std::uint64_t value) {
    MetricCells::bump(cells_.of(worker, 0), value);
    MetricCells::bump(cells_.of(worker, 1 + bucket(value)), 1);
  }
  void observe_shared(Duration duration) { observe_shared(raw(duration)); }
  void observe_shared(std::uint64_t value) {
    cells_.shared(0).fetch_add(value, std::memory_order_relaxed);
    cells_.shared(1 + bucket(value)).fetch_add(1, std::memory_order_relaxed);
  }
  HistogramScale scale() const { return scale_; }
  std::uint64_t sum() const { return cells_.sum(0); }
  std::uint64_t count() const;
  std::uint64_t in_bucket(std::size_t at) const { return cells_.sum(1 + at); }  ///< not cumulative
  std::size_t bucket(std::uint64_t value) const {
    std::size_t at = 0;
    while (at < limits_.size() && value > limits_[at]) ++at;
    return at;
  }

 private:
  static std::uint64_t raw(Duration duration) {
    return duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
  }
  MetricCells cells_;  // [0] the sum, then a cell per bucket
  std::span<const std::uint64_t> limits_;
  HistogramScale scale_;
};

class Metrics {
 public:
  /// Series of one name; beyond, further label sets share one series whose labels say "other".
  static constexpr std::size_t kMaxSeries = 1000;

  explicit Metrics(unsigned workers);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  unsigned workers() const { return workers_; }

  /// The same name and labels give the same metric again, so that a reload can declare anew.
  Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, HistogramScale scale, MetricLabels labels = {});
  /// A value asked for at each scrape, from the scraping thread. A name that ends in _total is a counter, else a gauge.
  void watch(std::string_view name, std::string_view help, std::function<double()> read, MetricLabels labels = {});

  /// Prometheus text format 0.0.4; families by name, series by labels.
  std::string render() const;
  /// The metrics reference: a Markdown table of every family.
  std::string render_reference() const;

  struct Impl;

 private:
  unsigned workers_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern
