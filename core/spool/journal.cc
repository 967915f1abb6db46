#include "core/spool/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/spool/keeper.h"

namespace postern::spool {

namespace {

constexpr std::array<char, kPage> kZeros{};
/// Each segment keeps room for two ends of batches: its own last one, and an empty batch that makes it known that
/// older segments are free when there is no other place left to say so.
constexpr std::uint64_t kTailRoom = 2 * kEndRecordSize;
constexpr std::uint32_t kAskEvery = 64;  ///< messages between two questions for the disk's free room

std::string_view zeros(std::uint64_t count) {
  return {kZeros.data(), count};
}

std::uint32_t payload_crc(const RecordHeader& header, std::span<const std::string_view> payload) {
  std::uint32_t crc = 0;
  std::uint64_t left = header.covered;
  for (std::string_view part : payload) {
    if (left == 0) break;
    part = part.substr(0, left);
    crc = checksum(part, crc);
    left -= part.size();
  }
  return crc;
}

}  // namespace

void JournalRequest::run() {
  for (JournalRequest* request = this; request;) std::exchange(request, request->chain_)->completed();
}

void Journal::push_lazily(JournalRequest& request) {
  if (request.kind() != JournalRequest::Kind::kMove)
    request.header.payload_crc = payload_crc(request.header, request.payload);
  request.link_ = stack_.load(std::memory_order_relaxed);
  while (!stack_.compare_exchange_weak(request.link_, &request, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

void Journal::push(JournalRequest& request) {
  push_lazily(request);
  flush();
}

void Journal::flush() {
  if (!scheduled_.exchange(true, std::memory_order_acq_rel)) lane_.post(work_);
}

void Journal::run_now() {
  scheduled_.exchange(false, std::memory_order_acq_rel);  // from here on a push posts again
  std::scoped_lock lock(run_mutex_);
  for (collect(); queue_; collect()) write_batch();
}

/// Takes the whole stack and appends it to the queue, oldest first.
void Journal::collect() {
  JournalRequest* newest = stack_.exchange(nullptr, std::memory_order_acquire);
  JournalRequest* first = nullptr;
  JournalRequest* last = newest;
  while (newest) {
    JournalRequest* older = newest->link_;
    newest->link_ = first;
    first = std::exchange(newest, older);
  }
  if (!first) return;
  (queue_ ? queue_end_->link_ : queue_) = first;
  queue_end_ = last;
}

JournalRequest* Journal::pop() {
  JournalRequest* request = queue_;
  queue_ = request->link_;
  return request;
}

void Journal::fail(JournalRequest& request, Fault fault) {
  request.failure = std::move(fault);
  finished_.push_back(&request);
}

void Journal::write_batch() {
  while (queue_) {
    if (store_.latched) {
      fail(*pop(), {"spool.latched", "an earlier write or sync failed"});
      continue;
    }
    JournalRequest& request = *queue_;
    bool is_move = request.kind() == JournalRequest::Kind::kMove;
    std::uint64_t size = is_move ? prepare_move(request) : record_size(request.header.length);
    Fit fits = size == 0 ? Fit::kYes : fit(request, size);
    if (fits == Fit::kNextBatch) break;
    pop();
    if (fits == Fit::kYes && size != 0)
      add(request, size);
    else if (fits == Fit::kYes)
      finished_.push_back(&request);  // a move that has nothing left to move
    else if (fits == Fit::kNever)
      fail(request, {"spool.too_large", fmt::format("{} octets in one record", size)});
    else
      fail(request, {"spool.full", "no room for another segment"});
  }
  if (!members_.empty()) {
    end_batch();
    if (int error = write_and_sync()) {
      std::string why =
          fmt::format("segment {}: {}", store_.log.back()->number, std::generic_category().message(error));
      store_.latch(why);
      for (JournalRequest* request : members_) fail(*request, {"spool.latched", why});
    } else {
      apply();
      finished_.insert(finished_.end(), members_.begin(), members_.end());
    }
    members_.clear();
    parts_.clear();
    bytes_ = records_ = 0;
    segment_header_.clear();
  }
  complete_all();
  keeper_->look();
}

/// Whether a request can join the batch in the making; goes on to the next segment for the first of a batch.
Journal::Fit Journal::fit(JournalRequest& request, std::uint64_t size) {
  if (size + kHeaderRoom + kTailRoom > store_.settings.segment_size) return Fit::kNever;
  if (!admit(request, bytes_ + size)) return Fit::kFull;
  // A move repeats the message's marks as the index knows them, and the index learns of this batch's only at its end.
  bool marked = request.kind() == JournalRequest::Kind::kMove &&
                std::ranges::any_of(members_, [&](auto* member) { return member->header.id == request.header.id; });
  if (marked) return Fit::kNextBatch;
  const Segment& head = *store_.log.back();
  if (head.used + bytes_ + size + kTailRoom <= head.size) return Fit::kYes;
  if (!members_.empty()) return Fit::kNextBatch;
  return roll() ? Fit::kYes : Fit::kFull;
}

/// Whether `size` octets more leave room for the marks that will end all messages, so that a full disk can drain.
bool Journal::has_room(std::uint64_t size, std::uint64_t reserve) {
  std::scoped_lock lock(store_.mutex);
  const Segment& head = *store_.log.back();
  std::uint64_t usable = store_.settings.segment_size - kHeaderRoom - kTailRoom;
  std::uint64_t rest = head.size - std::min(head.size, head.used + kTailRoom);
  // One that is still read may be for as long as a slow host takes its mail.
  const auto unread = std::ranges::count_if(
      store_.retired, [](const SegmentPtr& segment) { return segment->pins.load(std::memory_order_acquire) == 0; });
  const std::uint64_t others = (store_.spares.size() + static_cast<std::uint64_t>(unread)) * usable;
  // What does not fit into the head is lost to this message.
  std::uint64_t room = rest >= size ? rest - size + others : others >= size ? others - size : 0;
  return room >= reserve;
}

/// The segments are there already, but the file system's last room is for what must be written beside them. Asked for
/// every few messages, and for each while it is short.
bool Journal::disk_is_short() {
  if (!disk_short_ && ++unasked_ < kAskEvery) return false;
  unasked_ = 0;
  auto is_short = [&] {
    auto free = store_.env.free_bytes(store_.segment_dir);
    return free && *free < store_.settings.min_free;
  };
  disk_short_ = is_short();
  if (!disk_short_) return false;
  store_.bodies.tidy();  // what a refused body took goes back first
  return disk_short_ = is_short();
}

/// The marks that end something may use all that accepting leaves alone. A move may use half of it: it makes room in
/// the end; so may a final dot, without which no mail for others would drain, but which comes with each attempt.
/// Attempts' own marks use none.
bool Journal::admit(const JournalRequest& request, std::uint64_t size) {
  const auto kind = request.kind();
  const bool accepts = kind == JournalRequest::Kind::kAccept;
  const bool dot = kind == JournalRequest::Kind::kChange && request.header.type == type_of(Mark::kDotSent);
  if (kind == JournalRequest::Kind::kChange && !dot && request.header.type != type_of(Mark::kAttempt)) return true;
  const bool half = dot || kind == JournalRequest::Kind::kMove;
  const std::uint64_t reserve = [&] {
    std::scoped_lock lock(store_.mutex);
    return store_.reserve() / (half ? 2 : 1);
  }();
  const bool disk_short = accepts && disk_is_short();
  const bool ok = !disk_short && (has_room(size, reserve) || (take_spare() && has_room(size, reserve)));
  if (accepts) note_room(ok, disk_short);
  return ok;
}

/// What status and log say of the disk.
void Journal::note_room(bool ok, bool disk_short) {
  if (ok) {
    store_.full = false;
    return;
  }
  bool first = !store_.full.exchange(true);
  {
    std::scoped_lock lock(store_.mutex);
    ++store_.counters.full_refusals;
  }
  if (!first) return;
  std::string_view why = disk_short ? "less than min_free is left" : "no room for another segment";
  store_.report(SpoolReport::Kind::kFull, fmt::format("{}; nothing is accepted until there is", why));
}

/// Makes a spare segment here and now, because the keeper has not been fast enough. False when the disk is full.
bool Journal::take_spare() {
  auto segment = store_.make_segment();
  if (!segment) {
    if (segment.error() != ENOSPC && segment.error() != EDQUOT) disk_fault(store_, segment.error(), "making a segment");
    return false;
  }
  std::scoped_lock lock(store_.mutex);
  store_.spares.push_back(std::move(*segment));
  return true;
}

/// Goes on to the next segment. Only between batches.
bool Journal::roll() {
  bool none;
  bool retired;
  {
    std::scoped_lock lock(store_.mutex);
    // What was still read when it was freed may be free by now, and nothing looks while nothing is written.
    if (store_.spares.empty()) release_segments();
    none = store_.spares.empty();
    const Segment& head = *store_.log.back();
    retired = !store_.retired.empty() && head.used + kEndRecordSize <= head.size;
  }
  if (none && retired) {
    // Free segments there are, but a power cut would not know it yet: an empty batch says so in the room kept for it.
    end_batch();
    if (int error = write_and_sync()) {
      store_.latch(fmt::format("rolling: {}", std::generic_category().message(error)));
      return false;
    }
    apply();
    parts_.clear();
    bytes_ = records_ = 0;
    segment_header_.clear();
    std::scoped_lock lock(store_.mutex);
    none = store_.spares.empty();
  }
  if (none && !take_spare()) return false;
  keeper_->sealed(store_.log.back());
  std::scoped_lock lock(store_.mutex);
  SegmentPtr next = std::move(store_.spares.back());
  store_.spares.pop_back();
  begin_segment(std::move(next));
  return true;
}

void Journal::begin_first() {
  std::scoped_lock lock(store_.mutex);
  SegmentPtr first = std::move(store_.spares.back());
  store_.spares.pop_back();
  begin_segment(std::move(first));
}

/// The caller holds the store's mutex.
void Journal::begin_segment(SegmentPtr segment) {
  segment->sequence = ++store_.last_sequence;
  segment->stamp = store_.env.random();
  segment->used = kHeaderRoom;
  segment->live = segment->live_bytes = 0;
  store_.log.push_back(std::move(segment));
}

/// A moved message takes its marks along, as they are now; returns the octets of all, 0 when it is gone or elsewhere.
std::uint64_t Journal::prepare_move(JournalRequest& request) {
  std::scoped_lock lock(store_.mutex);
  const Index::Entry* entry = store_.index.find(request.header.id);
  if (!entry || entry->segment != request.moved_from || entry->offset != request.moved_offset) return 0;
  request.marks_.clear();
  request.mark_texts_.clear();
  Index::marks(request.header.id, *entry, request.marks_, request.mark_texts_);
  std::uint64_t size = record_size(request.header.length);
  for (const std::string& text : request.mark_texts_) size += record_size(text.size());
  return size;
}

void Journal::add(JournalRequest& request, std::uint64_t) {
  request.offset_ = store_.log.back()->used + bytes_;
  request.size_ = record_size(request.header.length);
  add_record(request.header, request.payload);
  for (std::size_t i = 0; i < request.marks_.size(); ++i) {
    RecordHeader& mark = request.marks_[i];
    std::string_view text = request.mark_texts_[i];
    mark.length = mark.covered = static_cast<std::uint32_t>(text.size());
    mark.payload_crc = checksum(text);
    add_record(mark, {&text, 1});
  }
  if (request.kind() != JournalRequest::Kind::kChange) last_id_ = std::max(last_id_, request.header.id);
  members_.push_back(&request);
}

void Journal::add_record(RecordHeader& header, std::span<const std::string_view> payload) {
  header.stamp = store_.log.back()->stamp;
  header.batch = batch_ + 1;
  seal(header);
  parts_.push_back(octets_of(header));
  parts_.insert(parts_.end(), payload.begin(), payload.end());
  std::uint64_t size = record_size(header.length);
  if (std::uint64_t padding = size - sizeof(RecordHeader) - header.length) parts_.push_back(zeros(padding));
  bytes_ += size;
  ++records_;
}

void Journal::end_batch() {
  const Segment& head = *store_.log.back();
  {
    std::scoped_lock lock(store_.mutex);
    first_sequence_ = store_.log.front()->sequence;
  }
  end_ = {.first_sequence = first_sequence_, .last_id = std::max(last_id_, store_.id_floor.load())};
  end_header_ = {.length = sizeof(BatchEnd),
                 .type = static_cast<std::uint8_t>(RecordType::kEndOfBatch),
                 .time = static_cast<std::int64_t>(previous_),
                 .count = records_ + 1,
                 .covered = sizeof(BatchEnd)};
  std::string_view payload = octets_of(end_);
  end_header_.payload_crc = checksum(payload);
  add_record(end_header_, {&payload, 1});
  if (head.used != kHeaderRoom) return;
  SegmentHeader header{.sequence = head.sequence,
                       .stamp = head.stamp,
                       .size = head.size,
                       .previous_batch = previous_,
                       .first_sequence = first_sequence_,
                       .last_id = end_.last_id};
  seal(header);
  segment_header_.assign(octets_of(header));
  segment_header_.resize(kHeaderRoom);
}

/// One write, one sync. The write ends on a page, so that a recycled segment's old pages need not be read first; what
/// it fills up with is written again by the next batch.
int Journal::write_and_sync() {
  Segment& head = *store_.log.back();
  std::uint64_t begin = head.used;
  std::uint64_t end = head.used + bytes_;
  if (!segment_header_.empty()) {
    parts_.insert(parts_.begin(), std::string_view(segment_header_));
    begin = 0;
  }
  std::uint64_t padded = std::min(round_up(end, kPage), head.size);
  if (padded > end) parts_.push_back(zeros(padded - end));
  if (int error = head.file->write(parts_, begin)) return error;
  if (int error = head.file->sync()) return error;
  previous_ = ++batch_;
  std::scoped_lock lock(store_.mutex);
  head.used = end;
  ++store_.counters.batches;
  return 0;
}

void Journal::apply() {
  std::scoped_lock lock(store_.mutex);
  for (JournalRequest* request : members_) apply(*request);
  release_segments();
}

void Journal::apply(JournalRequest& request) {
  if (request.kind() == JournalRequest::Kind::kChange) {
    ++store_.counters.marks;
    std::string_view text = request.payload.empty() ? std::string_view() : request.payload.front();
    if (std::uint32_t body_file = store_.index.change(request.header, text)) store_.bodies.release(body_file);
    return;
  }
  bool moved = request.kind() == JournalRequest::Kind::kMove;
  ++(moved ? store_.counters.moved : store_.counters.commits);
  // A move finds its entry, label and all; of an accept the second part is the envelope.
  std::string_view envelope = moved || request.payload.size() < 2 ? std::string_view() : request.payload[1];
  store_.index.accept(request.header.id, request.head, *store_.log.back(), request.offset_, request.size_, envelope);
}

/// Free segments leave the log in order, oldest first: so a mark that ended a message is never gone before the
/// message's accept is. They may be written again once a synced batch has said that the log begins after them.
void Journal::release_segments() {
  std::erase_if(store_.retired, [&](SegmentPtr& segment) {
    if (segment->sequence >= first_sequence_ || segment->pins.load(std::memory_order_acquire) != 0) return false;
    if (segment->size == store_.settings.segment_size)
      store_.spares.push_back(std::move(segment));
    else
      store_.remove_segment(*segment);
    return true;
  });
  while (store_.log.size() > 1 && store_.log.front()->live == 0) {
    store_.retired.push_back(std::move(store_.log.front()));
    store_.log.pop_front();
    keeper_->room_made();
  }
}

/// One post per worker: the first request for it carries the others.
void Journal::complete_all() {
  struct Group {
    Executor* home;
    JournalRequest* first;
    JournalRequest* last;
  };
  std::vector<Group> groups;
  for (JournalRequest* request : finished_) {
    request->chain_ = nullptr;
    auto group = std::ranges::find(groups, request->home, &Group::home);
    if (group == groups.end()) {
      groups.push_back({request->home, request, request});
    } else {
      group->last->chain_ = request;
      group->last = request;
    }
  }
  finished_.clear();
  for (const Group& group : groups) {
    if (group.home)
      group.home->post_remote(*group.first);
    else
      static_cast<Runnable*>(group.first)->run();
  }
}

}  // namespace postern::spool
