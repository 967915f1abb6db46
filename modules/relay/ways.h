// WayFinder: from a recipient to the hosts that take its mail, and from a host to its addresses and TLS decision.
//
//   heading()  which destination, at once: recipients with the same key go together
//   find()     its Way: the route's hosts, or MX (RFC 5321 §5.1), or why there is none
//   target()   one host of it, ready to be connected to
//
// What was found is kept for a short while (bounded in time by what the DNS and the policies say, and in number), so
// that the thousandth message to a site asks nobody. Dead ends are values: 5xx is final, 4xx waits.
//
// Safety: an MX is a stranger's word. It may not lead to us (5.4.6), nor into loopback or private networks unless
// [delivery] allow_private lists them; address literals need allow_literals. Routes are an administrator's word.
//
// Owner: the worker's Courier. Thread: that worker. Errors: throws Cancelled only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "outbound.h"
#include "postern/dns.h"
#include "postern/executor.h"
#include "postern/pipeline.h"
#include "shelf.h"
#include "way.h"

namespace postern::relay {

/// Where a recipient's mail heads, before anybody was asked.
struct Heading {
  std::string key;               ///< recipients with the same one share transactions
  std::string domain;            ///< of the recipient, in ASCII; of a route or next hop with hosts of its own its name
  bool by_mx = true;             ///< the recipient's domain leads the way, and nothing else
  const Route* route = nullptr;  ///< null: none fits
  std::string gateway;           ///< the plan's next hop, when it names no route
  std::string tls;               ///< the plan's word; empty: none
  std::optional<IpAddress> source;
};

/// One host, ready.
struct Target {
  std::string name;
  std::string domain;               ///< whose TLS policies were asked
  std::vector<Endpoint> endpoints;  ///< in the order to try; empty: see `dead_end`
  TlsDecision tls;
  bool implicit_tls = false;
  bool loop = false;              ///< it is us: neither this host nor a worse one may be tried
  std::optional<Reply> dead_end;  ///< why it cannot be used
};

class WayFinder {
 public:
  static constexpr std::size_t kMaxKept = 20'000;  ///< ways, and hosts, in memory
  static constexpr Duration kLongest = 60s;        ///< that one is kept
  static constexpr Duration kFailure = 5s;         ///< that a temporary dead end is kept

  WayFinder(Executor& executor, Resolver& dns, TlsPolicies& tls, std::shared_ptr<const Outbound> outbound);

  Heading heading(const Address& sender, const Address& recipient, const PlanStep& step) const;
  Task<std::shared_ptr<const Way>> find(const Heading& heading, Deadline deadline);
  Task<std::shared_ptr<const Target>> target(const Way& way, std::size_t host, bool require_tls, Deadline deadline);

 private:
  template <class T>
  std::shared_ptr<const T> keep(Shelf<T>& shelf, std::string key, T value, Duration time);

  Task<std::shared_ptr<const Way>> look_up(Heading heading, Deadline deadline);
  Task<void> add_hops(Way& way, std::vector<NextHop> hops, Deadline deadline);
  Task<void> add_mx(Way& way, std::string domain, std::uint16_t port, bool configured, Deadline deadline);
  void literal(Way& way, const std::string& domain) const;
  void cut_loop(Way& way) const;
  Task<std::shared_ptr<const Target>> look_up_target(std::string key, Way way, std::size_t host, bool require_tls,
                                                     Deadline deadline);
  void take_addresses(Target& target, const WayHost& host, HostAddresses& found, FamilyOrder order) const;

  Executor& executor_;
  Resolver& dns_;
  TlsPolicies& tls_;
  std::shared_ptr<const Outbound> outbound_;
  Shelf<Way> ways_{kMaxKept};
  Shelf<Target> targets_{kMaxKept};
};

}  // namespace postern::relay
