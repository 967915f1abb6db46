// The journal: the one writer of the log. Workers push requests onto a lock-free stack; the journal's lane takes all
// that wait, writes them as one batch with one pwritev, syncs once, applies them to the index and wakes each worker
// once. One batch is in flight at a time, so that a batch in the log proves the one before it.
//
// Thread: push() from any; everything else on the journal's lane (or, under run_mutex_, in close()).
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/spool/store.h"

namespace postern::spool {

class Keeper;

/// Something to be written. Lives until completed() has been entered.
class JournalRequest : public Runnable {
 public:
  enum class Kind : std::uint8_t { kAccept, kChange, kMove };

  explicit JournalRequest(Kind kind) : kind_(kind) {}
  virtual ~JournalRequest() = default;
  /// Once, on the home worker; on the journal's lane when there is no home.
  virtual void completed() = 0;

  Kind kind() const { return kind_; }
  Executor* home = nullptr;
  RecordHeader header;                    ///< stamp, batch and crc are the journal's business
  std::vector<std::string_view> payload;  ///< what `header.length` counts; the request owns or outlives it
  AcceptHead head;                        ///< of accepts and moves
  Segment* moved_from = nullptr;          ///< of moves: does nothing when the message is elsewhere by now
  std::uint64_t moved_offset = 0;
  std::optional<Fault> failure;

 private:
  friend class Journal;
  void run() final;  ///< completes this and all that are chained to it: one post per worker and batch

  Kind kind_;
  JournalRequest* link_ = nullptr;   ///< in the stack, then in the queue
  JournalRequest* chain_ = nullptr;  ///< the next completion for the same worker
  std::uint64_t offset_ = 0;         ///< of its record
  std::uint64_t size_ = 0;           ///< of its record, padding included
  std::vector<RecordHeader> marks_;  ///< that follow a moved accept
  std::vector<std::string> mark_texts_;
};

class Journal {
 public:
  Journal(Store& store, Lane& lane) : store_(store), lane_(lane) {}

  void push(JournalRequest& request);         ///< and makes sure that it is written now
  void push_lazily(JournalRequest& request);  ///< it is written with the next one, or at flush()
  void flush();                               ///< any thread

  /// `previous` is the last whole batch of the log; `used` the greatest number that any remnant in it bears.
  void start(Keeper& keeper, std::uint64_t previous, std::uint64_t used) {
    keeper_ = &keeper;
    previous_ = previous;
    batch_ = used;
  }
  void begin_first();  ///< makes a spare the head of an empty log; for open
  /// Writes what waits, on the caller's thread. For open and close.
  void run_now();

 private:
  struct Work final : Runnable {
    explicit Work(Journal& owner) : journal(owner) {}
    void run() override { journal.run_now(); }
    Journal& journal;
  };
  void collect();
  JournalRequest* pop();
  void write_batch();
  enum class Fit : std::uint8_t { kYes, kNextBatch, kNever, kFull };
  Fit fit(JournalRequest& request, std::uint64_t size);
  std::uint64_t prepare_move(JournalRequest& request);
  void add(JournalRequest& request, std::uint64_t size);
  void add_record(RecordHeader& header, std::span<const std::string_view> payload);
  void end_batch();
  int write_and_sync();
  void apply();
  void apply(JournalRequest& request);
  void release_segments();
  void complete_all();
  void fail(JournalRequest& request, Fault fault);
  bool has_room(std::uint64_t size, std::uint64_t reserve);
  bool disk_is_short();
  bool admit(const JournalRequest& request, std::uint64_t size);
  void note_room(bool ok, bool disk_short);
  bool roll();
  bool take_spare();
  void begin_segment(SegmentPtr segment);

  Store& store_;
  Lane& lane_;
  Keeper* keeper_ = nullptr;
  std::atomic<JournalRequest*> stack_{nullptr};
  std::atomic<bool> scheduled_{false};
  Work work_{*this};

  std::mutex run_mutex_;  ///< the lane against open and close; never contended
  JournalRequest* queue_ = nullptr;
  JournalRequest* queue_end_ = nullptr;
  std::uint64_t batch_ = 0;     ///< greatest number in use
  std::uint64_t previous_ = 0;  ///< the last whole batch
  std::uint64_t last_id_ = 0;
  bool disk_short_ = false;     ///< the file system has less than min_free left
  std::uint32_t unasked_ = 63;  ///< messages since that was asked; the first asks

  // The batch in the making.
  std::vector<JournalRequest*> members_;
  std::vector<JournalRequest*> finished_;  ///< to be completed: members and those that failed before
  std::vector<std::string_view> parts_;
  std::uint64_t bytes_ = 0;  ///< of its records so far
  std::uint32_t records_ = 0;
  std::uint64_t first_sequence_ = 0;  ///< that its end-of-batch says
  RecordHeader end_header_;
  BatchEnd end_;
  std::string segment_header_;  ///< not empty when the batch is the first of its segment
};

}  // namespace postern::spool
