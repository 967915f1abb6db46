#include "postern/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <new>

namespace postern {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kChunkCells = 512;  // per worker; a whole number of cache lines, so that workers never share one

constexpr std::uint64_t kMicrosecond = 1000, kMillisecond = 1000 * kMicrosecond, kSecond = 1000 * kMillisecond;
constexpr std::uint64_t kSecondLimits[] = {
    100 * kMicrosecond, 250 * kMicrosecond, 500 * kMicrosecond, 1 * kMillisecond,    2500 * kMicrosecond,
    5 * kMillisecond,   10 * kMillisecond,  25 * kMillisecond,  50 * kMillisecond,   100 * kMillisecond,
    250 * kMillisecond, 500 * kMillisecond, 1 * kSecond,        2500 * kMillisecond, 5 * kSecond,
    10 * kSecond,       25 * kSecond,       50 * kSecond,       100 * kSecond,       250 * kSecond,
    500 * kSecond,      1000 * kSecond};
constexpr std::uint64_t kByteLimits[] = {1 << 8,  1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18,
                                         1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30};
constexpr std::uint64_t kCountLimits[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                          500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };
constexpr std::string_view kKindNames[] = {"counter", "gauge", "histogram"};

struct Series {
  MetricLabels labels;
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
  std::function<double()> read;
};
struct Family {
  std::string help;
  Kind kind;
  HistogramScale scale = HistogramScale::kCount;
  std::deque<Series> series;
};

bool is_name(std::string_view name) {
  bool good = name.starts_with("postern_") && !name.ends_with('_');
  for (char c : name) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
  return good;
}
bool is_label(std::string_view name) {
  bool good = !name.empty() && name != "le" && name.front() >= 'a' && name.front() <= 'z';
  for (char c : name) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
  return good;
}

void check_declaration(std::string_view name, Kind kind, const MetricLabels& labels) {
  if (!is_name(name)) throw Error(fmt::format("a metric cannot be called \"{}\"", name));
  if ((kind == Kind::kCounter) != name.ends_with("_total"))
    throw Error(
        fmt::format("the metric {} is a {}: only counters end in _total", name, kKindNames[static_cast<int>(kind)]));
  for (const auto& [label, value] : labels)
    if (!is_label(label)) throw Error(fmt::format("the metric {} cannot have a label \"{}\"", name, label));
}

void append_escaped(std::string& out, std::string_view text, bool in_quotes) {
  for (char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && in_quotes)
      out += "\\\"";
    else
      out += c;
  }
}

// {a="b",le="0.5"}; `le` is empty but for buckets.
std::string label_text(const MetricLabels& labels, std::string_view le = {}) {
  if (labels.empty() && le.empty()) return {};
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    out += fmt::format("{}{}=\"", out.size() > 1 ? "," : "", name);
    append_escaped(out, value, true);
    out += '"';
  }
  if (!le.empty()) out += fmt::format("{}le=\"{}\"", out.size() > 1 ? "," : "", le);
  return out += '}';
}

std::string unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  for (std::string_view unit : {"seconds", "bytes", "ratio"})
    if (name.ends_with(unit)) return std::string(unit);
  return "pieces";
}

// Sums are kept in the cells' integers and shown in base units.
std::string in_base_unit(HistogramScale scale, std::uint64_t value) {
  if (scale != HistogramScale::kSeconds) return std::to_string(value);
  return fmt::format("{}", static_cast<double>(value) / 1e9);
}

void render_histogram(std::string& out, const std::string& name, const Series& series) {
  const Histogram& histogram = *series.histogram;
  std::span<const std::uint64_t> limits = histogram_limits(histogram.scale());
  std::uint64_t total = 0;
  for (std::size_t at = 0; at <= limits.size(); ++at) {
    total += histogram.in_bucket(at);
    std::string le = at == limits.size() ? "+Inf" : in_base_unit(histogram.scale(), limits[at]);
    out += fmt::format("{}_bucket{} {}\n", name, label_text(series.labels, le), total);
  }
  std::string labels = label_text(series.labels);
  out += fmt::format("{}_sum{} {}\n", name, labels, in_base_unit(histogram.scale(), histogram.sum()));
  out += fmt::format("{}_count{} {}\n", name, labels, total);
}

void render_series(std::string& out, const std::string& name, const Series& series) {
  if (series.histogram) return render_histogram(out, name, series);
  if (!series.counter && !series.gauge && !series.read) return;
  out += name + label_text(series.labels) + ' ';
  if (series.counter)
    out += std::to_string(series.counter->value());
  else if (series.gauge)
    out += std::to_string(series.gauge->value());
  else
    out += fmt::format("{}", series.read());
  out += '\n';
}

// Zeroed cells on cache lines of their own.
class Chunk {
 public:
  explicit Chunk(std::size_t cells)
      : first_(static_cast<MetricCells::Cell*>(
            ::operator new(cells * sizeof(MetricCells::Cell), std::align_val_t(kCacheLine)))) {
    std::uninitialized_value_construct_n(first_, cells);
  }
  Chunk(Chunk&& other) noexcept : first_(std::exchange(other.first_, nullptr)), used(other.used) {}
  ~Chunk() { ::operator delete(first_, std::align_val_t(kCacheLine)); }
  MetricCells::Cell* first() const { return first_; }

