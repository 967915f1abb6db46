// The ledger: what was promised to senders, and what the world outside saw of it. At the end of a seed it says whether
// the two agree.
//
// It believes nobody inside the server: deliveries are what hosts and mailboxes took, reports are parsed from the mail
// that arrived. From the server itself come only its answers (a commit, a recall) and its log lines, which are what an
// administrator would hold against it.
//
//   each accepted recipient   ends delivered, bounced, recalled or discarded; nothing is left once it has drained
//   a mailbox                 gets a message once, whatever crashed
//   a remote host             gets it again only when its answer was lost, or a crash came before the answer could be
//                             kept
//   a bounce                  is told once, to whom NOTIFY wants it; after a delivery only if it says that it may be
//   one a null sender             is told nothing a success                 is told once to who asked for it (NOTIFY),
//   but where the next host took that over
//
// Owner: the scenario. Thread: one. Errors: wrong() has what broke, the first finding first.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dsn_reader.h"
#include "postern/envelope.h"
#include "postern/spool.h"
#include "postern/time.h"

namespace postern::simulation {

/// A host's acceptance of a message: it is the host's from then on.
struct Taken {
  Instant at;
  std::string host;
  bool reply_sent = false;  ///< all octets of the answer left the host, and its connection stood
  bool tells = false;       ///< it took the duty of success reports over (DSN)
};

enum class Fate : std::uint8_t { kRemote, kMailbox, kDiscard, kBounce };

struct LetterRecipient {
  std::string address;
  Fate fate = Fate::kRemote;
  std::string account;  ///< kMailbox
  std::uint8_t notify = kNotifyUnset;

  std::vector<Taken> taken;
  std::vector<Instant> published;
  std::vector<Instant> says_delivered;  ///< lines of the log
  unsigned says_failed = 0;
  std::map<std::string, unsigned> told;  ///< reports that arrived, "failed/ID": how often
  std::optional<Instant> first_told;     ///< of a failure
  bool told_maybe = false;               ///< all of them said that it may have been delivered
};

struct Letter {
  enum class State : std::uint8_t { kUnknown, kAccepted, kGone };  ///< kUnknown: the client got no 250
  std::size_t number = 0;
  MessageId id;
  State state = State::kUnknown;
  std::string sender;  ///< empty: null
  std::string text;
  bool eight_bit = false;
  std::vector<LetterRecipient> recipients;
  std::optional<Instant> recalled;  ///< all that was left of it
  bool maybe_recalled = false;      ///< some of it, or nobody knows how much
};

class Ledger {
 public:
  explicit Ledger(const bool& dead) : dead_(dead) {}

  Letter& add();
  void known_as(Letter& letter, MessageId id) { by_id_[id] = letter.number; }
  Letter* find(MessageId id);
  std::map<std::size_t, Letter>& letters() { return letters_; }

  /// From hosts. Returns what reply_sent() wants; one for each recipient that it took.
  std::vector<Taken*> host_took(Instant now, const std::string& host, const std::string& from,
                                const std::vector<std::string>& to, const std::string& text, bool converted,
                                bool tells);
  void mailbox_took(Instant now, const std::string& account, const std::string& text);

  /// From the server.
  void says(Instant now, std::string_view event, std::string_view id, std::string_view recipient);

  /// The process died, or was stopped: what it had not kept by then may be done again. `since`: from when on it could
  /// keep nothing (a disk that failed).
  void interrupted(Instant now, Instant since) { interruptions_.push_back({since, now}); }
  /// What the spool holds after a start.
  void found(const std::vector<MessageInfo>& there);
  /// All faults are over, the queue has had its time.
  void check_end(const std::vector<MessageInfo>& left);

  void fail(std::string why) { wrong_.push_back(std::move(why)); }
  const std::vector<std::string>& wrong() const { return wrong_; }

  struct Counts {
    unsigned accepted = 0, recipients = 0, delivered = 0, bounced = 0, recalled = 0, repeated = 0, maybe = 0;
  };
  Counts counts() const;

 private:
  LetterRecipient* recipient_of(const std::string& address, Letter** letter);
  void take_report(Instant now, const std::string& where, const std::string& text);
  void take_entry(Instant now, const std::string& where, const Report& report, const ReportEntry& entry, bool nested);
  void check_letter(const Letter& letter);
  void check_recipient(const Letter& letter, const LetterRecipient& one);
  void check_mailbox(const std::string& what, const LetterRecipient& one);
  void check_repeats(const std::string& what, const LetterRecipient& one);
  void check_reports(const std::string& what, const Letter& letter, const LetterRecipient& one);
  void check_success(const std::string& what, const Letter& letter, const LetterRecipient& one);
  void check_none(const std::string& what, const Letter& letter, const LetterRecipient& one);
  bool interrupted_between(Instant from, Instant to) const;

  struct Interruption {
    Instant since, at;
  };
  const bool& dead_;  ///< the server counts as dead: nothing that its remains do is noted
  std::map<std::size_t, Letter> letters_;
  std::map<MessageId, std::size_t> by_id_;
  std::vector<Interruption> interruptions_;
  std::vector<std::string> wrong_;
};

inline constexpr std::string_view kLocalDomain = "local.example";
inline constexpr std::string_view kPostmaster = "postmaster";  ///< account
inline constexpr std::string_view kSenders = "senders";        ///< account of all local senders

}  // namespace postern::simulation
