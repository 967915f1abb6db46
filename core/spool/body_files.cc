#include "core/spool/body_files.h"

#include <cerrno>
#include <utility>

namespace postern::spool {

BodyFile* BodyFiles::choose(std::uint64_t size_hint) {
  if (blank_.empty()) return nullptr;
  auto found = blank_.lower_bound(size_hint + kHeaderRoom);
  if (found == blank_.end()) --found;  // the largest: less of it has to grow
  BodyFile* body = found->second;
  blank_bytes_ -= found->first;
  blank_.erase(found);
  return body;
}

IoResult<BodyLease> BodyFiles::acquire(std::uint64_t size_hint) {
  std::scoped_lock lock(mutex_);
  take_given_back();
  BodyLease lease;
  lease.stamp = env_.random();
  lease.body = choose(size_hint);
  bool fresh = lease.body == nullptr;
  if (fresh) {
    auto free = env_.free_bytes(dir_);
    if (free && *free < min_free_ + size_hint) return std::unexpected(ENOSPC);
    lease.body = &files_[++last_number_];
    lease.body->number = last_number_;
  }
  auto file = env_.open(path(lease.body->number), OpenMode::kCreate);
  if (!file) {
    if (fresh)
      files_.erase(lease.body->number);
    else
      make_blank(*lease.body);
    return std::unexpected(file.error());
  }
  lease.body->blank = false;
  lease.file = std::move(*file);
  return lease;
}

IoResult<std::unique_ptr<File>> BodyFiles::open(std::uint32_t number) const {
  return env_.open(path(number), OpenMode::kRead);
}

void BodyFiles::grown(BodyFile& body, std::uint64_t capacity) {
  std::scoped_lock lock(mutex_);
  body.capacity = std::max(body.capacity, capacity);
}

bool BodyFiles::may_grow() {
  auto free = env_.free_bytes(dir_);
  return !free || *free >= min_free_;
}

/// The caller holds the mutex. What exceeds the bound is removed, and all of it while the disk is short; its name need
/// not be synced: should it come back after a power cut, recovery finds a blank file and bounds them again.
void BodyFiles::make_blank(BodyFile& body) {
  cool(body);
  if (blank_bytes_ + body.capacity > max_blank_ || !may_grow()) {
    env_.unlink(path(body.number));
    files_.erase(body.number);
    return;
  }
  body.blank = true;
  body.dying = false;
  blank_bytes_ += body.capacity;
  blank_.emplace(body.capacity, &body);
}

void BodyFiles::release(std::uint32_t number) {
  std::scoped_lock lock(mutex_);
  auto found = files_.find(number);
  if (found == files_.end() || found->second.blank || found->second.dying) return;
  cool(found->second);
  if (found->second.pins.load(std::memory_order_acquire) == 0) return make_blank(found->second);
  found->second.dying = true;
  dying_.push_back(&found->second);
}

void BodyFiles::give_back(BodyFile& body) {
  body.next_given_back = given_back_.load(std::memory_order_relaxed);
  while (!given_back_.compare_exchange_weak(body.next_given_back, &body, std::memory_order_release,
                                            std::memory_order_relaxed)) {
  }
}

void BodyFiles::take_given_back() {
  BodyFile* body = given_back_.exchange(nullptr, std::memory_order_acquire);
  while (body) make_blank(*std::exchange(body, body->next_given_back));
}

BodyFiles::Pinned BodyFiles::pin(std::uint32_t number) {
  std::scoped_lock lock(mutex_);
  auto found = files_.find(number);
  if (found == files_.end()) return {};
  found->second.pins.fetch_add(1, std::memory_order_relaxed);
  return {&found->second, found->second.hot};
}

/// What was kept for the readers of long ago goes first when drafts fill the room.
void BodyFiles::keep_hot(BodyFile& body, std::unique_ptr<HotBody> hot) {
  std::scoped_lock lock(mutex_);
  body.hot = std::move(hot);
  body.hot_at = hot_.insert(hot_.end(), &body);
  while (room_->taken() > room_->limit() - room_->limit() / 4 && hot_.size() > 1) cool(*hot_.front());
}

/// The caller holds the mutex. Readers that have the octets keep them.
void BodyFiles::cool(BodyFile& body) {
  if (!body.hot) return;
  hot_.erase(body.hot_at);
  body.hot.reset();
}

void BodyFiles::tidy() {
  std::scoped_lock lock(mutex_);
  take_given_back();
  std::erase_if(dying_, [&](BodyFile* body) {
    if (body->pins.load(std::memory_order_acquire) != 0) return false;
    make_blank(*body);
    return true;
  });
}

void BodyFiles::found(std::uint32_t number, std::uint64_t capacity, bool in_use) {
  std::scoped_lock lock(mutex_);
  last_number_ = std::max(last_number_, number);
  BodyFile& body = files_[number];
  body.number = number;
  body.capacity = capacity;
  body.named = true;
  body.blank = false;
  if (!in_use) make_blank(body);
}

BodyFiles::Counts BodyFiles::counts() const {
  std::scoped_lock lock(mutex_);
  Counts counts{
      .files = files_.size(), .blank_files = blank_.size(), .blank_bytes = blank_bytes_, .hot_bytes = room_->taken()};
  for (const auto& [number, body] : files_) counts.bytes += body.capacity;
  return counts;
}

}  // namespace postern::spool
