// What a Delivery has in its hands while it works: a transaction's recipients, and the address that they are tried at.
//
// Owner: the frames of Delivery's coroutines. Thread: its worker.
#pragma once

#include <algorithm>
#include <map>

#include "courier.h"
#include "delivery.h"

namespace postern::relay {

struct Delivery::Batch {
  std::vector<std::uint32_t> open;  // recipients without a fate
  DotMark mark;
  Address sender;
  unsigned tries = 0;
  unsigned answers = 0;   // hosts that said 4yz, to a recipient or to us
  bool answered = false;  // the present one did
  bool used_up = false;   // an address was left out, since none of ours may send more today
  struct Failed {
    Reply why;
    std::string host;
    bool reached;  // it was connected to
  };
  std::optional<Failed> temporary, permanent;  // of the hosts that failed the last of each class
  std::map<std::uint32_t, Failed> put_off;     // the last 4yz to each who got one
  std::vector<std::uint32_t> waiting;          // those of them who are for the next host
  std::vector<std::uint32_t> maybe_served;     // of the open: all of it left once, without an answer

  void failed(const Reply& why, std::string host, bool reached) {
    (why.permanent() ? permanent : temporary) = Failed{why, std::move(host), reached};
  }
  bool wants_host(const DeliverySettings& settings) const {
    return !open.empty() && tries < settings.max_hosts && answers < settings.max_answering_hosts;
  }
  /// Those who were put off are for the next one.
  void leave_host() {
    answers += std::exchange(answered, false);
    open.insert(open.end(), waiting.begin(), waiting.end());
    std::ranges::sort(open);
    waiting.clear();
  }
  bool may_be_served(std::uint32_t who) const { return std::ranges::find(maybe_served, who) != maybe_served.end(); }
  /// The last word on one whom no host has taken or refused: his own 4yz; a host that may mend before one that refused
  /// us for good; nothing when no host could be tried.
  const Failed* last_word(std::uint32_t who) const {
    if (const auto own = put_off.find(who); own != put_off.end()) return &own->second;
    return temporary ? &*temporary : permanent ? &*permanent : nullptr;
  }
};

struct Delivery::Hop {
  const Target& target;
  Endpoint to;
  std::string address;  // as text
  std::optional<IpAddress> source = std::nullopt;
  const SourceSettings* chosen = nullptr;   // what `source` is in the settings
  const SourceSettings* counted = nullptr;  // a message was counted for it, which no transaction has used yet
  WallTime counted_at{};
  std::string ehlo;
  std::string key;  // of the pool; empty: such connections are not shared
  bool plaintext = false;

  /// "mx.example.org [192.0.2.1]"; of a literal or a Unix socket its name alone.
  std::string name() const {
    return to.is_unix() || target.name.starts_with('[') ? target.name : target.name + " [" + address + "]";
  }
};

}  // namespace postern::relay
