// Answers of the world out of a trail: what a rule that runs again (replay, explain, specs) is told instead of asking.
//
// Built from the effect entries of a decoded trail, or filled by hand (specs). Effects, questions and answers have the
// text forms of TRAIL.md, "Effects". A question is looked for among the entries of its own stage first, in the order in
// which they were written; when all of those were used up
//
//   - a pure question (dns, directory, http GET, sql, kv.get) gets the last answer that there was again, or that of
//     another stage;
//   - one that changes the world or never has the same answer twice (clock, random, kv.incr, http POST, at_most,
//     rate_limit) takes the next unused entry of another stage, and after that has no answer.
//
// Of questions that nobody stated an answer to, kv and random may be answered by a Fallback (specs).
//
// What has no answer, or one that was cut or secret, is noted in unanswered() and gets the answer of a world that is
// down: never a guess.
//
// Owner:  whoever replays; PolicyWorker points to it (PipelinePolicy::answer_from). Thread: that of the worker.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/auth.h"
#include "postern/database.h"
#include "postern/dns.h"
#include "postern/http.h"
#include "postern/key_value.h"
#include "postern/time.h"
#include "postern/trail.h"

namespace postern {

class RecordedAnswers {
 public:
  /// A question that could not be answered.
  struct Unanswered {
    Stage stage;
    std::string effect;
    std::string question;
    std::string why;  ///< "was not asked", "was asked less often", "the answer was cut", "the answer is secret" …
  };

  /// Answers what nothing was stated for.
  class Fallback {
   public:
    virtual ~Fallback() = default;
    virtual Result<KeyValueReply> kv(std::string_view store, const KeyValueRequest& request) = 0;
    virtual double random() = 0;  ///< [0, 1)
  };

  RecordedAnswers() = default;
  /// Takes the effect entries; others are passed over. The first `start` is the clock when nothing else says the time.
  explicit RecordedAnswers(const std::vector<TrailEntry>& entries);

  /// One more answer, for specs: at `stage`, or at any.
  void add(std::string_view effect, std::string_view question, std::string_view answer,
           std::optional<Stage> stage = std::nullopt);
  /// For specs; it outlives this.
  void fall_back_to(Fallback& fallback) { fallback_ = &fallback; }
  /// Addresses are those of a directory that looks at no case, and were added in lower case. A trail's are exact.
  void fold_addresses() { folds_ = true; }
  /// A clock that stands still; recorded times are not looked at.
  void set_clock(WallTime now) { clock_ = now; }

  DnsAnswer dns(Stage stage, std::string_view name, RecordType type);  ///< unanswered: kTimeout
  AddressLookup find(Stage stage, const Address& address);             ///< unanswered: kTemporary
  /// Follows from what is known of the domain or of an address in it; unanswered: kForeign.
  DomainKind domain_kind(Stage stage, std::string_view ascii_domain);
  /// Unanswered: Fault "replay.unanswered"; recorded errors are Faults again.
  Result<HttpResponse> http(Stage stage, const HttpRequest& request);
  Result<SqlRows> sql(Stage stage, std::string_view database, std::string_view statement,
                      const std::vector<SqlArgument>& arguments);
  Result<KeyValueReply> kv(Stage stage, std::string_view store, const KeyValueRequest& request);
  WallTime clock(Stage stage);  ///< unanswered: the last known time
  double random(Stage stage);   ///< unanswered: 0
  /// What Effects::recorded() says: the answer's text; empty when there is none.
  std::string text(Stage stage, std::string_view effect, std::string_view question);

  /// In order; each question once, however often it was asked. At most kMaxUnanswered.
  const std::vector<Unanswered>& unanswered() const { return unanswered_; }
  static constexpr std::size_t kMaxUnanswered = 1000;
  /// The trail said that entries were left out for want of room: unanswered questions may have been asked after all.
  bool incomplete() const { return incomplete_; }

 private:
  struct Entry {
    std::optional<Stage> stage;
    std::string answer;
    bool used = false;
  };
  using Key = std::pair<std::string, std::string>;
  enum class Repeat : std::uint8_t { kSame, kNever };

  const std::string* take(Stage stage, std::string_view effect, std::string_view question, Repeat repeat);
  void note(Stage stage, std::string_view effect, std::string_view question, std::string_view why);

  std::map<Key, std::vector<Entry>> entries_;
  std::map<std::string, DomainKind, std::less<>> domains_;  ///< as the trail's addresses have them
  std::vector<Unanswered> unanswered_;
  std::optional<WallTime> clock_;
  WallTime last_time_{};
  Fallback* fallback_ = nullptr;
  bool folds_ = false;
  bool incomplete_ = false;
};

}  // namespace postern
