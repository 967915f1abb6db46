#include "core/pipeline/trail_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/pipeline/trail_files.h"
#include "core/pipeline/trail_lane.h"
#include "core/pipeline/trail_quota.h"

namespace postern {
namespace {

constexpr double kDay = 86400;

double seconds_of(Instant now) {
  return std::chrono::duration<double>(now.time_since_epoch()).count();
}
double seconds_of(WallTime now) {
  return std::chrono::duration<double>(now.time_since_epoch()).count();
}

/// The source of a record; nothing when it is not of a client, or of one that is trusted.
std::optional<TrailSource> source_in(std::string_view client, const std::vector<IpNetwork>& trusted) {
  const auto ip = IpAddress::parse(client);
  if (!ip || std::ranges::any_of(trusted, [&](const IpNetwork& one) { return one.contains(*ip); })) return std::nullopt;
  return TrailSource::of(*ip);
}

/// Records that were not kept.
struct Drops {
  std::map<TrailSource, std::uint64_t> sources;
  std::uint64_t others = 0;  ///< of sources that nobody remembers
  bool empty() const { return sources.empty() && others == 0; }
  void take(TrailQuota& quota, std::size_t limit) {
    quota.take_dropped([&](const TrailSource& source, std::uint64_t count) { add(source, count, limit); }, others);
  }
  void add(const TrailSource& source, std::uint64_t count, std::size_t limit) {
    const auto known = sources.find(source);
    if (known != sources.end())
      known->second += count;
    else if (sources.size() < limit)
      sources.emplace(source, count);
    else
      others += count;
  }
};

std::string summary(const std::string& client, std::uint64_t count, WallTime now) {
  TrailRecord record;
  record.when = now;
  record.client = client;
  record.outcome = fmt::format("{} more session{} of {} were not kept", count, count == 1 ? "" : "s",
                               client.empty() ? "other sources" : client);
  std::string out;
  record.encode(out);
  return out;
}

}  // namespace

/// What only the lane touches: files, and what sources have taken, exactly.
class TrailLog::LaneSide {
 public:
  LaneSide(TrailLog& log, Env& env, std::string dir, Options options)
      : log_(log),
        files_(env, std::move(dir),
               TrailFiles::Limits{log.settings_.segment.bytes, log.settings_.keep_bytes.bytes, log.settings_.keep_for,
                                  options.indexed},
               std::move(options.report)),
        second_(log.settings_.sources, static_cast<double>(log.settings_.source_rate.bytes),
                static_cast<double>(log.settings_.source_rate.bytes), env.random()),
        day_(log.settings_.sources, static_cast<double>(log.settings_.source_day.bytes) / kDay,
             static_cast<double>(log.settings_.source_day.bytes), env.random()) {}

  TrailFiles& files() { return files_; }

  void write(const std::string& records, std::uint64_t count, WallTime first, const Drops& drops, WallTime now) {
    last_write_ = now;
    merge(drops);
    put(within_quota(records, count, now), count, first);
    summarize(now);
    index_later();
  }
  /// Writes what is left to say at the end.
  void finish() {
    const WallTime now = last_write_;
    last_summary_ = WallTime{};
    summarize(now);
  }
  void index_later();

 private:
  void put(std::string_view records, std::uint64_t count, WallTime first) {
    if (records.empty()) return;
    if (files_.write(records, first) != 0)
      log_.dropped_.add_shared(count);
    else
      log_.written_.add_shared(count);
  }
  void merge(const Drops& drops) {
    for (const auto& [source, count] : drops.sources) drops_.add(source, count, log_.settings_.sources);
    drops_.others += drops.others;
  }

  /// The records whose sources have not had their share; `count` becomes how many those are. Mostly all of them.
  std::string_view within_quota(const std::string& records, std::uint64_t& count, WallTime now) {
    kept_.clear();
    bool all = true;
    std::string_view rest = records;
    while (!rest.empty()) {
      std::size_t size = 0;
      const std::string_view client = TrailRecord::client_of(rest, size);
      if (size == 0) break;
      const std::string_view record = rest.substr(0, size);
      rest.remove_prefix(size);
      const auto source = source_in(client, log_.settings_.trusted_sources);
      const double at = seconds_of(now);
      const bool good = !source || (second_.spend(*source, at, size) && day_.spend(*source, at, size));
      if (good && !all) kept_ += record;
      if (good) continue;
      if (std::exchange(all, false)) kept_.assign(records, 0, static_cast<std::size_t>(record.data() - records.data()));
      drops_.add(*source, 1, log_.settings_.sources);
      log_.dropped_.add_shared();
      log_.dropped_of_source_.add_shared();
      --count;
    }
    return all ? std::string_view(records) : std::string_view(kept_);
  }

