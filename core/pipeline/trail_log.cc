#include "core/pipeline/trail_log.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/mail/record.h"
#include "core/pipeline/trail_files.h"
#include "postern/crc32c.h"

namespace postern {
namespace {

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::size_t kFrame = 8;                // length and checksum, little-endian
constexpr std::size_t kMaxRecordSize = 1 << 20;  // octets of one record that a reader believes

void put_u32(char* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(value >> (8 * i));
}
std::uint32_t get_u32(const char* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<std::uint8_t>(at[i])} << (8 * i);
  return value;
}

}  // namespace

void TrailRecord::encode(std::string& out) const {
  const std::size_t begin = out.size();
  out.append(kFrame, '\0');
  out += static_cast<char>(kRecordVersion);
  out += static_cast<char>(accepted ? 1 : 0);
  mail::put_varint(out, mail::zigzag(when.time_since_epoch().count()));
  for (const std::string* text : {&message, &session, &client, &sender}) mail::put_text(out, *text);
  mail::put_varint(out, recipients.size());
  for (const std::string& recipient : recipients) mail::put_text(out, recipient);
  mail::put_text(out, outcome);
  mail::put_text(out, trail);
  const std::string_view body = std::string_view(out).substr(begin + kFrame);
  put_u32(out.data() + begin, static_cast<std::uint32_t>(body.size()));
  put_u32(out.data() + begin + 4, crc32c(0, body));
}

Result<TrailRecord> TrailRecord::decode(std::string_view& bytes) {
  if (bytes.size() < kFrame) return fault("trail.damaged", "a record ends too early");
  const std::uint32_t size = get_u32(bytes.data());
  if (size > kMaxRecordSize || size > bytes.size() - kFrame) return fault("trail.damaged", "a record ends too early");
  const std::string_view body = bytes.substr(kFrame, size);
  if (crc32c(0, body) != get_u32(bytes.data() + 4)) return fault("trail.damaged", "a record's checksum is wrong");
  bytes.remove_prefix(kFrame + size);
  mail::RecordReader in(body);
  if (in.octet() != kRecordVersion) return fault("trail.version", "a record of another version");
  TrailRecord record;
  record.accepted = in.octet() & 1;
  record.when = WallTime(WallTime::duration(mail::unzigzag(in.varint())));
  for (std::string* text : {&record.message, &record.session, &record.client, &record.sender}) *text = in.text();
  const std::uint64_t recipients = in.varint();
  if (recipients > size) return fault("trail.damaged", "more recipients than octets");
  for (std::uint64_t i = 0; i < recipients && !in.failed(); ++i) record.recipients.emplace_back(in.text());
  record.outcome = in.text();
  record.trail = in.text();
  if (in.failed()) return fault("trail.damaged", "a record ends too early");
  return record;
}

class TrailLog::Files : public TrailFiles {
 public:
  using TrailFiles::TrailFiles;
};

/// One worker's records: one string fills while the other is being written. `busy_` hands the second one back and
/// forth.
class TrailLog::Buffer final : private TimerNode, private Runnable {
 public:
  Buffer(TrailLog& log, std::uint64_t rate) : log_(log), rate_(rate) {}

  void add(Executor& executor, const TrailRecord& record) {
    executor_ = &executor;
    const std::size_t before = filling_.size();
    record.encode(filling_);
    const std::uint64_t size = filling_.size() - before;
    if (!spend(executor.now(), size) || filling_.size() > kMaxBuffer) {
      filling_.resize(before);
      log_.dropped_.add(executor.index());
      return;
    }
    if (before == 0) first_ = record.when;
    ++records_;
    if (filling_.size() >= kFlushSize) return hand_over();
    if (!armed()) executor.arm(*this, executor.now() + kFlushAfter);
  }

  void hand_over() {
    if (executor_) executor_->disarm(*this);
    if (filling_.empty()) return;
    if (busy_.load(std::memory_order_acquire)) {  // the disk is behind; a later flush takes it
      if (executor_) executor_->arm(*this, executor_->now() + kFlushAfter);
      return;
    }
    std::swap(filling_, writing_);
    writing_records_ = std::exchange(records_, 0);
    writing_first_ = first_;
    busy_.store(true, std::memory_order_relaxed);
    log_.lane_->post(*this);  // publishes what was written above
  }

  void leave() {
    if (executor_) executor_->disarm(*this);
  }

 private:
  bool spend(Instant now, std::uint64_t size) {
    if (last_ == Instant{}) tokens_ = rate_;
    const auto passed = last_ == Instant{} ? 0.0 : std::chrono::duration<double>(now - last_).count();
    last_ = now;
    tokens_ = std::min<std::uint64_t>(rate_, tokens_ + static_cast<std::uint64_t>(passed * static_cast<double>(rate_)));
    if (size > tokens_) return false;
    tokens_ -= size;
    return true;
  }
  void fire() override { hand_over(); }
  void run() override {  // on the lane
    if (log_.files_->write(writing_, writing_first_) != 0)
      log_.dropped_.add_shared(writing_records_);
    else
      log_.written_.add_shared(writing_records_);
    writing_.clear();
    if (writing_.capacity() > 4 * kFlushSize) writing_.shrink_to_fit();
    busy_.store(false, std::memory_order_release);
  }

  TrailLog& log_;
  Executor* executor_ = nullptr;
  std::uint64_t rate_;
  std::uint64_t tokens_ = 0;
  Instant last_{};
  std::string filling_, writing_;
  std::uint64_t records_ = 0, writing_records_ = 0;
  WallTime first_{}, writing_first_{};
  std::atomic<bool> busy_{false};
};

TrailLog::TrailLog(TrailSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, unsigned workers,
                   Metrics& metrics)
    : settings_(std::move(settings)),
      files_(std::make_unique<Files>(
          env, std::move(dir),
          TrailFiles::Limits{settings_.segment.bytes, settings_.keep_bytes.bytes, settings_.keep_for})),
      written_(metrics.counter("postern_trail_records_total", "Trails written below state/trail.")),
      dropped_(metrics.counter("postern_trail_dropped_total", "Trails lost to a limit or a failed write.")),
      lane_(std::move(lane)) {
  const std::uint64_t rate = std::max<std::uint64_t>(settings_.rate.bytes / std::max(workers, 1U), 1);
  for (unsigned i = 0; i < workers; ++i) buffers_.push_back(std::make_unique<Buffer>(*this, rate));
}

TrailLog::~TrailLog() {
  for (const auto& buffer : buffers_) buffer->hand_over();
  for (const auto& buffer : buffers_) buffer->leave();
}

void TrailLog::append(Executor& worker, const TrailRecord& record) {
  buffers_.at(worker.index())->add(worker, record);
}
void TrailLog::flush(Executor& worker) {
  buffers_.at(worker.index())->hand_over();
}
std::uint64_t TrailLog::dropped() const {
  return dropped_.value();
}

}  // namespace postern
