// SegmentSpool: the spool on disk. It ties journal, keeper, body files and index together and gives each worker its own
// part (ids, chunk buffers, handling slots, a timer), so that workers share nothing but the journal's stack.
//
// Thread: see postern/spool.h. Destroy it when no loop runs any more, before the executors it was used with.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "core/spool/draft.h"
#include "core/spool/id_source.h"
#include "core/spool/journal.h"
#include "core/spool/keeper.h"
#include "core/spool/store.h"

namespace postern::spool {

inline constexpr std::size_t kHandlingSlots = 512;             ///< per worker; what is handled beyond is not watched
inline constexpr std::size_t kAloneSlot = kHandlingSlots - 1;  ///< of them: of a message handled with nothing beside it

class SegmentSpool final : public Spool, private DraftHost {
 public:
  SegmentSpool(SpoolSettings settings, SpoolHost host, Report report);
  ~SegmentSpool() override;
  /// Takes the folder's lock, recovers, and judges what was being handled when the last process ended.
  Result<void> start();

  Draft begin(Executor& home, std::uint64_t size_hint) override;
  SpoolWait<MessageReader> open(Executor& home, MessageId id) override;
  SpoolWait<void> change(Executor& home, Change change) override;
  void change_lazily(Executor& home, Change change) override;
  SpoolWait<std::vector<MessageInfo>> list(Executor& home, MessageId after, std::size_t limit) override;
  SpoolWait<SpoolStats> stats(Executor& home) override;
  Handling handling(Executor& home, MessageId id, bool alone) override;

 private:
  struct FlushTimer final : TimerNode {
    explicit FlushTimer(Journal& owner) : journal(owner) {}
    void fire() override { journal.flush(); }
    Journal& journal;
  };
  struct WorkerPart {
    WorkerPart(Executor& the_home, Journal& journal) : home(the_home), ids(the_home.index()), timer(journal) {}
    Executor& home;
    IdSource ids;
    std::shared_ptr<ChunkPool> chunks = std::make_shared<ChunkPool>();
    std::size_t next_slot = 0;
    FlushTimer timer;
  };
  WorkerPart& part(Executor& home);
  void commit(JournalRequest& request) override { journal_.push(request); }
  Store* store() override { return &store_; }
  const SpoolSettings& settings() const override { return store_.settings; }

  Result<void> make_folders();
  Result<void> ensure_head();
  void judge_handled();
  void push_unattended(Change change);
  SpoolStats count();

  Store store_;
  std::unique_ptr<Lane> journal_lane_;
  std::unique_ptr<Lane> keeper_lane_;
  Journal journal_;
  Keeper keeper_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<SharedMemory> handled_;
  bool started_ = false;
  std::array<std::unique_ptr<WorkerPart>, kMaxWorkers> parts_;  ///< each made and used by its worker alone
};

}  // namespace postern::spool
