// Slows guessing down: failures by key (an address, an account), with delays that double and are bounded.
//
// After some free failures each attempt of a key gets its own turn, `delay` after the one before, so that opening many
// connections at once buys a guesser nothing; who would have to wait longer than max_delay is refused unchecked. A key
// with block_after failures is refused until the window has passed since its last failure.
//
// Owner:  one worker per key (runtime.owner_of), so that the count holds server-wide. Thread: that worker.
// Limits: max_keys; the key that failed longest ago makes room.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postern/hash.h"
#include "postern/random.h"
#include "postern/time.h"

namespace postern::auth {

struct ThrottlePolicy {
  unsigned free_failures = 3;
  Duration first_delay = 1s;
  Duration max_delay = 15s;
  unsigned block_after = 40;  ///< 0: never (accounts: a stranger must not be able to lock somebody out for good)
  Duration window = 15min;
  std::size_t max_keys = 65'536;
};

class Throttle {
 public:
  struct Decision {
    Duration wait{};       ///< before the attempt, or before the refusal
    bool refused = false;  ///< do not even check
  };
  /// What becomes of an attempt that comes now.
  Decision admit(std::string_view key, const ThrottlePolicy& policy, Instant now);
  void failed(std::string_view key, const ThrottlePolicy& policy, Instant now);
  void succeeded(std::string_view key);
  std::size_t size() const { return by_key_.size(); }

 private:
  struct Entry {
    std::string key;
    unsigned failures = 0;
    Instant last{};
    Instant next{};  // no attempt before
  };
  using Entries = std::list<Entry>;  // the one that failed last in front
  void forget(Entries::iterator entry);

  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator, BytesHash, std::equal_to<>> by_key_{0,
                                                                                              BytesHash{random_u64()}};
};

}  // namespace postern::auth
