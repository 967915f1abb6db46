// The keeper: what the log needs beside being written, off the journal's way. It makes the next segment before it is
// needed, writes footers for those that are full, moves what still lives in the oldest segment to the head of the log
// when that frees enough, and removes spares beyond reason.
//
// Thread: look(), sealed() and moved() from the journal; the work itself on the keeper's lane.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "core/spool/journal.h"
#include "core/spool/store.h"

namespace postern::spool {

class Keeper {
 public:
  Keeper(Store& store, Journal& journal, Lane& lane) : store_(store), journal_(journal), lane_(lane) {}

  /// After each batch: starts the lane if there is something to do. Cheap.
  void look();
  void sealed(SegmentPtr segment);        ///< nothing more is written to it: it gets its footer
  void moved(bool failed);                ///< one more move is over
  void room_made() { starved_ = false; }  ///< a segment has left the log
  void stop() { stopping_ = true; }

 private:
  struct Work final : Runnable {
    explicit Work(Keeper& owner) : keeper(owner) {}
    void run() override { keeper.work(); }
    Keeper& keeper;
  };
  void poke();
  void work();
  bool wants_segment();
  void make_spares();
  void trim_spares();
  void write_footers();
  struct Sealed {
    SegmentPtr segment;
    std::uint64_t sequence = 0;  ///< then: a segment that is free takes another one
  };
  bool pin(const Sealed& sealed);
  void compact();
  SegmentPtr pick();
  void collect_victims(const SegmentPtr& segment);
  bool move(std::uint64_t id);

  Store& store_;
  Journal& journal_;
  Lane& lane_;
  std::atomic<bool> scheduled_{false};
  std::atomic<bool> stopping_{false};
  Work work_{*this};

  std::mutex mutex_;
  std::deque<Sealed> sealed_;  ///< oldest first; guarded by mutex_

  // Compaction: one segment at a time.
  SegmentPtr compacting_;
  std::uint64_t cursor_ = 0;  ///< ids up to it have been looked at
  bool collected_ = false;
  std::vector<std::uint64_t> victims_;
  std::atomic<std::uint32_t> moving_{0};
  std::atomic<bool> starved_{false};  ///< a move found no room: no further one until a segment is free
};

}  // namespace postern::spool
