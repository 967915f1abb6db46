// The spool: where a message is from the moment of its 250 until its last recipient has been served.
//
// A Draft takes a message in while it streams; commit() returns when it is durable (architecture.md, decisions 5, 6).
// From then on it lives under its MessageId; its recipients are numbered from 0, and each is moved on by marks
// (placed, done, attempt, ...). A message whose recipients are all done is gone.
//
//   Draft draft = spool.begin(executor, size_hint);
//   while (...) if (auto ok = co_await draft.append(chunk); !ok) ...        // backpressure; bounded memory
//   draft.prepend("Received: ...\r\n");
//   Result<MessageId> id = co_await draft.commit({.envelope = ..., .plan = ..., .recipients = 2});
//   ...
//   Result<MessageReader> reader = co_await spool.open(executor, *id);
//   while (true) { auto piece = co_await reader->next(); if (!piece || piece->empty()) break; ... }
//   co_await spool.done(executor, *id, 0);
//
// Errors: Fault codes "spool.full" (no room: 452, recovers), "spool.latched" (a write or sync failed: 451 from then
// on), "spool.gone" (no such message), "spool.damaged" (stored octets fail their checksum), "spool.too_large". Thread:
// a Spool may be used by every worker; each call names the executor of the worker it is made on, and its answer arrives
// there. A Draft and a MessageReader belong to the worker that made them.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/env.h"
#include "postern/error.h"
#include "postern/executor.h"
#include "postern/time.h"

namespace postern {

/// Names a message for its whole life. Later messages have greater values (to the millisecond); never 0, never reused.
class MessageId {
 public:
  constexpr MessageId() = default;
  constexpr explicit MessageId(std::uint64_t value) : value_(value) {}
  constexpr std::uint64_t value() const { return value_; }
  explicit operator bool() const { return value_ != 0; }
  /// 13 characters of base32 (digits and lower case letters without i, l, o, u) that sort as the values do.
  std::string to_string() const;
  static std::optional<MessageId> parse(std::string_view text);
  WallTime arrival() const;  ///< when the draft was begun, to the millisecond
  auto operator<=>(const MessageId&) const = default;

 private:
  std::uint64_t value_ = 0;
};

struct SpoolSettings {
  std::string dir;                                    ///< belongs to one process at a time
  std::uint64_t segment_size = 64ULL << 20;           ///< of each file of the log
  std::uint64_t large_body_threshold = 256ULL << 10;  ///< bodies above it get their own file
  std::uint64_t max_blank_body_bytes = 1ULL << 30;    ///< of body files kept for being overwritten
  std::size_t header_limit = 256ULL << 10;            ///< of a header block that is kept in memory as one
  Duration lazy_flush_interval = 50ms;                ///< after which lazy marks are synced at the latest
  std::uint64_t min_free = 64ULL << 20;               ///< of the file system's room that accepting leaves alone
  std::uint64_t hot_bodies = 64ULL << 20;  ///< octets of large bodies kept in memory for their first reader; 0: none
};

/// An operation that has been prepared but not started; `co_await` it, or give it a callback by then().
template <class T>
class SpoolOp : public Runnable {
 public:
  virtual ~SpoolOp() = default;
  virtual bool ready() { return false; }  ///< finishes at once when it can; `result` is then set
  virtual void start() = 0;               ///< finish() is called later, on the home worker
  virtual void release() { delete this; }
  void finish() {
    if (waiter_) return std::exchange(waiter_, nullptr).resume();
    auto callback = std::move(callback_);
    Result<T> answer = std::move(result);
    release();
    callback(std::move(answer));
  }

  Result<T> result{std::unexpect};