 private:
  MetricCells::Cell* first_;

 public:
  std::size_t used = 0;
};

}  // namespace

std::span<const std::uint64_t> histogram_limits(HistogramScale scale) {
  if (scale == HistogramScale::kSeconds) return kSecondLimits;
  if (scale == HistogramScale::kBytes) return kByteLimits;
  return kCountLimits;
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (std::size_t at = 0; at <= limits_.size(); ++at) total += in_bucket(at);
  return total;
}

struct Metrics::Impl {
  explicit Impl(unsigned count) : workers(count) {}

  // The series of these labels, made when it is new.
  Series& series(std::string_view name, std::string_view help, Kind kind, HistogramScale scale, MetricLabels labels) {
    check_declaration(name, kind, labels);
    auto found = families.find(name);
    if (found == families.end()) found = families.emplace(name, Family{std::string(help), kind, scale, {}}).first;
    Family& family = found->second;
    if (family.kind != kind || family.scale != scale || family.help != help)
      throw Error(fmt::format("the metric {} is declared twice, differently", name));
    auto matches = [&](const Series& known) { return known.labels == labels; };
    if (auto same = std::ranges::find_if(family.series, matches); same != family.series.end()) return *same;
    if (family.series.size() >= kMaxSeries) {
      for (auto& [label, value] : labels) value = "other";
      if (auto other = std::ranges::find_if(family.series, matches); other != family.series.end()) return *other;
    }
    return family.series.emplace_back(Series{std::move(labels), {}, {}, {}, {}});
  }

  MetricCells cells(std::size_t width) {
    if (chunks.empty() || chunks.back().used + width > kChunkCells) chunks.emplace_back(kChunkCells * (workers + 1));
    Chunk& chunk = chunks.back();
    MetricCells made(chunk.first() + chunk.used, kChunkCells, workers);
    chunk.used += width;
    return made;
  }

  const unsigned workers;
  mutable std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;
  std::vector<Chunk> chunks;
};

Metrics::Metrics(unsigned workers) : workers_(workers), impl_(std::make_unique<Impl>(workers)) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help, MetricLabels labels) {
  std::lock_guard lock(impl_->mutex);
  Series& series = impl_->series(name, help, Kind::kCounter, HistogramScale::kCount, std::move(labels));
  if (series.read) throw Error(fmt::format("the metric {} is watched and counted", name));
  if (!series.counter) series.counter = std::make_unique<Counter>(impl_->cells(1));
  return *series.counter;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  std::lock_guard lock(impl_->mutex);
  Series& series = impl_->series(name, help, Kind::kGauge, HistogramScale::kCount, std::move(labels));
  if (series.read) throw Error(fmt::format("the metric {} is watched and set", name));
  if (!series.gauge) series.gauge = std::make_unique<Gauge>(impl_->cells(1));
  return *series.gauge;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, HistogramScale scale, MetricLabels labels) {
  std::lock_guard lock(impl_->mutex);
  Series& series = impl_->series(name, help, Kind::kHistogram, scale, std::move(labels));
  if (!series.histogram)
    series.histogram = std::make_unique<Histogram>(impl_->cells(histogram_limits(scale).size() + 2), scale);
  return *series.histogram;
}

void Metrics::watch(std::string_view name, std::string_view help, std::function<double()> read, MetricLabels labels) {
  std::lock_guard lock(impl_->mutex);
  Kind kind = name.ends_with("_total") ? Kind::kCounter : Kind::kGauge;
  Series& series = impl_->series(name, help, kind, HistogramScale::kCount, std::move(labels));
  if (series.counter || series.gauge) throw Error(fmt::format("the metric {} is watched and counted", name));
  series.read = std::move(read);
}

std::string Metrics::render() const {
  std::lock_guard lock(impl_->mutex);
  std::string out;
  for (const auto& [name, family] : impl_->families) {
    out += fmt::format("# HELP {} ", name);
    append_escaped(out, family.help, false);
    out += fmt::format("\n# TYPE {} {}\n", name, kKindNames[static_cast<int>(family.kind)]);
    std::vector<const Series*> sorted;
    for (const Series& series : family.series) sorted.push_back(&series);
    std::ranges::sort(sorted, {}, [](const Series* series) -> const MetricLabels& { return series->labels; });
    for (const Series* series : sorted) render_series(out, name, *series);
  }
  return out;
}

std::string Metrics::render_reference() const {
  std::lock_guard lock(impl_->mutex);
  std::string out =
      "# Metrics\n\nGenerated from the declarations; do not edit.\n\n| Name | Type | Unit | Labels | Meaning "
      "|\n|---|---|---|---|---|\n";
  for (const auto& [name, family] : impl_->families) {
    std::vector<std::string> labels;
    for (const Series& series : family.series)
      for (const auto& [label, value] : series.labels)
        if (std::ranges::find(labels, label) == labels.end()) labels.push_back(label);
    std::ranges::sort(labels);
    std::string label_list;
    for (const std::string& label : labels) label_list += (label_list.empty() ? "`" : ", `") + label + "`";
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", name, kKindNames[static_cast<int>(family.kind)], unit_of(name),
                       label_list, family.help);
  }
  return out;
}

}  // namespace postern
