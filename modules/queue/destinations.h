// What a shard knows of each destination (next hop) that it has mail for: how much may be under way, how it goes.
//
// One attempt at first, which shows whether anybody answers there; then the window, which begins small, grows by one
// with each success, and falls to one when no host could be reached: a site that is dead or slow holds few of the slots
// that all share. The transport has its own windows, for sites (sets of hosts); this one keeps the queue from spending
// its turns there.
//
// Destinations are told apart by destination_hash() of their name, since mail that was found at the start has only
// that. Two names with one hash share a window and nothing else.
//
// Owner: the Shard. Thread: its worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "postern/time.h"
#include "routes.h"

namespace postern::queue {

struct Destination {
  static constexpr unsigned kFirstWindow = 4;

  std::string name;  ///< empty: not read yet
  const Route* route = nullptr;
  std::uint32_t hash = 0;
  std::uint32_t messages = 0;   ///< items that count for it
  std::uint32_t queued = 0;     ///< of them and their parts: ready, and not begun
  std::uint32_t collected = 0;  ///< of them: counted with those of the other shards
  unsigned hot = 0;             ///< items in memory
  unsigned loading = 0;         ///< items that are being read into it
  unsigned running = 0;
  unsigned window = kFirstWindow;
  bool remote = false;           ///< something of it goes to another server
  bool proven = false;           ///< it answered, and has been reached since
  bool open = false;             ///< its collected mail is being released
  bool waits_for_proof = false;  ///< it stands in the shard's list of those
  WallTime closed_until{};       ///< the transport wants nothing for it before
  WallTime release_at{};         ///< of collected mail
  std::string last_reply;

  bool collects() const { return route->release.has_value(); }
  /// Attempts that may be under way at one time.
  unsigned limit() const { return proven ? std::min<unsigned>(window, route->concurrency) : 1; }
  /// It said no, for now: it is there.
  void answered() { proven = true; }
  void succeeded() {
    proven = true;
    closed_until = {};
    if (window < route->concurrency) ++window;
  }
  void unreachable() {
    proven = false;
    window = 1;
  }
};

class Destinations {
 public:
  static constexpr std::size_t kIdle = 10'000;  ///< without messages that are remembered

  explicit Destinations(const Routes& routes) : routes_(routes) {}
  std::uint32_t by_hash(std::uint32_t hash);
  std::uint32_t by_name(std::string_view name);
  Destination& at(std::uint32_t number) { return all_[number]; }
  const std::uint32_t* find(std::string_view name) const;
  const std::uint32_t* find(std::uint32_t hash) const;
  void release(std::uint32_t number);  ///< one message fewer
  std::size_t size() const { return numbers_.size(); }

 private:
  const Routes& routes_;
  std::deque<Destination> all_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers_;  ///< by hash
  std::size_t idle_ = 0;
};

}  // namespace postern::queue
