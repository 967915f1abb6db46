// MTA-STS, the finding: does a domain have a policy now? The TXT record says whether the one we know is still its own;
// a new one is fetched over HTTPS; one that is known counts until it expires, whatever the DNS says (RFC 8461 §5.1).
//
//   known and same id      it counts; once a day (or at half its life) it is fetched anew, so that it never runs out
//   another id, or none known   fetch. When that fails the known one counts until it expires, else there is none
//   no record              the known one counts until it expires
//
// run() fetches anew in the background what is used and has not been fetched for a day (or half its life), so that
// mail waits for a web server only when a policy is new: find() leaves it the refresh until a quarter of the life is
// left. Bounded: kMaxRefreshed domains and kRoundTime a round. What another worker has fetched comes from the disk. So
// do, at a start, the policies of an earlier process (on worker 0): they are kept up for as long as if they had been
// asked for when they were fetched, or a domain with little mail would lose its own in the first quiet week (§10.2).
//
// After a failed fetch none is tried for 5 minutes (§3.3). Two askers of one domain wait for one look-up.
//
// Owner: the worker's TlsPolicies. Thread: its worker; the disk is read and written on the disk pool.
// Limits: kMaxKnown domains in memory. Errors: throws Cancelled only; a finding says what went wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "mta_sts_store.h"
#include "postern/dns.h"
#include "postern/executor.h"
#include "postern/http.h"
#include "postern/sync.h"
#include "postern/task.h"

namespace postern::relay {

struct StsFinding {
  enum class Problem : std::uint8_t { kNone, kFetch, kWebpki, kInvalid };
  std::shared_ptr<const StsEntry> entry;  ///< null: no policy
  Problem problem = Problem::kNone;       ///< a policy was announced, and this is why it is not known
  bool unsure = false;                    ///< no policy is known, but another time there may be one
  std::string text;                       ///< for the trail
};
std::string_view to_string(StsFinding::Problem problem);  ///< RFC 8460 §4.3.2.2

class StsFinder {
 public:
  static constexpr std::size_t kMaxKnown = 10'000;
  static constexpr Duration kFetchTimeout = 30s;
  static constexpr Duration kAfterFailure = 5min;
  static constexpr Duration kAfterSuccess = 1min;  ///< a max_age of nothing does not make a fetch of each connection
  static constexpr std::chrono::seconds kRefresh{86'400};
  static constexpr Duration kRound = 1h;
  static constexpr Duration kRoundTime = 30min;
  static constexpr std::size_t kMaxRefreshed = 500;  ///< in a round
  static constexpr std::size_t kMaxAdopted = kMaxKnown / 2;

  StsFinder(Executor& executor, Resolver& dns, HttpClient& http, std::shared_ptr<StsStore> store)
      : executor_(executor), dns_(dns), http_(http), store_(std::move(store)) {}
  Task<StsFinding> find(std::string domain, Deadline deadline);
  /// Refreshes each kRound, until it is cancelled.
  Task<void> run();
  /// Takes over what is on the disk and was never asked for since the start. Once, before the first round.
  Task<void> adopt();
  /// One round of it: the policies that count, are due, and were asked for within their own max_age.
  Task<void> refresh();

 private:
  /// What is known of one domain.
  struct Known {
    std::shared_ptr<const StsEntry> entry;
    StsFinding::Problem problem = StsFinding::Problem::kNone;
    std::string why;
    Instant fetch_again{};
    WallTime used{};      ///< last asked for
    bool loaded = false;  ///< the disk was asked
    bool busy = false;    ///< somebody looks it up; `done` tells when he is ready
    Event done;
  };
  struct Busy;
  std::shared_ptr<Known> known(const std::string& domain);
  Task<bool> wait_for(std::shared_ptr<Known> known, Deadline deadline);
  Task<StsFinding> look_up(std::shared_ptr<Known> known, std::string domain, Deadline deadline);
  bool due(const Known& known) const;
  Task<void> refresh_one(std::shared_ptr<Known> known, std::string domain);
  Task<void> load(std::shared_ptr<Known> known, std::string domain);
  Task<void> fetch(std::shared_ptr<Known> known, std::string domain, std::string id, Deadline deadline);
  Task<void> save(std::string domain, std::shared_ptr<const StsEntry> entry);
  StsFinding finding(const Known& known, std::string text, bool unsure = false) const;

  Executor& executor_;
  Resolver& dns_;
  HttpClient& http_;
  std::shared_ptr<StsStore> store_;
  std::unordered_map<std::string, std::shared_ptr<Known>> known_;
  bool refreshing_ = false;  // run() does
};

}  // namespace postern::relay