  /// Says what was not kept: the sources that lost most by name, the rest together.
  void summarize(WallTime now) {
    if (drops_.empty() || (now >= last_summary_ && now - last_summary_ < kSummaryEvery)) return;
    last_summary_ = now;
    std::vector<std::pair<TrailSource, std::uint64_t>> most(drops_.sources.begin(), drops_.sources.end());
    std::ranges::sort(most, std::greater<>(), [](const auto& one) { return one.second; });
    std::uint64_t others = drops_.others;
    for (std::size_t i = kMaxSummaries; i < most.size(); ++i) others += most[i].second;
    if (most.size() > kMaxSummaries) most.resize(kMaxSummaries);
    std::string text;
    for (const auto& [source, count] : most) text += summary(source.to_string(), count, now);
    if (others != 0) text += summary({}, others, now);
    drops_ = {};
    put(text, most.size() + (others != 0), now);
  }

  class Step final : public Runnable {
   public:
    explicit Step(LaneSide& side) : side_(side) {}
    void run() override {
      side_.stepping_ = false;
      if (side_.log_.ending_.load(std::memory_order_relaxed)) return;
      static_cast<void>(side_.files_.index_next());
      side_.index_later();
    }

   private:
    LaneSide& side_;
  };

  TrailLog& log_;
  TrailFiles files_;
  TrailQuota second_, day_;
  Drops drops_;
  WallTime last_summary_{}, last_write_{};
  std::string kept_;
  Step step_{*this};
  bool stepping_ = false;
};

/// One file at a time, so that records which came meanwhile are written in between.
void TrailLog::LaneSide::index_later() {
  if (stepping_ || !files_.wants_indexing() || log_.ending_.load(std::memory_order_relaxed)) return;
  stepping_ = true;
  log_.lane_->post(step_);
}

/// One worker's records: one string fills while the other is being written. `busy_` hands the second one back and
/// forth.
class TrailLog::Buffer final : private TimerNode, private Runnable {
 public:
  Buffer(TrailLog& log, std::uint64_t rate, std::uint64_t seed)
      : log_(log), rate_(rate), quota_(log.settings_.sources, source_rate(), source_rate(), seed) {}

  void add(Executor& executor, const TrailRecord& record) {
    executor_ = &executor;
    const std::size_t before = filling_.size();
    record.encode(filling_);
    if (!take(record, filling_.size() - before)) {
      filling_.resize(before);
      return drop(record);
    }
    if (before == 0) first_ = record.when;
    ++records_;
    if (filling_.size() >= kFlushSize)
      hand_over();
    else
      wake_within(kFlushAfter);
  }

  /// False: the disk is behind, and a later call takes it.
  bool hand_over() {
    if (!executor_) return true;
    executor_->disarm(*this);
    if (filling_.empty() && !quota_.any_dropped() && !owes_summary_) return true;
    if (busy_.load(std::memory_order_acquire)) {
      wake_within(kFlushAfter);
      return false;
    }
    owes_summary_ = quota_.any_dropped();
    std::swap(filling_, writing_);
    writing_records_ = std::exchange(records_, 0);
    writing_first_ = first_;
    writing_drops_.take(quota_, log_.settings_.sources);
    writing_at_ = executor_->wall();
    busy_.store(true, std::memory_order_relaxed);
    log_.lane_->post(*this);  // publishes what was written above
    // Nothing may come after a flood that would make the lane say what was not kept.
    if (owes_summary_) wake_within(kSummaryEvery + 1s);
    return true;
  }

  void leave() {
    if (executor_) executor_->disarm(*this);
  }

