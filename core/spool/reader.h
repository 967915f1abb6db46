// MessageReader::Impl: a stored message being read. The record's front (and a short body with it) is read when the
// message is opened; what remains comes in pieces through the disk pool, and is checked when the end is reached.
//
// Thread: its home worker; load() on a disk thread. The segment and the body file are pinned while it lives.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/spool/body_files.h"
#include "core/spool/disk_job.h"
#include "core/spool/format.h"
#include "core/spool/index.h"
#include "postern/spool.h"

namespace postern::spool {

struct Store;

inline constexpr std::size_t kReadPiece = 64 * 1024;

/// Opens a message on the disk pool.
SpoolWait<MessageReader> open_message(Store& store, Executor& home, MessageId id);

}  // namespace postern::spool

namespace postern {

class MessageReader::Impl final {
 public:
  explicit Impl(Executor& home) : home_(home) {}
  ~Impl();

  /// From the disk, on a disk thread.
  std::optional<Fault> load(spool::Store& store, MessageId id);
  /// From a record in memory, which holds the body too.
  void set(MessageInfo info, const spool::AcceptHead& head, std::string front);

  MessageInfo info;
  std::string_view part(int number) const;  ///< 0 envelope, 1 client, 2 plan, 3 trail, 4 prefix, 5 header
  std::uint64_t body_size() const { return head_.body; }
  SpoolWait<std::string_view> next();
  void rewind_to(int stage);

 private:
  struct Next final : SpoolOp<std::string_view>, spool::DiskJob {
    explicit Next(Impl& owner) : reader(owner) {}
    bool ready() override { return reader.next_in_memory(); }
    void start() override;
    void run() override { finish(); }
    void release() override {}
    void work() override { reader.read_piece(); }
    void done() override { finish(); }
    Impl& reader;
  };
  std::optional<Fault> pin(spool::Store& store, MessageId id);
  std::optional<Fault> read_front();
  std::optional<Fault> open_body(spool::Store& store);
  bool next_in_memory();
  void read_piece();
  Result<std::string_view> give_body(std::string_view piece);

  Executor& home_;
  std::shared_ptr<spool::Segment> segment_;
  spool::BodyFile* body_pin_ = nullptr;
  std::shared_ptr<const spool::HotBody> hot_;  ///< the body in memory; then no file is open
  std::unique_ptr<File> body_file_;
  std::uint64_t record_offset_ = 0;
  std::uint64_t record_length_ = 0;
  spool::AcceptHead head_;
  std::string front_;  ///< payload up to the body, or all of it
  bool body_in_front_ = false;

  int stage_ = 4;  ///< 4 prefix, 5 header, 6 body, 7 the end
  std::uint64_t body_at_ = 0;
  std::size_t hot_at_ = 0;  ///< the chunk of hot_ that comes next
  std::uint32_t body_crc_ = 0;
  std::string piece_;
  Next next_{*this};
};

}  // namespace postern
