// A maildrop in the TRANSACTION state: message numbers, deletion marks, and what QUIT makes of them.
//
// Numbers are those of the mailbox's snapshot, fixed for the session. Marks are memory until commit(); a session that
// ends without it has changed nothing (RFC 1939 §6).
//
// Owner:  the session. Thread: the account's owner worker. RFC: 1939 §5, §6; 1460 (LAST).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/mailstore.h"
#include "postern/task.h"

namespace postern::pop3 {

/// What happened in the UPDATE state.
struct Update {
  std::size_t wanted = 0;                ///< messages that were to be removed
  std::vector<std::size_t> not_removed;  ///< message numbers
  std::string fault;                     ///< for the log
};

class Maildrop {
 public:
  /// The highest message accessed and the last log-in, kept with the mailbox.
  static constexpr std::string_view kLastAttribute = "pop3.last_uid";
  static constexpr std::string_view kLoginAttribute = "pop3.last_login";

  explicit Maildrop(std::unique_ptr<Mailbox> mailbox);

  /// The index of a message that a client named, or the text of the -ERR.
  std::expected<std::size_t, std::string> find(std::string_view number) const;
  const MailboxMessage& at(std::size_t index) const { return mailbox_->messages()[index]; }
  bool is_deleted(std::size_t index) const { return deleted_[index]; }
  Mailbox& mailbox() { return *mailbox_; }

  std::size_t total() const { return mailbox_->messages().size(); }
  std::size_t count() const { return count_; }      ///< not marked deleted
  std::uint64_t octets() const { return octets_; }  ///< of these
  std::size_t last() const { return last_; }        ///< number; 0: none

  void touch(std::size_t index);      ///< TOP
  void retrieved(std::size_t index);  ///< RETR, wholly sent
  void remove(std::size_t index);     ///< DELE
  void reset();                       ///< RSET

  /// Also marks for removal what was retrieved and arrived before `before`.
  void expire(WallTime before);
  /// The UPDATE state.
  Task<Update> commit();

 private:
  void mark(std::size_t index);
  Task<Result<void>> remove_marked(Update& update);

  std::unique_ptr<Mailbox> mailbox_;
  std::vector<bool> deleted_, retrieved_;
  std::size_t count_ = 0;
  std::uint64_t octets_ = 0;
  std::size_t last_ = 0;
  std::size_t last_at_login_ = 0;
};

}  // namespace postern::pop3