 private:
  double source_rate() const {
    const std::uint64_t half = std::max<std::uint64_t>(rate_ / 2, 1);
    return static_cast<double>(std::min(log_.settings_.source_rate.bytes, half));
  }
  bool take(const TrailRecord& record, std::uint64_t size) {
    const Instant now = executor_->now();
    const auto source = source_in(record.client, log_.settings_.trusted_sources);
    if (source && !quota_.spend(*source, seconds_of(now), size)) {
      log_.dropped_of_source_.add(executor_->index());
      return false;
    }
    return spend(now, size) && filling_.size() <= kMaxBuffer;
  }
  void drop(const TrailRecord& record) {
    log_.dropped_.add(executor_->index());
    if (const auto ip = IpAddress::parse(record.client))
      quota_.count_dropped(TrailSource::of(*ip), seconds_of(executor_->now()));
    wake_within(kSummaryEvery);
  }
  bool spend(Instant now, std::uint64_t size) {
    const auto rate = static_cast<double>(rate_);
    const auto passed = last_ == Instant{} ? 1.0 : std::chrono::duration<double>(now - last_).count();
    last_ = now;
    tokens_ = std::min(rate, tokens_ + passed * rate);
    // With many workers a second's part may be less than one record: a full bucket gives it, and is in debt after it.
    if (tokens_ < std::min(static_cast<double>(size), rate)) return false;
    tokens_ -= static_cast<double>(size);
    return true;
  }
  void wake_within(Duration time) {
    const Instant when = executor_->now() + time;
    if (armed() && wakes_ <= when) return;
    if (armed()) executor_->disarm(*this);
    wakes_ = when;
    executor_->arm(*this, when);
  }
  void fire() override { hand_over(); }
  void run() override {  // on the lane
    log_.side_->write(writing_, writing_records_, writing_first_, writing_drops_, writing_at_);
    writing_drops_ = {};
    writing_.clear();
    if (writing_.capacity() > 4 * kFlushSize) writing_.shrink_to_fit();
    busy_.store(false, std::memory_order_release);
  }

  TrailLog& log_;
  Executor* executor_ = nullptr;
  std::uint64_t rate_;
  TrailQuota quota_;
  double tokens_ = 0;
  Instant last_{}, wakes_{};
  std::string filling_, writing_;
  std::uint64_t records_ = 0, writing_records_ = 0;
  WallTime first_{}, writing_first_{}, writing_at_{};
  Drops writing_drops_;
  bool owes_summary_ = false;  ///< drops were handed over, and no later call has seen that they were told
  std::atomic<bool> busy_{false};
};

class TrailLog::Tidy final : public Runnable {
 public:
  Tidy(TrailLog& log, WallTime now) : log_(log), now_(now) {}
  void run() override {
    const std::unique_ptr<Tidy> self(this);
    if (log_.ending_.load(std::memory_order_relaxed)) return;
    log_.side_->files().tidy(now_);
    log_.side_->index_later();
  }

 private:
  TrailLog& log_;
  WallTime now_;
};

TrailLog::TrailLog(TrailSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, unsigned workers,
                   Metrics& metrics, Options options)
    : settings_(std::move(settings)),
      written_(metrics.counter("postern_trail_records_total", "Trails written below state/trail.")),
      dropped_(metrics.counter("postern_trail_dropped_total", "Trails lost to a limit or a failed write.")),
      dropped_of_source_(metrics.counter("postern_trail_source_dropped_total",
                                         "Trails lost because their source had had its share; part of the above.")),
      side_(std::make_unique<LaneSide>(*this, env, std::move(dir), std::move(options))),
      lane_(std::move(lane)) {
  const std::uint64_t rate = std::max<std::uint64_t>(settings_.rate.bytes / std::max(workers, 1U), 1);
  for (unsigned i = 0; i < workers; ++i) buffers_.push_back(std::make_unique<Buffer>(*this, rate, env.random()));
}

TrailLog::~TrailLog() {
  for (const auto& buffer : buffers_) buffer->hand_over();
  for (const auto& buffer : buffers_) buffer->leave();
  ending_.store(true, std::memory_order_relaxed);
  lane_.reset();  // runs what it was given
  side_->finish();
}

void TrailLog::append(Executor& worker, const TrailRecord& record) {
  buffers_.at(worker.index())->add(worker, record);
}
bool TrailLog::flush(Executor& worker) {
  return buffers_.at(worker.index())->hand_over();
}
void TrailLog::tidy(WallTime now) {
  lane_->post(*std::make_unique<Tidy>(*this, now).release());
}
Task<TrailErased> TrailLog::erase(Person person, bool pretend) {
  co_return co_await on_lane(*lane_, [this, &person, pretend] { return side_->files().erase(person, pretend); });
}
Task<std::size_t> TrailLog::reindex() {
  co_return co_await on_lane(*lane_, [this] {
    const std::size_t files = side_->files().reindex();
    side_->index_later();
    return files;
  });
}
std::uint64_t TrailLog::dropped() const {
  return dropped_.value();
}
std::uint64_t TrailLog::dropped_of_source() const {
  return dropped_of_source_.value();
}
std::uint64_t TrailLog::written() const {
  return written_.value();
}

}  // namespace postern
