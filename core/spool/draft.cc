#include "core/spool/draft.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace postern {

namespace {
constexpr std::array<char, spool::kPage> kZeros{};
}

Draft::Draft(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Draft::Draft(Draft&&) noexcept = default;
Draft& Draft::operator=(Draft&& other) noexcept {
  if (this != &other) {
    Impl::abandon(std::move(impl_));
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Draft::~Draft() {
  Impl::abandon(std::move(impl_));
}

MessageId Draft::id() const {
  return impl_->id;
}
Draft::Append Draft::append(std::string_view chunk) {
  return Append(*impl_, chunk);
}
std::uint64_t Draft::size() const {
  return impl_->prefix.size() + impl_->header.size() + impl_->body_size;
}
std::string_view Draft::header() const {
  return impl_->header;
}
bool Draft::header_complete() const {
  return impl_->header_complete;
}
void Draft::replace_header(std::string header) {
  impl_->header = std::move(header);
}
std::string_view Draft::prefix() const {
  return impl_->prefix;
}
void Draft::prepend(std::string_view fields) {
  impl_->prefix.insert(0, fields);
}
std::uint64_t Draft::body_size() const {
  return impl_->body_size;
}
SpoolWait<std::string> Draft::read_body(std::uint64_t offset, std::size_t limit) {
  return impl_->read_body(offset, limit);
}
SpoolWait<MessageId> Draft::commit(AcceptMeta meta) {
  return impl_->commit(std::move(meta));
}

bool Draft::Append::ready() {
  if (!draft_.take(chunk_)) return false;
  result = draft_.failed() ? Result<void>(std::unexpected(*draft_.failed())) : Result<void>();
  return true;
}
void Draft::Append::start() {
  draft_.wait_to_append(*this);
}

Draft::Impl::Impl(Executor& home, MessageId the_id, std::uint64_t size_hint, spool::DraftHost& host,
                  std::shared_ptr<spool::ChunkPool> pool)
    : id(the_id), home_(home), host_(host), pool_(std::move(pool)), size_hint_(size_hint) {}

Draft::Impl::~Impl() {
  pool_->give(pending_);
  pool_->give(write_.chunks);
  if (lease_.body && !body_taken_) host_.store()->bodies.give_back(*lease_.body);
}

void Draft::Impl::abandon(std::unique_ptr<Impl> impl) {
  if (!impl || (!impl->writing_ && !impl->committing_)) return;
  impl->abandoned_ = true;
  static_cast<void>(impl.release());  // the end of the write, or of the commit, deletes it
}

bool Draft::Impl::large() const {
  return host_.store() && body_size > host_.settings().large_body_threshold;
}

bool Draft::Impl::take(std::string_view& chunk) {
  if (!header_complete) chunk.remove_prefix(take_header(chunk));
  while (!chunk.empty() && !failed_) {
    if (behind()) return false;
    std::size_t some = std::min(chunk.size(), spool::kLargeChunk);
    put_body(chunk.substr(0, some));
    chunk.remove_prefix(some);
    if (!writing_ && large() && pending_octets_ >= spool::kBodyWriteSize) start_write(false);
  }
  return true;
}

/// Moves octets into `header` until the empty line or the limit; what went over is given to the body. Returns how many
/// octets of `chunk` are dealt with.
std::size_t Draft::Impl::take_header(std::string_view chunk) {
  std::size_t before = header.size();
  std::size_t limit = host_.settings().header_limit;
  std::size_t some = std::min(chunk.size(), limit - std::min(limit, before));
  header.append(chunk.substr(0, some));
  std::size_t end = header.starts_with("\r\n") ? 0 : header.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == std::string::npos) {
    header_complete = header.size() >= limit;
    return some;
  }
  header_complete = true;
  if (!header.starts_with("\r\n")) end += 2;  // the last field keeps its CRLF; the empty line is the body's
  std::string over = header.substr(end);
  header.resize(end);
  put_body(over);
  return some;
}

void Draft::Impl::put_body(std::string_view octets) {
  while (!octets.empty()) {
    if (pending_.empty() || pending_.back().room() == 0) pending_.push_back(pool_->take(body_size));
    spool::Chunk& chunk = pending_.back();
    const std::size_t some = std::min(octets.size(), chunk.room());
    std::memcpy(chunk.octets.get() + chunk.used, octets.data(), some);
    octets.remove_prefix(some);
    chunk.used += some;
    pending_octets_ += some;
    body_size += some;
  }
}

/// Gives the full chunks (the last time all of them) to the disk pool.
void Draft::Impl::start_write(bool last) {
  auto end = pending_.end();
  if (!last && pending_.back().room() != 0) --end;
  write_.last = last;
  write_.chunks.assign(std::make_move_iterator(pending_.begin()), std::make_move_iterator(end));
  write_.octets = spool::octets_in(write_.chunks);
  pending_.erase(pending_.begin(), end);
  pending_octets_ -= write_.octets;
  if (flushed_ == 0) hot_ = host_.store()->bodies.make_hot();
  flushed_ += write_.octets;
  writing_ = true;
  if (write_.submit(home_)) return;
  writing_ = false;
  fail({"spool.busy", "the disk pool's queue is full"});
}

void Draft::Impl::BodyWrite::work() {
  fault = write();
}

/// On a disk thread. Nothing else touches the lease and the checksum while a write is under way.
std::optional<Fault> Draft::Impl::BodyWrite::write() {
  spool::Store& store = *draft.host_.store();
  spool::BodyLease& lease = draft.lease_;
  if (!lease.file) {
    auto got = store.bodies.acquire(std::max(draft.size_hint_, octets));
    if (!got) return disk_fault(store, got.error(), "opening a body file");
    lease = std::move(*got);
  }
  spool::BodyHeader name{.number = lease.body->number, .stamp = lease.stamp};
  seal(name);
  std::vector<std::string_view> parts;
  std::uint64_t offset = spool::kHeaderRoom + draft.on_disk_;
  if (draft.on_disk_ == 0) {
    parts = {spool::octets_of(name), std::string_view(kZeros.data(), spool::kHeaderRoom - sizeof(name))};
    offset = 0;
  }
  for (const spool::Chunk& chunk : chunks) {
    draft.body_crc_ = spool::checksum(chunk.view(), draft.body_crc_);
    parts.push_back(chunk.view());
  }
  // Whole pages, so that overwriting a recycled file never has to read it first.
  std::uint64_t end = spool::kHeaderRoom + draft.on_disk_ + octets;
  if (std::uint64_t padding = spool::round_up(end, spool::kPage) - end) parts.emplace_back(kZeros.data(), padding);
  end = spool::round_up(end, spool::kPage);
  if (end > lease.body->capacity && !store.bodies.may_grow()) return disk_fault(store, ENOSPC, "growing a body file");
  if (int error = lease.file->write(parts, offset)) return disk_fault(store, error, "writing a body");
  store.bodies.grown(*lease.body, end);
  draft.on_disk_ += octets;
  if (!last) {
    lease.file->start_writeback(offset, end - offset);
    return std::nullopt;
  }
  if (int error = lease.file->sync()) return disk_fault(store, error, "syncing a body");
  if (!lease.body->named) {
    if (int error = store.bodies.sync_names()) return disk_fault(store, error, "syncing the folder of bodies");
    lease.body->named = true;
  }
  lease.file.reset();
  // The draft is in its commit: nobody reads it back any more.
  if (draft.hot_ && draft.hot_->keep(chunks)) store.bodies.keep_hot(*lease.body, std::move(draft.hot_));
  return std::nullopt;
}

void Draft::Impl::written() {
  writing_ = false;
  if (hot_ && (write_.last || !hot_->keep(write_.chunks))) hot_.reset();
  pool_->give(write_.chunks);
  if (abandoned_ && !committing_) {
    delete this;
    return;
  }
  if (write_.fault) fail(*write_.fault);
  if (appending_) return continue_append();
  if (committing_) {
    if (failed_) return end_commit();
    write_.last ? write_record() : start_commit();
  }
}

void Draft::Impl::continue_append() {
  if (!appending_->ready()) return;  // it waits for the next write
  std::exchange(appending_, nullptr)->run();
}

void Draft::Impl::fail(Fault fault) {
  if (!failed_) failed_ = std::move(fault);
  pool_->give(pending_);
  pending_octets_ = 0;
}

SpoolWait<MessageId> Draft::Impl::commit(AcceptMeta meta) {
  meta_ = std::move(meta);
  return SpoolWait<MessageId>(&commit_);
}

void Draft::Impl::start_commit() {
  committing_ = true;
  if (writing_) return;  // written() comes back here
  header_complete = true;
  if (meta_.recipients == 0 || meta_.recipients > kMaxRecipients)
    fail({"spool.recipients", "a message has from 1 to 65536 recipients"});
  if (host_.store() && host_.store()->latched) fail({"spool.latched", "an earlier write or sync failed"});
  if (!failed_ && large())
    start_write(true);
  else if (!failed_)
    write_record();
  if (failed_) home_.post(commit_);
}

void Draft::Impl::write_record() {
  using spool::RecordType;
  spool::AcceptHead& head = accept_.head;
  auto length = [](const std::string& text) { return static_cast<std::uint32_t>(text.size()); };
  head = {.envelope = length(meta_.envelope),
          .client = length(meta_.client),
          .plan = length(meta_.plan),
          .trail = length(meta_.trail),
          .prefix = length(prefix),
          .header = length(header),
          .recipients = meta_.recipients,
          .body_crc = body_crc_,
          .body = body_size};
  accept_.payload = {spool::octets_of(head), meta_.envelope, meta_.client, meta_.plan, meta_.trail, prefix, header};
  RecordType type = RecordType::kAccept;
  if (lease_.body) {
    type = RecordType::kAcceptRef;
    head.body_file = lease_.body->number;
    head.body_stamp = lease_.stamp;
  } else {
    for (const spool::Chunk& chunk : pending_) {
      accept_.payload.push_back(chunk.view());
      head.body_crc = spool::checksum(chunk.view(), head.body_crc);
    }
  }
  accept_.header.id = id.value();
  accept_.header.type = static_cast<std::uint8_t>(type);
  accept_.header.covered = static_cast<std::uint32_t>(head.front());
  accept_.header.length = static_cast<std::uint32_t>(head.front() + (lease_.body ? 0 : body_size));
  accept_.home = &home_;
  in_journal_ = true;
  host_.commit(accept_);
}

void Draft::Impl::end_commit() {
  if (std::exchange(in_journal_, false) && accept_.failure) failed_ = accept_.failure;
  // A batch that failed may be on the disk all the same: its body must not be overwritten while this process runs.
  body_taken_ = !failed_ || (accept_.failure && accept_.failure->code == "spool.latched");
  committing_ = false;
  commit_.result = failed_ ? Result<MessageId>(std::unexpected(*failed_)) : Result<MessageId>(id);
  if (!abandoned_) return commit_.finish();  // which may destroy the draft
  std::unique_ptr<Impl> last(this);
  commit_.finish();
}

/// Reads back from the file, or copies from memory what is still there.
class Draft::Impl::ReadBody final : public SpoolOp<std::string>, private spool::DiskJob {
 public:
  ReadBody(Impl& draft, std::uint64_t offset, std::size_t limit) : draft_(draft), offset_(offset), limit_(limit) {}
  bool ready() override {
    if (draft_.failed_)
      result = std::unexpected(*draft_.failed_);
    else if (offset_ < in_file())
      return false;
    else if (offset_ < draft_.flushed_)
      result = from(draft_.write_.chunks, in_file());
    else
      result = from(draft_.pending_, draft_.flushed_);
    return true;
  }
  void start() override {
    octets_.resize(std::min<std::uint64_t>(limit_, in_file() - offset_));
    number_ = draft_.lease_.body->number;
    if (submit(draft_.home_)) return;
    result = fault("spool.busy", "the disk pool's queue is full");
    draft_.home_.post(*this);
  }
  void run() override { finish(); }

 private:
  Result<std::string> from(const std::vector<spool::Chunk>& chunks, std::uint64_t begin) const {
    std::string out;
    std::uint64_t skip = offset_ - begin;
    for (const spool::Chunk& chunk : chunks) {
      if (out.size() == limit_) break;
      const std::string_view octets = chunk.view();
      if (skip < octets.size()) out += octets.substr(skip, limit_ - out.size());
      skip -= std::min<std::uint64_t>(skip, octets.size());
    }
    return out;
  }
  void work() override {
    auto file = draft_.host_.store()->bodies.open(number_);
    auto got = file ? (*file)->read(octets_, spool::kHeaderRoom + offset_) : std::unexpected(file.error());
    if (!got || *got != octets_.size())
      result = fault("spool.damaged", "a body file cannot be read back");
    else
      result = std::move(octets_);
  }
  void done() override { finish(); }

  /// Octets whose write is over. Not Impl::on_disk_, which belongs to the write while one is under way.
  std::uint64_t in_file() const { return draft_.flushed_ - (draft_.writing_ ? draft_.write_.octets : 0); }

  Impl& draft_;
  std::uint64_t offset_;
  std::size_t limit_;
  std::string octets_;
  std::uint32_t number_ = 0;
};

SpoolWait<std::string> Draft::Impl::read_body(std::uint64_t offset, std::size_t limit) {
  return SpoolWait<std::string>(new ReadBody(*this, std::min(offset, body_size), limit));
}

}  // namespace postern
