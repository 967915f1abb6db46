// The mail store: delivery that happens exactly once, and mailboxes as POP3 (and later IMAP) read them.
//
// plugins/maildir provides the default. Delivery is in steps that the queue drives, so that it survives a crash at any
// point (architecture.md decision 6): stage() makes a durable temporary file, the queue makes `placed` durable with its
// token, publish() renames it and syncs the folder, the queue writes `done`. After a crash, a token whose temporary
// file is gone was delivered, whatever became of the mail since.
//
// Thread: any worker may call; file work runs on the disk pool. A Mailbox belongs to the worker that opened it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"
#include "postern/task.h"
#include "postern/time.h"

namespace postern {

class MessageReader;  // postern/spool.h

struct DeliveryRequest {
  std::string account;
  std::string folder = "INBOX";
  std::vector<std::string> flags;  ///< "\\Seen", keywords
  std::string prefix;              ///< headers to put in front (Return-Path, Delivered-To), CRLF ended
  WallTime received{};
  std::string unique;  ///< message id and recipient number: the same for every try of one delivery
  /// Fields (without the empty line) instead of the message's own header block; nothing: its own. For header edits.
  std::optional<std::string> header = {};
};

/// Service "mailstore".
class MailStore {
 public:
  static constexpr std::string_view kService = "mailstore";
  virtual ~MailStore();

  /// Writes the message durably to a temporary place; returns the token that names it, at most kNoteLimit octets
  /// (postern/spool.h) so that a mark can keep it. Faults: "store.full" (disk or
  /// quota now; retry), "store.io", "store.no_account".
  virtual Task<Result<std::string>> stage(DeliveryRequest request, MessageReader& message) = 0;
  /// Makes a staged message visible; returns once that is durable (syncs are shared between deliveries). Fault
  /// "store.gone": neither the staged nor the published file is there.
  virtual Task<Result<void>> publish(std::string token) = 0;
  /// After a crash: whether the temporary file of `token` is still there (true: publish it). False is told only when
  /// its absence is durable, so that `done` may follow.
  virtual Task<Result<bool>> is_staged(std::string token) = 0;
  virtual Task<void> discard(std::string token) = 0;
  /// Removes temporary files that no `placed` names and that are older than `before`; returns how many.
  virtual Task<std::size_t> sweep(WallTime before) = 0;

  /// A POP3 maildrop or IMAP folder. Fault "store.no_folder" when it is not there (INBOX is always made).
  virtual Task<Result<std::unique_ptr<class Mailbox>>> open(std::string account, std::string folder) = 0;
};

struct MailboxMessage {
  std::uint32_t uid = 0;
  std::string unique_id;   ///< POP3 UIDL: 1..70 octets of 0x21..0x7E, never reused (RFC 1939 §7)
  std::uint64_t size = 0;  ///< octets with CRLF line ends, as the wire counts them
  WallTime received{};
  bool seen = false;
};

/// Streams one message's octets with CRLF line ends.
class MessageBody {
 public:
  virtual ~MessageBody();
  /// The next chunk; empty at the end. Valid until the next call.
  virtual Task<Result<std::string_view>> next() = 0;
};

/// A snapshot taken when it was opened; messages that arrive later are not in it.
class Mailbox {
 public:
  virtual ~Mailbox();
  virtual const std::vector<MailboxMessage>& messages() const = 0;
  virtual Task<Result<std::unique_ptr<MessageBody>>> read(std::size_t index) = 0;
  /// Removes messages durably, by index into messages(); one that is gone already is no error.
  virtual Task<Result<void>> remove(std::vector<std::size_t> indexes) = 0;
  virtual Task<Result<void>> mark_seen(std::vector<std::size_t> indexes) = 0;
  /// Small named values kept with the mailbox across sessions (POP3's LAST and LOGIN-DELAY).
  virtual std::string attribute(std::string_view name) const = 0;
  virtual Task<Result<void>> set_attribute(std::string name, std::string value) = 0;
};

}  // namespace postern