 private:
  template <class>
  friend class SpoolWait;
  std::coroutine_handle<> waiter_;
  std::move_only_function<void(Result<T>)> callback_;
};

/// The wait for an operation. Never destroyed while suspended; the disk always answers, so it has no deadline.
template <class T>
class [[nodiscard]] SpoolWait {
 public:
  explicit SpoolWait(SpoolOp<T>* op) : op_(op) {}
  bool await_ready() { return op_->ready(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    op_->waiter_ = waiter;
    op_->start();
  }
  Result<T> await_resume() { return std::move(op_->result); }
  /// Without a coroutine: `callback` runs on the home worker, at once when the operation is ready.
  void then(std::move_only_function<void(Result<T>)> callback) {
    SpoolOp<T>* op = op_.release();
    op->callback_ = std::move(callback);
    if (op->ready()) return op->finish();
    op->start();
  }

 private:
  struct Release {
    void operator()(SpoolOp<T>* op) const { op->release(); }
  };
  std::unique_ptr<SpoolOp<T>, Release> op_;
};

/// What is stored beside the content. The spool does not look into it.
struct AcceptMeta {
  std::string envelope;  ///< sender and recipients
  std::string client;    ///< who brought it
  std::string plan;      ///< what the pipeline decided per recipient
  std::string trail;     ///< how it came to that
  std::uint32_t recipients = 1;
};

/// A message that is being taken in: prefix (our trace fields), header block, body.
///
/// Memory: a body up to SpoolSettings::large_body_threshold in pooled chunks; beyond that less than 1 MiB.
/// Destruction without a commit leaves nothing behind.
class Draft {
 public:
  class Impl;
  explicit Draft(std::unique_ptr<Impl> impl);
  Draft(Draft&&) noexcept;
  Draft& operator=(Draft&&) noexcept;
  ~Draft();

  MessageId id() const;  ///< known from the start, for the Received field

  class [[nodiscard]] Append;
  /// Takes octets in; suspends while the disk is behind. `chunk` must live until then. One at a time.
  /// Errors: spool.full, spool.latched; every later append and the commit repeat them.
  Append append(std::string_view chunk);

  std::uint64_t size() const;  ///< prefix, header and body
  /// The header block without the empty line that ends it (that line is the body's first). Up to
  /// SpoolSettings::header_limit octets; what is longer counts as body.
  std::string_view header() const;
  bool header_complete() const;  ///< the empty line, or the limit, has been seen
  void replace_header(std::string header);
  std::string_view prefix() const;
  void prepend(std::string_view fields);  ///< goes before everything there is

  std::uint64_t body_size() const;
  /// Reads what has been appended back: up to `limit` octets from `offset` of the body. Empty at its end.
  SpoolWait<std::string> read_body(std::uint64_t offset, std::size_t limit);

  /// Answers when the message is durable. Call it once, as the last thing.
  SpoolWait<MessageId> commit(AcceptMeta meta);

 private:
  std::unique_ptr<Impl> impl_;
};

class [[nodiscard]] Draft::Append final : private SpoolOp<void> {
 public:
  Append(Draft::Impl& draft, std::string_view chunk) : draft_(draft), chunk_(chunk) {}
  bool await_ready() { return ready(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    handle_ = waiter;
    start();
  }
  Result<void> await_resume() { return std::move(result); }

 private:
  friend class Draft::Impl;
  bool ready() override;
  void start() override;
  void run() override { handle_.resume(); }
  void release() override {}
  Draft::Impl& draft_;
  std::string_view chunk_;
  std::coroutine_handle<> handle_;
};

enum class RecipientState : std::uint8_t { kWaiting, kPlaced, kDotSent, kDone };

/// Where one recipient stands.
struct RecipientInfo {
  RecipientState state = RecipientState::kWaiting;
  std::uint16_t attempts = 0;
  WallTime next_attempt{};  ///< of the last attempt mark
  std::string note;         ///< of the last attempt (an error) or placed (its token) mark
  std::string route;        ///< of the last route mark
};

/// A message as it stands in a list: small, read without touching the disk.
struct MessageInfo {
  MessageId id;
  std::uint64_t size = 0;  ///< prefix, header and body
  std::vector<RecipientInfo> recipients;
  std::optional<WallTime> held_until;  ///< WallTime::max(): until released
  std::string hold_reason;
  std::uint32_t crashes = 0;  ///< in which it was being handled
  std::uint64_t label = 0;    ///< envelope_label() of its envelope (postern/envelope.h)
};

inline constexpr std::uint32_t kEveryRecipient = ~0U;
inline constexpr std::size_t kNoteLimit = 128;  ///< octets of a mark's text; longer ones are cut
inline constexpr std::uint32_t kMaxRecipients = 65'536;

enum class Mark : std::uint8_t {
  kPlaced,   ///< text: the token by which the store finds the tmp file
  kDone,     ///< delivered, bounced or given up; count: the caller's outcome
  kAttempt,  ///< count: attempts so far; time: of the next; text: why it failed. The recipient waits again.
  kDotSent,  ///< all but the final dot is with the remote host
  kHold,     ///< whole message; time: until when (WallTime{} releases it); text: why
  kRecall,   ///< taken back by an administrator: done, without a delivery
  kRoute,    ///< text: where this recipient now goes
  kHandling  ///< count: crashes in which the message was being handled (written by the spool itself)
};

struct Change {
  MessageId id;
  Mark mark = Mark::kDone;
  std::uint32_t recipient = kEveryRecipient;
  std::uint32_t count = 0;
  WallTime time{};
  std::string text = {};
};

/// A stored message. Keeps what it reads from being recycled while it lives.
class MessageReader {
 public:
  class Impl;
  explicit MessageReader(std::unique_ptr<Impl> impl);
  MessageReader(MessageReader&&) noexcept;
  MessageReader& operator=(MessageReader&&) noexcept;
  ~MessageReader();

