// A folder as a session sees it: a snapshot of its names, and the messages read from their files.
//
// One pool job lists new and cur, gives UIDs to what is new, and reads the attributes; no message is opened unless its
// name does not tell its size, and then only once in its life. A file that another program has renamed since (flags) is
// found again by its base name.
//
// Owner:  the session. Thread: the worker that opened it. Errors: store.io, store.gone, store.full.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "batch.h"
#include "postern/mailstore.h"

namespace postern::maildir {

/// A message's file within its folder: "new/x" or "cur/x:2,S".
struct Snapshot {
  std::vector<MailboxMessage> messages;
  std::vector<std::string> files;  ///< beside messages
  std::map<std::string, std::string, std::less<>> attributes;
};

/// Blocks: pool threads only. INBOX is made when it is not there. Faults: store.no_folder, store.io.
Result<Snapshot> load_snapshot(const std::string& root, const std::string& dir);

/// Where a message's file is now, after another program renamed it; nothing when it is gone. Blocks.
std::optional<std::string> find_again(const std::string& dir, const std::string& file);

class MaildirMailbox final : public Mailbox {
 public:
  static constexpr std::size_t kMaxAttributes = 100;
  static constexpr std::size_t kMaxAttributeBytes = 64U << 10;

  MaildirMailbox(Batch& batch, std::string dir, Snapshot snapshot)
      : batch_(batch), dir_(std::move(dir)), snapshot_(std::move(snapshot)) {}

  const std::vector<MailboxMessage>& messages() const override { return snapshot_.messages; }
  Task<Result<std::unique_ptr<MessageBody>>> read(std::size_t index) override;
  Task<Result<void>> remove(std::vector<std::size_t> indexes) override;
  Task<Result<void>> mark_seen(std::vector<std::size_t> indexes) override;
  std::string attribute(std::string_view name) const override;
  Task<Result<void>> set_attribute(std::string name, std::string value) override;

 private:
  Batch& batch_;
  std::string dir_;  ///< with the root
  Snapshot snapshot_;
};

}  // namespace postern::maildir
