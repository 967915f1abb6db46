// Sites: what is known of the places that mail goes to, so that a slow or dead one costs the others nothing.
//
// A site is a set of mail hosts. It has a window of connections (site_window.h), a rate, and a line of those who wait
// for a connection, first come first served and bounded by four times the window: who finds it full is told to come
// back when his turn would be, and does not stand in the queue's way meanwhile. When no host of a site can be reached
// the site is left alone for `back_off`, twice as long after each further failure; then one message goes as a probe,
// and its success opens the site again at once. Single addresses that cannot be reached are remembered likewise.
//
// Limits: kMaxSites, kMaxAddresses; what is at rest goes first.
// Owner: the worker's Courier. Thread: that worker; each worker has its share of [delivery] max_connections.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "outbound.h"
#include "postern/executor.h"
#include "postern/hash.h"
#include "postern/sync.h"
#include "postern/verdict.h"
#include "site_window.h"

namespace postern::relay {

/// Whether one may go to a site now; if not, when to come back, and why.
struct Admission {
  bool go = false;
  Duration later{};
  Reply why;
};

class Site {
 public:
  static constexpr std::size_t kLeastLine = 16;
  static constexpr Duration kGuess = 20ms;   ///< what a message takes, before one is known
  static constexpr Duration kLatest = 1min;  ///< after which one comes back who found the line full

  Site(Executor& executor, const Outbound& outbound, const Route* route);

  /// Waits in line at most until the deadline. After `go` leave in one of the five ways.
  Task<Admission> enter(Deadline deadline);
  void leave_well(Duration took);
  void leave_failed(Reply why);   ///< no host could be reached
  void leave_untried(Reply why);  ///< its addresses are known to be unreachable: nothing new was learned
  void leave_troubled();          ///< a host was reached, and gave up before it took or refused anything
  void leave() { gone(); }        ///< it says nothing about the site

  bool at_rest() const { return window_.running() == 0 && line_.empty() && back_off_ == Duration::zero(); }
  bool down() const { return back_off_ != Duration::zero(); }

  /// How it stands, for people.
  struct State {
    std::uint32_t running = 0, limit = 0;
    std::size_t waiting = 0;
    std::uint32_t per_minute = 0;  ///< messages; 0: as many as go
    Duration closed_for{};         ///< nobody may go there for so long
    Reply why;                     ///< it is left alone
  };
  State state() const;

 private:
  struct Turn;
  std::optional<Admission> refusal();
  bool take_token();
  void give_token_back();
  Duration token_wait() const;
  void admit_waiting();
  void close_line();
  void gone();
  void stay_away();
  Admission later(Duration wait) const;
  Duration next_slot();

  Executor& executor_;
  const DeliverySettings& settings_;
  SiteWindow window_;
  std::deque<Turn*> line_;
  std::uint32_t per_minute_;
  double tokens_ = 1;
  Instant refilled_{};
  Duration back_off_{};
  Instant closed_until_{};
  Instant slot_{};  ///< when the last one who was sent back comes again
  bool probing_ = false;
  Reply why_;
};

class Sites {
 public:
  static constexpr std::size_t kMaxSites = 50'000;
  static constexpr std::size_t kMaxAddresses = 20'000;

  Sites(Executor& executor, const Outbound& outbound) : executor_(executor), outbound_(outbound) {}

  /// Kept alive by who holds it.
  std::shared_ptr<Site> of(const std::string& name, const Route* route);
  /// Why an address must not be tried now; nothing when it may (the first to ask after the wait is the probe).
  std::optional<Reply> unreachable(const std::string& address);
  void failed(const std::string& address, Reply why);
  void reached(const std::string& address) {
    if (!addresses_.empty()) addresses_.erase(address);
  }

 private:
  struct Down {
    Instant until;
    Duration back_off{};
    Reply why;
  };
  Executor& executor_;
  const Outbound& outbound_;
  std::unordered_map<std::string, std::shared_ptr<Site>, BytesHash, std::equal_to<>> sites_;
  std::unordered_map<std::string, Down, BytesHash, std::equal_to<>> addresses_;
};

}  // namespace postern::relay
