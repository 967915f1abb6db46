// The archive: messages as clients sent them, kept for a sample or for all, so that `postern replay` can run changed
// scripts over what really came ([archive]; nothing is kept by default).
//
// A message is copied when its last octet is here and before the first rule sees it, so that accepted and refused mail
// are alike and no rule has changed it. The copy goes to a lane of its own, which alone touches files: neither the
// answer to the client nor the commit waits for them. No sync is done; a crash may lose the last few.
//
// Files:  state/archive/ID.eml, ID being the draft's id, which is the message's once it is accepted. Each begins with
//         who sent it to whom, so that erasure needs no other file:
//             postern-archive 1 LF, sender SP address LF, recipient SP address LF (any number), LF, then the octets
//         The trail says that a copy was made: the fact "archived" with the id.
// Limits: [archive] keep_bytes, keep_for, largest; kMaxWaiting octets that wait for the disk, beyond which copies are
//         dropped and counted. Bodies above [spool] large_body_threshold lie on the disk already and are read back,
//         which the client of such a message waits for.
// Errors: a copy that cannot be written is counted; the mail goes on.
// Thread: wants() and keep() on the worker of the mail; tidy() and erase() on any; files on the lane.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/pipeline/settings.h"
#include "core/pipeline/trail_lane.h"
#include "core/pipeline/trail_log.h"
#include "core/pipeline/trail_person.h"
#include "postern/env.h"
#include "postern/executor.h"
#include "postern/metrics.h"
#include "postern/pipeline.h"

namespace postern {

/// The octets that the client sent as the message of this record: header and body, without the trace fields that we
/// put before them. Nothing when no copy was kept, or none is left. Blocks.
std::optional<std::string> archived(Env& env, const std::string& dir, const TrailRecord& record);
/// The name under which a record's message would be in the archive; empty when its trail says that none was kept.
std::string archive_name(const TrailRecord& record);

/// Takes a person's messages away: those whose envelope or text names the address. For the lane, and for the CLI while
/// no server runs. With `pretend` only counted. Errors: files that could not be read or removed are counted apart.
struct ArchiveErased {
  std::uint64_t messages = 0;
  std::uint64_t failed = 0;
};
ArchiveErased erase_archived(Env& env, const std::string& dir, const Person& person, bool pretend);

class Archive {
 public:
  static constexpr std::size_t kMaxWaiting = 16 << 20;

  Archive(ArchiveSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, Metrics& metrics);
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  /// Whether this message is one to be kept. Draws a number of `worker` when it keeps a sample.
  bool wants(Executor& worker, const Transaction& transaction) const;
  /// Copies the message, says so in its trail, and hands the copy over. `transaction` must have a whole draft.
  Task<void> keep(Executor& worker, Transaction& transaction);
  /// Looks for what is too old; from time to time, since no mail may come that would do it.
  void tidy(WallTime now);
  Task<ArchiveErased> erase(Person person, bool pretend);

  std::uint64_t kept() const { return kept_.value(); }
  std::uint64_t dropped() const { return dropped_.value(); }

 private:
  class Copy;
  class Tidy;
  struct Kept {
    std::string name;
    std::uint64_t size;
  };
  void write(const std::string& name, std::string_view text);  // on the lane, like what follows
  void load();
  void forget_old(WallTime now);

  ArchiveSettings settings_;
  std::string dir_;
  Env& env_;
  Counter& kept_;
  Counter& dropped_;
  std::atomic<std::size_t> waiting_{0};
  std::deque<Kept> files_;  // oldest first
  std::uint64_t total_ = 0;
  bool loaded_ = false;
  std::unique_ptr<Lane> lane_;  // last, so that it ends before what it writes to
};

}  // namespace postern