  const MessageInfo& info() const;  ///< as it was when opened
  std::string_view envelope() const;
  std::string_view client() const;
  std::string_view plan() const;
  std::string_view trail() const;
  std::string_view prefix() const;
  std::string_view header() const;
  std::uint64_t body_size() const;

  /// The next piece of prefix, header and body, at most 64 KiB of the body at once; empty at the end. Valid until the
  /// next call. Errors: spool.damaged, at the latest in place of the end.
  SpoolWait<std::string_view> next();
  /// Starts over with the prefix, or with the body.
  void rewind();
  void rewind_to_body();

 private:
  std::unique_ptr<Impl> impl_;
};

/// While it lives, a crash counts against the message. Others were under way too, and only one of them can be the
/// cause, so the first crash merely marks it; whoever handles it again does so alone, and a crash then holds it (reason
/// "poison: ..."). One that keeps being there when the process dies is held after the third crash all the same.
/// Costs two stores. Destroy it on the worker that made it, before the spool.
class Handling {
 public:
  Handling() = default;
  Handling(std::uint64_t* slot, std::uint64_t value) : slot_(slot) {
    if (slot_) __atomic_store_n(slot_, value, __ATOMIC_RELEASE);
  }
  Handling(Handling&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  Handling& operator=(Handling&& other) noexcept {
    end();
    slot_ = std::exchange(other.slot_, nullptr);
    return *this;
  }
  ~Handling() { end(); }
  void end() {
    if (slot_) __atomic_store_n(std::exchange(slot_, nullptr), 0, __ATOMIC_RELEASE);
  }

 private:
  std::uint64_t* slot_ = nullptr;
};

struct SpoolStats {
  std::uint64_t messages = 0;
  std::uint64_t recipients = 0;     ///< not yet done
  std::uint64_t message_bytes = 0;  ///< content of all messages
  std::uint64_t segments = 0;       ///< in the log
  std::uint64_t spare_segments = 0;
  std::uint64_t body_files = 0;
  std::uint64_t blank_body_files = 0;
  std::uint64_t blank_body_bytes = 0;
  std::uint64_t hot_body_bytes = 0;  ///< of memory
  std::uint64_t disk_bytes = 0;      ///< of all files of the spool
  std::uint64_t commits = 0;         ///< messages since the start
  std::uint64_t marks = 0;
  std::uint64_t batches = 0;  ///< each is one fdatasync
  std::uint64_t moved = 0;    ///< messages that compaction rewrote
  std::uint64_t full_refusals = 0;
  std::string latched;  ///< why nothing is accepted any more; empty when well
};

/// What the spool found or met that a person should know.
struct SpoolReport {
  enum class Kind : std::uint8_t { kTornTail, kDamage, kMissingBody, kPoison, kLatched, kFull };
  Kind kind;
  MessageId id;        ///< 0 when it is not about one message
  std::string detail;  ///< what, where, and what was done about it
};

class Spool {
 public:
  static constexpr std::string_view kService = "spool";
  virtual ~Spool();

