// The suppression list: to whom mail is not sent any more, for some time.
//
// An entry has a scope (whose mail: "*", "@example.org" or "ann@example.org"), a recipient (an address, or "@domain"
// for all of a domain), a reason and an end. Hard bounces (is_hard_bounce()) are entered for the sender's domain,
// complaints (ARF) for the sender. The queue asks before an attempt.
//
// A complaint counts only with the proof that its mail left here (suppress_proof.h), whoever reports it: the field in
// the header that it returns must fit to a sender of ours and a recipient, both named by the report or that header. So
// a stranger can enter nobody, and a recipient nobody but the recipient of the very copy that the report returns.
//
// Memory: an entry costs about 270 octets; at [suppression] max_entries those that end soonest go. Disk: an append-only
// text file, one checked line a change ("+" or "-"), rewritten when more than half of it is dead. A torn last line is
// cut, a damaged one passed over and counted. Changes are synced in groups; what a crash takes back is learnt again
// from the next bounce.
//
// Thread: the entries belong to the owner (worker 0); others ask through run_on(). may_be_listed() answers on any
// worker without a wait, from a filter of atomic counters that knows every entry (and says yes to about one in seventy
// others); what goes from the list goes from the filter. Errors: "suppress.file" (nothing is remembered beyond this
// process then, the list works on), "suppress.value".
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/config.h"
#include "postern/control.h"
#include "postern/env.h"
#include "postern/envelope.h"
#include "postern/error.h"
#include "postern/executor.h"
#include "postern/task.h"
#include "postern/time.h"
#include "postern/verdict.h"
#include "suppress_proof.h"

namespace postern::queue {

struct SuppressionSettings : Located {
  bool enabled = true;
  Duration bounced = 24h * 30;
  Duration complained = 24h * 365;
  std::uint32_t max_entries = 200'000;
  std::string feedback_address;
};
void describe(Schema<SuppressionSettings>& s);

enum class SuppressReason : std::uint8_t { kBounced, kComplained, kUnsubscribed, kManual };
std::string_view to_string(SuppressReason reason);
std::optional<SuppressReason> parse_suppress_reason(std::string_view word);

struct Suppression {
  std::string scope;      ///< "*", "@example.org", "ann@example.org"; lower case
  std::string recipient;  ///< "bob@far.example" or "@far.example"; lower case
  SuppressReason reason = SuppressReason::kManual;
  WallTime since{};
  WallTime until = WallTime::max();  ///< max: for ever
  std::string why;                   ///< at most kMaxWhy octets, one line
  bool operator==(const Suppression&) const = default;

  static constexpr std::size_t kMaxWhy = 200;
};

/// Text as the file has it, and back; nothing when it is damaged.
std::string suppression_line(const Suppression& entry, bool add);
struct SuppressionChange {
  bool add = false;
  Suppression entry;
};
std::optional<SuppressionChange> parse_suppression_line(std::string_view line);

class SuppressionList {
 public:
  static constexpr std::string_view kFile = "suppression";

  /// `folder`: the state folder. All outlive the list.
  SuppressionList(Env& env, std::string folder, Executor& owner, SuppressionSettings settings);

  /// Reads the file (on the disk pool). Once, on the owner, before find() is asked.
  Task<Result<void>> open();

  /// What works for the list beside its callers (a task of the queue as a whole), on the owner. Without it, what
  /// learn_later() took is written with the next change.
  void set_background(std::function<void(Task<void>)> spawn) { background_ = std::move(spawn); }

  /// False: not listed, for certain. Any thread.
  bool may_be_listed(const Address& sender, const Address& recipient) const;
  /// The entry that forbids it. Any worker; without a frame and without asking the owner where may_be_listed() is
  /// false.
  Task<std::optional<Suppression>> find(const Address& sender, const Address& recipient);

  /// Enters or replaces (the later end wins for the same scope and recipient). Any worker; returns when it is synced,
  /// or when another call is about to sync it. Errors: suppress.value (scope or recipient is no such), suppress.file.
  Task<Result<void>> add(Suppression entry);
  /// True when there was such an entry.
  Task<Result<bool>> remove(std::string scope, std::string recipient);
  /// Entries in the order of recipients, after (`after_recipient`, `after_scope`), at most `limit`.
  Task<std::vector<Suppression>> list(std::string after_recipient, std::string after_scope, std::size_t limit);

  /// What a refusal teaches: a hard bounce is entered, anything else is nothing. True when an entry was made.
  Task<Result<bool>> learn(Address sender, Address recipient, Reply reply);
  /// The same without a wait: it holds soon, and is on disk some time after.
  void learn_later(const Address& sender, const Address& recipient, const Reply& reply);
  /// What a complaint (the text of an ARF report, RFC 5965) teaches: an entry for each sender and recipient that
  /// `proof` confirms. Returns how many were made; 0 for a complaint that proves nothing.
  Task<Result<std::size_t>> learn_complaint(std::string message, const FeedbackProof& proof);
  /// Whether it is [suppression] feedback_address, or an alias of that name led to it (ORCPT).
  bool is_feedback(const Recipient& recipient) const;

  /// On the owner.
  std::size_t size() const { return by_key_.size(); }
  std::uint64_t damaged_lines() const { return damaged_; }

 private:
  using Key = std::pair<std::string, std::string>;  ///< recipient, scope
  struct Flush {
    std::string text;
    std::uint64_t offset = 0;
    bool rewrite = false;
  };
  void apply(const SuppressionChange& change, WallTime now);
  void make_room(WallTime now);
  template <class Which>
  void erase_those(Which which);
  Task<std::optional<Suppression>> find_marked(std::vector<Key> keys);
  std::optional<Suppression> bounce_entry(const Address& sender, const Address& recipient, const Reply& reply,
                                          WallTime now) const;
  Task<void> flush_quietly();
  void note(const SuppressionChange& change);
  std::optional<Suppression> look(const std::vector<Key>& keys, WallTime now) const;
  Task<Result<void>> change(SuppressionChange change, bool* found);
  std::optional<Flush> begin_flush();
  Task<Result<void>> flush_all();
  Result<void> write(const Flush& flush);
  Result<std::string> read_whole();
  std::string whole_text() const;
  void mark(const Key& key, bool there);
  bool marked(std::string_view recipient, std::string_view scope) const;
  std::uint64_t probe(std::uint64_t hash, std::uint64_t number) const;
  static std::vector<Key> keys_of(const Address& sender, const Address& recipient);

  Env& env_;
  std::string path_;
  std::string folder_;
  Executor& owner_;
  SuppressionSettings settings_;
  std::uint64_t seed_;
  std::vector<std::atomic<std::uint8_t>> filter_;  ///< written by the owner alone

  std::function<void(Task<void>)> background_;
  // the owner's
  std::map<Key, Suppression> by_key_;
  std::string pending_;
  std::uint64_t file_size_ = 0;
  std::uint64_t lines_ = 0;  ///< in the file and pending
  std::uint64_t damaged_ = 0;
  WallTime purged_{};  ///< when entries that had ended were last taken out
  bool flushing_ = false;
  bool broken_ = false;  ///< the last write failed: the next one rewrites all
};

/// "suppress.list", "suppress.add", "suppress.remove" for the control socket; rows are JSON.
void add_suppression_commands(Control& control, SuppressionList& list);

}  // namespace postern::queue
