// MaildirStore: exactly-once delivery into Maildir++ folders, and their mailboxes.
//
// stage() writes tmp/<base> and makes it durable; publish() renames it to new/ (or cur/ when it has flags) and makes
// that durable. A file's name derives from DeliveryRequest::unique, so that a second try overwrites its own first one
// and two deliveries never meet. Octets go by at most kPiece at a time when a message is larger than kBuffered or many
// are under way, so memory is bounded by Batch's budget.
//
// A token is "dir TAB name". One that is longer than a spool's mark may be (kNoteLimit) is kept in root/.tokens/<hash>,
// durable before it is handed out, and "@<hash>" stands for it.
//
// Owner:  the module. Thread: any worker; each has its own Batch. Errors: store.full, store.io, store.no_account,
// store.no_folder, store.gone, store.token.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "batch.h"
#include "names.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/mailstore.h"

namespace postern::maildir {

struct StoreOptions {
  std::string root;
  std::string host;  ///< in file names
  SyncMode sync = SyncMode::kFileSystem;
};

class MaildirStore final : public MailStore {
 public:
  static constexpr std::size_t kBuffered = 256U << 10;  ///< a message up to it goes to the disk in one piece
  static constexpr std::size_t kPiece = 64U << 10;

  MaildirStore(unsigned workers, StoreOptions options);
  ~MaildirStore() override;
  /// Makes the root when it is not there (privileges were dropped before), and this worker's Batch. On the worker's
  /// thread, before anything else is asked there. Faults: "store.io"; deliveries then fail one by one, and are tried
  /// again.
  Result<void> start(Executor& worker);

  Task<Result<std::string>> stage(DeliveryRequest request, MessageReader& message) override;
  Task<Result<void>> publish(std::string token) override;
  Task<Result<bool>> is_staged(std::string token) override;
  Task<void> discard(std::string token) override;
  Task<std::size_t> sweep(WallTime before) override;
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string account, std::string folder) override;

  const std::string& root() const { return options_.root; }

 private:
  Batch& batch(Executor& executor) { return *batches_[executor.index()]; }
  Result<Place> place_of(const DeliveryRequest& request) const;
  /// Reads a token, from root/.tokens when it is a long one.
  Task<Result<Place>> resolve(std::string token);

  StoreOptions options_;
  std::vector<std::unique_ptr<Batch>> batches_;  ///< one per worker
};

}  // namespace postern::maildir
