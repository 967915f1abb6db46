// What journal, keeper, readers and drafts of one spool share: the index, the log's files and the body files.
//
// Thread: everything that is not const or atomic is guarded by `mutex`, which only the spool's own lanes and the disk
// pool's threads take, for short; workers never do.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/spool/body_files.h"
#include "core/spool/format.h"
#include "core/spool/index.h"
#include "postern/spool.h"

namespace postern::spool {

using Report = std::function<void(const SpoolReport&)>;
using SegmentPtr = std::shared_ptr<Segment>;

inline constexpr std::size_t kSpareSlack = 8;  ///< spare segments kept beyond those that are wanted
/// Kept free for its last marks: what it will be told of, with a note, then that it is done.
inline constexpr std::uint64_t kRoomPerRecipient = 3 * sizeof(RecordHeader) + kNoteLimit;
inline constexpr std::uint64_t kRoomPerBatch = 3 * kEndRecordSize;  ///< and where each is written by itself
inline constexpr std::uint64_t kLoneBatches = 4096;                 ///< of which there are so many at most

struct Store {
  Store(SpoolSettings the_settings, Env& the_env, Report the_report);

  const SpoolSettings settings;
  Env& env;
  const std::string segment_dir;
  const std::string damaged_dir;
  const Report tell;
  BodyFiles bodies;

  std::mutex mutex;
  Index index;
  std::deque<SegmentPtr> log;       ///< oldest first; the last is the head, which the journal writes
  std::vector<SegmentPtr> retired;  ///< out of the log, but that is not durable yet or they are still read
  std::vector<SegmentPtr> spares;   ///< may be written again
  std::uint32_t last_number = 0;    ///< of segment files
  std::uint64_t last_sequence = 0;
  SpoolStats counters;  ///< only commits, marks, batches, moved, full_refusals, latched

  std::atomic<bool> latched{false};
  std::atomic<bool> full{false};
  std::atomic<std::uint64_t> id_floor{0};  ///< ids up to it were given out before the spool was opened

  /// Makes a segment file: zeros from front to back, so that writing it later allocates nothing. Without the mutex.
  IoResult<SegmentPtr> make_segment();
  void remove_segment(const Segment& segment);
  /// Spare segments that should be there: one to roll to, and what the last marks of all recipients may need.
  std::size_t spares_wanted() const;
  std::uint64_t reserve() const;

  /// No further commit succeeds (architecture.md, decision 6). Without the mutex.
  void latch(std::string why);
  void report(SpoolReport::Kind kind, std::string detail, MessageId id = {}) const;
  /// Puts octets that could not be understood where a person can look at them.
  void set_aside(const std::string& name, std::string_view octets) const;
};

/// "spool.full" for ENOSPC and EDQUOT; everything else latches the spool. Without the mutex.
Fault disk_fault(Store& store, int error, std::string_view what);

}  // namespace postern::spool