  /// `size_hint`: what the client announced (RFC 1870), 0 when unknown; only for speed.
  virtual Draft begin(Executor& home, std::uint64_t size_hint = 0) = 0;
  virtual SpoolWait<MessageReader> open(Executor& home, MessageId id) = 0;

  /// Answers when the change is durable. A change to a message that is gone succeeds and does nothing.
  virtual SpoolWait<void> change(Executor& home, Change change) = 0;
  /// Written with the next batch, or within lazy_flush_interval; may be lost by a crash until then.
  virtual void change_lazily(Executor& home, Change change) = 0;

  /// At most `limit` messages whose ids are greater than `after`, in order.
  virtual SpoolWait<std::vector<MessageInfo>> list(Executor& home, MessageId after, std::size_t limit) = 0;
  virtual SpoolWait<SpoolStats> stats(Executor& home) = 0;
  /// `alone`: no other message is being handled on any worker, so that a crash has no other cause. One at a time.
  virtual Handling handling(Executor& home, MessageId id, bool alone = false) = 0;

  SpoolWait<void> placed(Executor& home, MessageId id, std::uint32_t recipient, std::string token) {
    return change(home, {.id = id, .mark = Mark::kPlaced, .recipient = recipient, .text = std::move(token)});
  }
  SpoolWait<void> done(Executor& home, MessageId id, std::uint32_t recipient) {
    return change(home, {.id = id, .mark = Mark::kDone, .recipient = recipient});
  }
  void done_lazily(Executor& home, MessageId id, std::uint32_t recipient) {
    change_lazily(home, {.id = id, .mark = Mark::kDone, .recipient = recipient});
  }
  SpoolWait<void> dot_sent(Executor& home, MessageId id, std::uint32_t recipient) {
    return change(home, {.id = id, .mark = Mark::kDotSent, .recipient = recipient});
  }
  Change attempted(MessageId id, std::uint32_t recipient, std::uint32_t attempts, WallTime next, std::string why) {
    return {.id = id,
            .mark = Mark::kAttempt,
            .recipient = recipient,
            .count = attempts,
            .time = next,
            .text = std::move(why)};
  }
  SpoolWait<void> hold(Executor& home, MessageId id, WallTime until, std::string why) {
    return change(home, {.id = id, .mark = Mark::kHold, .time = until, .text = std::move(why)});
  }
  SpoolWait<void> recall(Executor& home, MessageId id, std::uint32_t recipient = kEveryRecipient) {
    return change(home, {.id = id, .mark = Mark::kRecall, .recipient = recipient});
  }
  SpoolWait<void> route(Executor& home, MessageId id, std::uint32_t recipient, std::string where) {
    return change(home, {.id = id, .mark = Mark::kRoute, .recipient = recipient, .text = std::move(where)});
  }
};

/// What a spool on disk stands on. The lanes are its own: its destruction lets them finish and ends them.
struct SpoolHost {
  Env& env;
  std::unique_ptr<Lane> journal;                   ///< writes and syncs
  std::unique_ptr<Lane> keeper;                    ///< makes segments before they are needed, writes footers, compacts
  std::function<void(const SpoolReport&)> report;  ///< any thread; may be empty
};

struct OpenedSpool {
  std::unique_ptr<Spool> spool;
  std::vector<SpoolReport> reports;  ///< what recovery met; also told to SpoolHost::report
};

/// Opens or makes the spool in `settings.dir` and replays its log. Blocks: call it before the loops run.
/// Errors: spool.locked (naming the process), spool.open, spool.version; damage is reported, never an error.
Result<OpenedSpool> open_spool(SpoolSettings settings, SpoolHost host);

/// The model: keeps everything in memory, for tests. Durable at once; answers in the next turn of the loop.
std::unique_ptr<Spool> make_memory_spool(SpoolSettings settings = {});

}  // namespace postern
