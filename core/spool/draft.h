// Draft::Impl: a message being taken in. Header octets gather in a string until their empty line; body octets fill
// pooled chunks; past the threshold the chunks go to a body file on the disk pool, one write under way while the next
// fills, so that a large message costs two writes' worth of memory.
//
// Thread: its home worker. A draft that is destroyed while the disk works on it lives on, unseen, until that is over.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/spool/body_files.h"
#include "core/spool/chunk_pool.h"
#include "core/spool/disk_job.h"
#include "core/spool/journal.h"
#include "postern/spool.h"

namespace postern::spool {

/// What a draft needs of its spool. The memory spool has one too.
class DraftHost {
 public:
  virtual void commit(JournalRequest& request) = 0;
  virtual Store* store() = 0;  ///< null: bodies never leave memory
  virtual const SpoolSettings& settings() const = 0;

 protected:
  ~DraftHost() = default;
};

inline constexpr std::size_t kBodyWriteSize = 256 * 1024;

}  // namespace postern::spool

namespace postern {

class Draft::Impl final {
 public:
  Impl(Executor& home, MessageId id, std::uint64_t size_hint, spool::DraftHost& host,
       std::shared_ptr<spool::ChunkPool> pool);
  ~Impl();
  static void abandon(std::unique_ptr<Impl> impl);

  /// Takes what can be taken now; true when that is all of it, or the draft has failed.
  bool take(std::string_view& chunk);
  void wait_to_append(Draft::Append& append) { appending_ = &append; }
  const std::optional<Fault>& failed() const { return failed_; }

  MessageId id;
  std::string prefix;
  std::string header;
  bool header_complete = false;
  std::uint64_t body_size = 0;

  SpoolWait<std::string> read_body(std::uint64_t offset, std::size_t limit);
  SpoolWait<MessageId> commit(AcceptMeta meta);

 private:
  struct BodyWrite final : spool::DiskJob {
    explicit BodyWrite(Impl& owner) : draft(owner) {}
    void work() override;
    void done() override { draft.written(); }
    std::optional<Fault> write();
    Impl& draft;
    std::vector<spool::Chunk> chunks;
    std::uint64_t octets = 0;
    bool last = false;
    std::optional<Fault> fault;
  };
  struct Commit final : SpoolOp<MessageId> {
    explicit Commit(Impl& owner) : draft(owner) {}
    void start() override { draft.start_commit(); }
    void run() override { draft.end_commit(); }
    void release() override {}
    Impl& draft;
  };
  struct Accept final : spool::JournalRequest {
    explicit Accept(Impl& owner) : JournalRequest(Kind::kAccept), draft(owner) {}
    void completed() override { draft.end_commit(); }
    Impl& draft;
  };
  class ReadBody;

  std::size_t take_header(std::string_view chunk);
  void put_body(std::string_view octets);
  bool behind() const { return writing_ && pending_octets_ >= spool::kBodyWriteSize; }
  bool large() const;
  void start_write(bool last);
  void written();
  void continue_append();
  void start_commit();
  void write_record();
  void end_commit();
  void fail(Fault fault);

  Executor& home_;
  spool::DraftHost& host_;
  std::shared_ptr<spool::ChunkPool> pool_;
  std::uint64_t size_hint_;

  std::vector<spool::Chunk> pending_;  ///< not yet given to a write; all but the last are full
  std::uint64_t pending_octets_ = 0;
  std::uint64_t flushed_ = 0;  ///< octets of the body that writes have taken over
  std::uint64_t on_disk_ = 0;  ///< octets that may be read from the file
  spool::BodyLease lease_;
  std::unique_ptr<spool::HotBody> hot_;  ///< what was written, unless there is no room for it
  std::uint32_t body_crc_ = 0;           ///< of what is in the file
  bool writing_ = false;
  bool in_journal_ = false;
  bool committing_ = false;
  bool body_taken_ = false;  ///< the log refers, or may refer, to the body file
  bool abandoned_ = false;
  std::optional<Fault> failed_;
  Draft::Append* appending_ = nullptr;

  AcceptMeta meta_;
  BodyWrite write_{*this};
  Commit commit_{*this};
  Accept accept_{*this};
};

}  // namespace postern
