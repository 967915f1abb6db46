#include "core/spool/segment_spool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "core/spool/change_request.h"
#include "core/spool/query.h"
#include "core/spool/reader.h"
#include "core/spool/recovery.h"

namespace postern {

Spool::~Spool() = default;

namespace spool {

namespace {

constexpr std::uint64_t kMinSegment = 16 * 1024;
constexpr std::uint64_t kMaxSegment = 1ULL << 30;
constexpr std::uint32_t kCrashesAlone = 2;      // the last of them with nothing else under way
constexpr std::uint32_t kCrashesInCompany = 3;  // whatever else was under way

std::unexpected<Fault> cannot(std::string_view what, int error) {
  return fault("spool.open", fmt::format("{}: {}", what, std::generic_category().message(error)));
}

/// A record must leave room for others in its segment, whatever the settings say.
SpoolSettings within_reason(SpoolSettings settings) {
  settings.segment_size = round_up(std::clamp(settings.segment_size, kMinSegment, kMaxSegment), kPage);
  settings.large_body_threshold = std::min(settings.large_body_threshold, settings.segment_size / 4);
  settings.header_limit = std::min<std::size_t>(settings.header_limit, settings.segment_size / 8);
  return settings;
}

}  // namespace

SegmentSpool::SegmentSpool(SpoolSettings settings, SpoolHost host, Report report)
    : store_(within_reason(std::move(settings)), host.env, std::move(report)),
      journal_lane_(std::move(host.journal)),
      keeper_lane_(std::move(host.keeper)),
      journal_(store_, *journal_lane_),
      keeper_(store_, journal_, *keeper_lane_) {}

SegmentSpool::~SegmentSpool() {
  for (auto& part : parts_)
    if (part) part->home.disarm(part->timer);
  keeper_.stop();
  keeper_lane_.reset();
  journal_lane_.reset();
  if (started_) journal_.run_now();  // lazy marks, and moves that were under way
}

Result<void> SegmentSpool::make_folders() {
  const std::string& dir = store_.settings.dir;
  for (const std::string& path : {dir, store_.segment_dir, dir + "/bodies"})
    if (int error = store_.env.make_dir(path)) return cannot(path, error);
  if (int error = store_.env.sync_dir(dir)) return cannot(dir, error);
  return {};
}

Result<void> SegmentSpool::start() {
  if (auto made = make_folders(); !made) return made;
  int holder = 0;
  auto lock = store_.env.lock(store_.settings.dir + "/lock", holder);
  if (!lock && lock.error() == EWOULDBLOCK)
    return fault("spool.locked", fmt::format("{} is in use by process {}", store_.settings.dir, holder));
  if (!lock) return cannot("lock", lock.error());
  lock_ = std::move(*lock);
  auto recovered = recover(store_);
  if (!recovered) return std::unexpected(recovered.error());
  auto handled = store_.env.map(store_.settings.dir + "/handling", kMaxWorkers * kHandlingSlots);
  if (!handled) return cannot("handling", handled.error());
  handled_ = std::move(*handled);
  journal_.start(keeper_, recovered->previous_batch, recovered->last_batch);
  if (auto head = ensure_head(); !head) return head;
  started_ = true;
  judge_handled();
  keeper_.look();
  return {};
}

/// The journal needs a segment to write to, and wants one to go on to.
Result<void> SegmentSpool::ensure_head() {
  if (!store_.log.empty()) return {};
  if (store_.spares.empty()) {
    auto segment = store_.make_segment();
    if (!segment) return cannot("making the first segment", segment.error());
    store_.spares.push_back(std::move(*segment));
  }
  journal_.begin_first();
  return {};
}

/// A message that was being handled when the process died may be why it died, as may any other beside it. It is held
/// when it was tried again alone and the process died once more, or after a third time.
void SegmentSpool::judge_handled() {
  std::span<std::uint64_t> slots = handled_->words();
  for (std::size_t at = 0; at < slots.size(); ++at) {
    std::uint64_t id = std::exchange(slots[at], 0);
    const Index::Entry* entry = id == 0 ? nullptr : store_.index.find(id);
    if (!entry) continue;
    std::uint32_t crashes = entry->crashes + 1;
    push_unattended({.id = MessageId(id), .mark = Mark::kHandling, .count = crashes});
    const bool alone = at % kHandlingSlots == kAloneSlot;
    if (crashes < (alone ? kCrashesAlone : kCrashesInCompany)) continue;
    std::string why = fmt::format("poison: the server died {} times while it handled this message{}", crashes,
                                  alone ? ", the last time with nothing else under way" : "");
    push_unattended({.id = MessageId(id), .mark = Mark::kHold, .time = WallTime::max(), .text = why});
    store_.report(SpoolReport::Kind::kPoison, why + "; it is held", MessageId(id));
  }
  journal_.run_now();
}

void SegmentSpool::push_unattended(Change change) {
  journal_.push_lazily(*new UnattendedChange(std::move(change)));
}

SegmentSpool::WorkerPart& SegmentSpool::part(Executor& home) {
  auto& slot = parts_.at(home.index());
  if (!slot) slot = std::make_unique<WorkerPart>(home, journal_);
  return *slot;
}

Draft SegmentSpool::begin(Executor& home, std::uint64_t size_hint) {
  WorkerPart& mine = part(home);
  MessageId id = mine.ids.next(home.wall(), store_.id_floor);
  return Draft(std::make_unique<Draft::Impl>(home, id, size_hint, static_cast<DraftHost&>(*this), mine.chunks));
}

SpoolWait<MessageReader> SegmentSpool::open(Executor& home, MessageId id) {
  return open_message(store_, home, id);
}

SpoolWait<void> SegmentSpool::change(Executor& home, Change change) {
  return SpoolWait<void>(new ChangeOp(journal_, home, std::move(change)));
}

void SegmentSpool::change_lazily(Executor& home, Change change) {
  WorkerPart& mine = part(home);
  push_unattended(std::move(change));
  if (!mine.timer.armed()) home.arm(mine.timer, home.now() + store_.settings.lazy_flush_interval);
}

SpoolWait<std::vector<MessageInfo>> SegmentSpool::list(Executor& home, MessageId after, std::size_t limit) {
  return query<std::vector<MessageInfo>>(home, [this, after, limit] {
    std::vector<MessageInfo> out;
    std::scoped_lock lock(store_.mutex);
    const Index::Entries& entries = store_.index.entries();
    for (auto at = entries.upper_bound(after.value()); at != entries.end() && out.size() < limit; ++at)
      out.push_back(Index::info(at->first, at->second));
    return out;
  });
}

SpoolWait<SpoolStats> SegmentSpool::stats(Executor& home) {
  return query<SpoolStats>(home, [this] { return count(); });
}

SpoolStats SegmentSpool::count() {
  BodyFiles::Counts bodies = store_.bodies.counts();
  std::scoped_lock lock(store_.mutex);
  SpoolStats stats = store_.counters;
  stats.messages = store_.index.entries().size();
  stats.recipients = store_.index.waiting();
  stats.message_bytes = store_.index.content_bytes();
  stats.segments = store_.log.size();
  stats.spare_segments = store_.spares.size() + store_.retired.size();
  stats.body_files = bodies.files;
  stats.blank_body_files = bodies.blank_files;
  stats.blank_body_bytes = bodies.blank_bytes;
  stats.hot_body_bytes = bodies.hot_bytes;
  stats.disk_bytes = bodies.bytes + (stats.segments + stats.spare_segments) * store_.settings.segment_size;
  return stats;
}

Handling SegmentSpool::handling(Executor& home, MessageId id, bool alone) {
  WorkerPart& mine = part(home);
  std::span<std::uint64_t> slots = handled_->words().subspan(home.index() * kHandlingSlots, kHandlingSlots);
  if (alone) return Handling(&slots[kAloneSlot], id.value());
  for (std::size_t tries = 0; tries < kAloneSlot; ++tries) {
    std::uint64_t& slot = slots[mine.next_slot++ % kAloneSlot];
    if (slot == 0) return Handling(&slot, id.value());
  }
  return {};
}

}  // namespace spool

Result<OpenedSpool> open_spool(SpoolSettings settings, SpoolHost host) {
  // Reports of the recovery are returned as well as told; the list dies with this call, so the flag must outlive it.
  auto gathered = std::make_shared<std::vector<SpoolReport>>();
  auto opening = std::make_shared<std::atomic<bool>>(true);
  spool::Report report = [gathered, opening, tell = std::move(host.report)](const SpoolReport& what) {
    if (*opening) gathered->push_back(what);
    if (tell) tell(what);
  };
  auto opened = std::make_unique<spool::SegmentSpool>(std::move(settings), std::move(host), std::move(report));
  if (auto started = opened->start(); !started) return std::unexpected(started.error());
  *opening = false;
  return OpenedSpool{std::move(opened), std::move(*gathered)};
}

}  // namespace postern
