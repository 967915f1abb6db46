#include "core/spool/keeper.h"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "core/spool/footer.h"

namespace postern::spool {

namespace {

constexpr std::uint32_t kMovesInFlight = 16;
constexpr std::size_t kCollectStep = 4096;    ///< index entries looked at under one hold of the mutex
constexpr std::uint64_t kSparseFraction = 4;  ///< a segment less than a quarter live is worth moving
/// The newest full segments have no footer yet: most mail is gone soon, and a segment that nothing lives in needs none.
constexpr std::size_t kUnfooted = 1;
constexpr std::uint64_t kLogToLive = 4;  ///< the log may be this many times its live octets, and four segments

class MoveRequest final : public JournalRequest {
 public:
  MoveRequest(Keeper& keeper, std::string octets)
      : JournalRequest(Kind::kMove), octets_(std::move(octets)), keeper_(keeper) {}
  void completed() override {
    Keeper& keeper = keeper_;
    const bool failed = failure.has_value();
    delete this;
    keeper.moved(failed);
  }
  const std::string octets_;  ///< the record as it was read

 private:
  Keeper& keeper_;
};

/// Ends a message that cannot be read any more; nobody waits for it.
class EndRequest final : public JournalRequest {
 public:
  explicit EndRequest(std::uint64_t id) : JournalRequest(Kind::kChange) {
    header.id = id;
    header.type = type_of(Mark::kRecall);
    header.recipient = kEveryRecipient;
  }
  void completed() override { delete this; }
};

}  // namespace

void Keeper::poke() {
  if (!stopping_ && !scheduled_.exchange(true, std::memory_order_acq_rel)) lane_.post(work_);
}

void Keeper::sealed(SegmentPtr segment) {
  std::scoped_lock lock(mutex_);
  std::uint64_t sequence = segment->sequence;
  sealed_.push_back({std::move(segment), sequence});
}

void Keeper::moved(bool failed) {
  if (failed) starved_ = true;
  moving_.fetch_sub(1, std::memory_order_acq_rel);
  poke();
}

void Keeper::look() {
  bool work = wants_segment() || pick() != nullptr;
  if (!work) {
    std::scoped_lock lock(mutex_);
    work = sealed_.size() > kUnfooted;
  }
  if (!work) {
    std::scoped_lock lock(store_.mutex);
    work = store_.spares.size() > store_.spares_wanted() + kSpareSlack;
  }
  store_.bodies.tidy();
  if (work) poke();
}

void Keeper::work() {
  scheduled_.exchange(false, std::memory_order_acq_rel);
  if (stopping_) return;
  make_spares();
  write_footers();
  compact();
  trim_spares();
}

bool Keeper::wants_segment() {
  {
    std::scoped_lock lock(store_.mutex);
    if (store_.latched || store_.spares.size() + store_.retired.size() >= store_.spares_wanted()) return false;
  }
  auto free = store_.env.free_bytes(store_.segment_dir);
  return !free || *free >= store_.settings.segment_size + store_.settings.min_free;
}

void Keeper::make_spares() {
  while (!stopping_ && wants_segment()) {
    auto segment = store_.make_segment();
    if (!segment) {
      if (segment.error() != ENOSPC && segment.error() != EDQUOT)
        disk_fault(store_, segment.error(), "making a spare segment");
      return;
    }
    std::scoped_lock lock(store_.mutex);
    store_.spares.push_back(std::move(*segment));
  }
}

void Keeper::trim_spares() {
  while (true) {
    SegmentPtr excess;
    {
      std::scoped_lock lock(store_.mutex);
      if (store_.spares.size() <= store_.spares_wanted() + kSpareSlack) return;
      excess = std::move(store_.spares.back());
      store_.spares.pop_back();
    }
    store_.remove_segment(*excess);
  }
}

void Keeper::write_footers() {
  while (!stopping_) {
    Sealed sealed;
    {
      std::scoped_lock lock(mutex_);
      if (sealed_.size() <= kUnfooted) return;
      sealed = std::move(sealed_.front());
      sealed_.pop_front();
    }
    if (!pin(sealed)) continue;
    write_footer(*sealed.segment);  // a missing footer costs time at the next start, nothing else
    sealed.segment->pins.fetch_sub(1, std::memory_order_release);
  }
}

/// Keeps a segment from being written again. False when nothing lives in it any more, or it has been already.
bool Keeper::pin(const Sealed& sealed) {
  std::scoped_lock lock(store_.mutex);
  if (sealed.segment->sequence != sealed.sequence || sealed.segment->live == 0) return false;
  sealed.segment->pins.fetch_add(1, std::memory_order_relaxed);
  return true;
}

/// The oldest segment, when moving what lives in it pays.
SegmentPtr Keeper::pick() {
  if (starved_ || store_.latched) return nullptr;
  std::scoped_lock lock(store_.mutex);
  if (store_.log.size() < 2) return nullptr;
  const SegmentPtr& oldest = store_.log.front();
  std::uint64_t segment_size = store_.settings.segment_size;
  bool sparse = oldest->live_bytes * kSparseFraction < oldest->used;
  bool log_too_long = store_.log.size() * segment_size > kLogToLive * (store_.index.record_bytes() + segment_size);
  return sparse || log_too_long ? oldest : nullptr;
}

void Keeper::collect_victims(const SegmentPtr& segment) {
  std::scoped_lock lock(store_.mutex);
  const Index::Entries& entries = store_.index.entries();
  auto at = entries.upper_bound(cursor_);
  for (std::size_t i = 0; i < kCollectStep && at != entries.end(); ++i, ++at) {
    if (at->second.segment == segment.get()) victims_.push_back(at->first);
    cursor_ = at->first;
  }
  collected_ = at == entries.end();
}

void Keeper::compact() {
  if (!compacting_) {
    compacting_ = pick();
    if (!compacting_) return;
    cursor_ = 0;
    collected_ = false;
    victims_.clear();
  }
  while (!stopping_ && !collected_) collect_victims(compacting_);
  while (!stopping_ && !victims_.empty() && moving_.load(std::memory_order_acquire) < kMovesInFlight) {
    std::uint64_t id = victims_.back();
    victims_.pop_back();
    moving_.fetch_add(1, std::memory_order_acq_rel);
    if (!move(id)) moving_.fetch_sub(1, std::memory_order_acq_rel);
  }
  if (victims_.empty() && moving_.load(std::memory_order_acquire) == 0) compacting_ = nullptr;
}

/// Reads a message's record and asks the journal to write it again. False when there is nothing to wait for.
bool Keeper::move(std::uint64_t id) {
  std::uint64_t offset;
  std::string octets;
  {
    std::scoped_lock lock(store_.mutex);
    const Index::Entry* entry = store_.index.find(id);
    if (!entry || entry->segment != compacting_.get()) return false;
    offset = entry->offset;
    octets.resize(entry->length);
  }
  auto got = compacting_->file->read(octets, offset);
  if (!got) {
    disk_fault(store_, got.error(), "reading a message to move it");
    return false;
  }
  auto header = take<RecordHeader>(octets);
  auto head = header ? take<AcceptHead>(octets, sizeof(RecordHeader)) : std::nullopt;
  if (*got != octets.size() || !head || !whole_record(octets, compacting_->stamp) || header->id != id) {
    store_.set_aside(fmt::format("{}.record", MessageId(id).to_string()), octets);
    store_.report(SpoolReport::Kind::kDamage, "unreadable in the log; its octets were put into damaged/",
                  MessageId(id));
    journal_.push(*new EndRequest(id));
    return false;
  }
  auto* request = new MoveRequest(*this, std::move(octets));
  request->header = *header;
  request->header.flags |= kFlagMoved;
  request->head = *head;
  request->payload = {std::string_view(request->octets_).substr(sizeof(RecordHeader), header->length)};
  request->moved_from = compacting_.get();
  request->moved_offset = offset;
  journal_.push(*request);
  return true;
}

}  // namespace postern::spool
