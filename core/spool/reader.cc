#include "core/spool/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/spool/store.h"

namespace postern {

namespace {

constexpr int kPrefix = 4, kBody = 6, kEnd = 7;
constexpr std::size_t kFirstRead = 32 * 1024;  ///< most messages whole

std::optional<Fault> damaged(MessageId id, std::string_view what) {
  return Fault{"spool.damaged", fmt::format("{}: {}", id.to_string(), what)};
}

}  // namespace

MessageReader::MessageReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;
MessageReader::~MessageReader() = default;

const MessageInfo& MessageReader::info() const {
  return impl_->info;
}
std::string_view MessageReader::envelope() const {
  return impl_->part(0);
}
std::string_view MessageReader::client() const {
  return impl_->part(1);
}
std::string_view MessageReader::plan() const {
  return impl_->part(2);
}
std::string_view MessageReader::trail() const {
  return impl_->part(3);
}
std::string_view MessageReader::prefix() const {
  return impl_->part(4);
}
std::string_view MessageReader::header() const {
  return impl_->part(5);
}
std::uint64_t MessageReader::body_size() const {
  return impl_->body_size();
}
SpoolWait<std::string_view> MessageReader::next() {
  return impl_->next();
}
void MessageReader::rewind() {
  impl_->rewind_to(kPrefix);
}
void MessageReader::rewind_to_body() {
  impl_->rewind_to(kBody);
}

MessageReader::Impl::~Impl() {
  if (segment_) segment_->pins.fetch_sub(1, std::memory_order_release);
  if (body_pin_) body_pin_->pins.fetch_sub(1, std::memory_order_release);
}

std::optional<Fault> MessageReader::Impl::load(spool::Store& store, MessageId id) {
  if (auto failed = pin(store, id)) return failed;
  if (auto failed = read_front()) return failed;
  return head_.body_file != 0 && !hot_ ? open_body(store) : std::nullopt;
}

std::optional<Fault> MessageReader::Impl::pin(spool::Store& store, MessageId id) {
  std::scoped_lock lock(store.mutex);
  const spool::Index::Entry* entry = store.index.find(id.value());
  if (!entry) return Fault{"spool.gone", id.to_string()};
  info = spool::Index::info(id.value(), *entry);
  record_offset_ = entry->offset;
  record_length_ = entry->length;
  segment_ = entry->segment->shared_from_this();
  segment_->pins.fetch_add(1, std::memory_order_relaxed);
  if (entry->body_file != 0) {
    auto pinned = store.bodies.pin(entry->body_file);
    body_pin_ = pinned.body;
    hot_ = std::move(pinned.hot);
  }
  return std::nullopt;
}

/// Reads the record's beginning, then the rest of its front when the guess was too short.
std::optional<Fault> MessageReader::Impl::read_front() {
  std::string octets(std::min<std::uint64_t>(record_length_, kFirstRead), '\0');
  auto got = segment_->file->read(octets, record_offset_);
  if (!got || *got != octets.size()) return damaged(info.id, "its record cannot be read");
  auto header = spool::take<spool::RecordHeader>(octets);
  if (!header || !intact(*header) || header->stamp != segment_->stamp || header->id != info.id.value() ||
      sizeof(spool::RecordHeader) + header->length > record_length_)
    return damaged(info.id, "its record's header is wrong");
  std::uint64_t wanted = sizeof(spool::RecordHeader) + header->covered;
  if (octets.size() < wanted) {
    std::size_t before = octets.size();
    octets.resize(wanted);
    got = segment_->file->read(std::span(octets).subspan(before), record_offset_ + before);
    if (!got || *got != wanted - before) return damaged(info.id, "its record cannot be read");
  }
  std::string_view payload = std::string_view(octets).substr(sizeof(spool::RecordHeader));
  payload = payload.substr(0, header->length);
  auto head = spool::accept_head(*header, payload);
  if (!head || spool::checksum(payload.substr(0, header->covered)) != header->payload_crc)
    return damaged(info.id, "its record's checksum is wrong");
  head_ = *head;
  body_in_front_ = head_.body_file == 0 && payload.size() == header->length;
  front_.assign(payload.substr(0, body_in_front_ ? payload.size() : head_.front()));
  return std::nullopt;
}

std::optional<Fault> MessageReader::Impl::open_body(spool::Store& store) {
  auto file = store.bodies.open(head_.body_file);
  if (!file) return damaged(info.id, "its body file cannot be opened");
  body_file_ = std::move(*file);
  std::array<char, sizeof(spool::BodyHeader)> octets;
  auto got = body_file_->read(octets, 0);
  if (!got || *got != octets.size()) return damaged(info.id, "its body file is too short");
  auto header = *spool::take<spool::BodyHeader>({octets.data(), octets.size()});
  if (!intact(header) || header.number != head_.body_file || header.stamp != head_.body_stamp)
    return damaged(info.id, "its body file belongs to another message");
  return std::nullopt;
}

void MessageReader::Impl::set(MessageInfo the_info, const spool::AcceptHead& head, std::string front) {
  info = std::move(the_info);
  head_ = head;
  front_ = std::move(front);
  body_in_front_ = true;
}

std::string_view MessageReader::Impl::part(int number) const {
  const std::uint32_t lengths[] = {head_.envelope, head_.client, head_.plan, head_.trail, head_.prefix, head_.header};
  std::size_t at = sizeof(spool::AcceptHead);
  for (int i = 0; i < number; ++i) at += lengths[i];
  return std::string_view(front_).substr(at, lengths[number]);
}

void MessageReader::Impl::rewind_to(int stage) {
  stage_ = stage;
  body_at_ = 0;
  hot_at_ = 0;
  body_crc_ = 0;
}

SpoolWait<std::string_view> MessageReader::Impl::next() {
  return SpoolWait<std::string_view>(&next_);
}

/// Whatever needs no disk: prefix, header, a body that was read with them, and the end.
bool MessageReader::Impl::next_in_memory() {
  while (stage_ < kBody) {
    std::string_view octets = part(stage_++);
    if (octets.empty()) continue;
    next_.result = octets;
    return true;
  }
  if (hot_ && stage_ == kBody) {
    const std::vector<spool::Chunk>& chunks = hot_->chunks();
    next_.result = hot_at_ < chunks.size() ? chunks[hot_at_++].view() : std::string_view();
    if (next_.result->empty()) stage_ = kEnd;
    return true;
  }
  if (stage_ == kBody && body_at_ < head_.body) {
    if (!body_in_front_) return false;
    std::string_view rest = std::string_view(front_).substr(head_.front() + body_at_);
    next_.result = give_body(rest.substr(0, spool::kReadPiece));
    return true;
  }
  if (stage_ == kBody && body_crc_ != head_.body_crc) {
    next_.result = std::unexpected(*damaged(info.id, "its body's checksum is wrong"));
    return true;
  }
  stage_ = kEnd;
  next_.result = std::string_view();
  return true;
}

/// The last piece is withheld when the checksum is wrong, so that a reader notices before it has passed all on.
Result<std::string_view> MessageReader::Impl::give_body(std::string_view piece) {
  body_crc_ = spool::checksum(piece, body_crc_);
  body_at_ += piece.size();
  if (body_at_ == head_.body && body_crc_ != head_.body_crc)
    return std::unexpected(*damaged(info.id, "its body's checksum is wrong"));
  return piece;
}

void MessageReader::Impl::Next::start() {
  if (submit(reader.home_)) return;
  result = fault("spool.busy", "the disk pool's queue is full");
  reader.home_.post(*this);
}

void MessageReader::Impl::read_piece() {
  piece_.resize(std::min<std::uint64_t>(spool::kReadPiece, head_.body - body_at_));
  File& file = body_file_ ? *body_file_ : *segment_->file;
  std::uint64_t begin = body_file_ ? spool::kHeaderRoom : record_offset_ + sizeof(spool::RecordHeader) + head_.front();
  auto got = file.read(piece_, begin + body_at_);
  if (!got || *got != piece_.size())
    next_.result = std::unexpected(*damaged(info.id, "its body cannot be read"));
  else
    next_.result = give_body(piece_);
}

namespace spool {

namespace {

class Open final : public SpoolOp<MessageReader>, private DiskJob {
 public:
  Open(Store& store, Executor& home, MessageId id)
      : store_(store), home_(home), id_(id), reader_(std::make_unique<MessageReader::Impl>(home)) {}
  void start() override {
    if (submit(home_)) return;
    result = fault("spool.busy", "the disk pool's queue is full");
    home_.post(*this);
  }
  void run() override { finish(); }

 private:
  void work() override {
    if (auto failed = reader_->load(store_, id_)) {
      if (failed->code == "spool.damaged") store_.report(SpoolReport::Kind::kDamage, failed->detail, id_);
      result = std::unexpected(std::move(*failed));
      return;
    }
    result = MessageReader(std::move(reader_));
  }
  void done() override { finish(); }

  Store& store_;
  Executor& home_;
  MessageId id_;
  std::unique_ptr<MessageReader::Impl> reader_;
};

}  // namespace

SpoolWait<MessageReader> open_message(Store& store, Executor& home, MessageId id) {
  return SpoolWait<MessageReader>(new Open(store, home, id));
}

}  // namespace spool
}  // namespace postern
